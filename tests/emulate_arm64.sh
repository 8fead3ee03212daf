#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds everything for 64-bit ARM, whose only variants are portable code and oneDNN, and runs its tests in QEMU.
#
#   tests/emulate_arm64.sh                     # all tests but those of the published sizes
#   tests/emulate_arm64.sh -R '^kernels'       # those that these options of ctest choose
#
# Exit status 0: none failed; what needs MPI or Chromium is skipped. While it runs, the kernel starts every ARM program
# by QEMU; one run at a time. Needs root, debootstrap and qemu-user-static; puts a Debian with a cross compiler
# into build/arm64, once. All of it takes more than an hour on two cores.
set -euo pipefail
root="$(cd "$(dirname -- "$0")/.." && pwd)"
tree="$root/build/arm64"
binfmt=/proc/sys/fs/binfmt_misc
registered=''

fail() { echo "emulate_arm64.sh: $*" >&2; exit 2; }

# Blocks of the published sizes would take hours.
[ $# -gt 0 ] || set -- -E '^preset'

# ---- A Debian with a cross compiler, and the libraries of cmake/packages.txt for ARM

[ "$(uname -m)" = x86_64 ] || fail "is for x86-64 machines; on ARM run make test"
[ "$(id -u)" = 0 ] || fail "needs root, for chroot"
mkdir -p "$root/build"
exec 9> "$tree.lock"
flock -n 9 || fail "is running already"
leave() {
  [ -z "$registered" ] || { echo -1 > "$registered"; } 2> /dev/null || true
  umount "$tree/dev/pts" "$tree/proc" 2> /dev/null || true
}
trap leave EXIT
if [ ! -e "$tree/complete" ]; then
  command -v debootstrap > /dev/null || fail "debootstrap is missing"
  libraries="$(sed -nE 's/^(optional )?([a-z0-9-]*-dev) .*/\2:arm64/p' "$root/cmake/packages.txt" | grep -v openmpi | tr '\n' ' ')"
  rm -rf --one-file-system "$tree"
  # shellcheck disable=SC2086
  {
    debootstrap --variant=minbase bookworm "$tree" &&
    chroot "$tree" dpkg --add-architecture arm64 &&
    chroot "$tree" apt-get -q update &&
    chroot "$tree" apt-get -q install -y --no-install-recommends g++-aarch64-linux-gnu cmake ninja-build pkg-config $libraries
  } > "$tree.log" 2>&1 || fail "$tree was not made; the reason is in $tree.log"
  : > "$tree/complete"
fi

# ---- Programs for ARM run by themselves, also those that tests start

[ -e "$binfmt/register" ] || mount -t binfmt_misc none "$binfmt"
if [ ! -e "$binfmt/qemu-aarch64" ]; then
  qemu="$(command -v qemu-aarch64-static)" || fail "qemu-user-static is missing"
  header='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  echo ":qemu-aarch64:M::$header:$mask:$qemu:F" > "$binfmt/register"
  registered="$binfmt/qemu-aarch64"
fi

# ---- Build and test

mkdir -p "$tree/src"
git -C "$root" ls-files -z | tar -C "$root" --null -T - -c | tar -C "$tree/src" -x
mount -t proc proc "$tree/proc"
mount -t devpts devpts "$tree/dev/pts"
inside() { chroot "$tree" env -C /src PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig "$@"; }
inside cmake --preset release -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
inside cmake --build build/release
inside ctest --test-dir build/release --output-on-failure -j "$(nproc)" --timeout 3000 --no-tests=error "$@"
