#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs tests of variants that this CPU cannot run: boots Debian's kernel in Bochs, which emulates a Sapphire Rapids
# without AMX (AVX512F, BW, DQ, VL, VNNI, BF16; AVX-VNNI), with build/release's test programs and nothing else.
#
#   tests/emulate_cpu.sh                                   # all of avx512, avx512_vnni, avx512_bf16, avxvnni and oneDNN's int8
#   tests/emulate_cpu.sh test_kernels 'strassen/avx512.*'  # some of them
#
# Exit status 0: all ran and passed. Needs root and debootstrap, which puts a Debian 13 with Bochs 3.0 into
# build/emulator, once. The emulator takes one core and a gigabyte and a half.
set -euo pipefail
root="$(cd "$(dirname -- "$0")/.." && pwd)"
bin="$root/build/release/bin"
tree="$root/build/emulator"
work=''
emulator=''
trap '[ -z "$emulator" ] || kill "$emulator" 2> /dev/null || true; [ -z "$work" ] || rm -rf "$work"' EXIT

fail() { echo "emulate_cpu.sh: $*" >&2; exit 2; }

# The layers of avx512_bf16 and oneDNN's bf16 are left out: Bochs 3.0's vcvtne2ps2bf16 takes both halves from one operand.
if [ $# = 0 ]; then
  set -- test_kernels '*/avx512*:*/avxvnni*:-*sweep*:depthwise/avx512_bf16*:pointwise/avx512_bf16*:patch_embed/avx512_bf16*' \
    test_engine 'model/avx512.*:precision/avx512_vnni.*:precision/avxvnni.*:precision/onednn_int8*'
fi
[ $(($# % 2)) = 0 ] || fail "arguments are pairs: a test program and a filter of its tests"

# ---- A Debian that has Bochs 3

[ "$(id -u)" = 0 ] || fail "needs root, for chroot"
if [ ! -e "$tree/complete" ]; then
  command -v debootstrap > /dev/null || fail "debootstrap is missing"
  rm -rf "$tree"
  {
    debootstrap --variant=minbase trixie "$tree" &&
    chroot "$tree" apt-get -q install -y --no-install-recommends bochs bochs-term bochsbios vgabios busybox-static \
      isolinux syslinux-common xorriso cpio &&
    chroot "$tree" sh -c 'cd /root && apt-get -q download "$(apt-cache depends linux-image-cloud-amd64 |
      awk "/Depends: linux-image/ { print \$2; exit }")" && dpkg -x ./*.deb kernel'
  } > "$tree.log" 2>&1 || fail "$tree was not made; the reason is in $tree.log"
  : > "$tree/complete"
fi
work="$(mktemp -d -p "$tree/tmp")"
inside="${work#"$tree"}"

# ---- What the guest sees: the programs, their libraries, tests/data and a shell

guest="$work/guest"
mkdir -p "$guest"/{bin,proc,dev,tmp,lib64} "$guest/lib/x86_64-linux-gnu" "$guest$root/tests"
cp "$tree/bin/busybox" "$guest/bin/busybox"
cp -L /lib64/ld-linux-x86-64.so.2 "$guest/lib64/"
cp -r "$root/tests/data" "$guest$root/tests/"
: > "$guest/plan"
while [ $# -gt 0 ]; do
  [ -x "$bin/$1" ] || fail "$bin/$1 is missing; build it first"
  cp "$bin/$1" "$guest/$1"
  ldd "$bin/$1" | awk '$3 ~ /^\// { print $3 }' | xargs -I{} cp -Lu {} "$guest/lib/x86_64-linux-gnu/"
  printf '%s %s\n' "$1" "$2" >> "$guest/plan"
  shift 2
done
cat > "$guest/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
cd /
while read -r program filter; do
  ./"$program" --gtest_color=no --gtest_filter="$filter" 2>&1 | grep -v -e '^\[ RUN' -e '^\[       OK' -e '^\[---' -e '^$'
done < /plan
echo 'emulated: end'
poweroff -f
INIT
chmod +x "$guest/init"

# ---- A disc to boot from

mkdir -p "$work/disc/isolinux"
cp "$tree"/root/kernel/boot/vmlinuz-* "$work/disc/vmlinuz"
cp "$tree/usr/lib/ISOLINUX/isolinux.bin" "$tree/usr/lib/syslinux/modules/bios/ldlinux.c32" "$work/disc/isolinux/"
# 580: Bochs has short string moves without the long ones, which the kernel does not expect.
cat > "$work/disc/isolinux/isolinux.cfg" <<'CONFIG'
SERIAL 0 115200
DEFAULT tests
LABEL tests
 KERNEL /vmlinuz
 APPEND initrd=/initrd.gz console=ttyS0,115200 quiet nokaslr mitigations=off clearcpuid=580 lapic=notscdeadline tsc=reliable idle=poll rdinit=/init panic=-1 random.trust_cpu=on
CONFIG
(cd "$guest" && find . | chroot "$tree" sh -c "cd $inside/guest && cpio -o -H newc --quiet" | gzip) > "$work/disc/initrd.gz"
chroot "$tree" xorriso -as mkisofs -quiet -o "$inside/disc.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
  -no-emul-boot -boot-load-size 4 -boot-info-table "$inside/disc" 2> /dev/null

# ---- The machine
# Without XFD, which Bochs 3.0 does not have, the kernel cannot use AMX; with five levels of page tables (la57) or
# shadow stacks (cet) it stops early.

cat > "$work/bochsrc" <<CONFIG
plugin_ctrl: unmapped=1, biosdev=1, extfpuirq=1, serial=1
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=sapphire_rapids, exclude_features="amx, amx_int8, amx_bf16, la57, cet", count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1536, host=1536
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$inside/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$inside/serial
log: $inside/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
CONFIG
echo c > "$work/continue"  # Debian's Bochs waits in its debugger
mkfifo "$work/stdin"
: > "$work/serial"
chroot "$tree" sh -c "cd $inside && exec bochs-bin -q -f bochsrc -rc continue" < "$work/stdin" > "$work/bochs.out" 2>&1 &
emulator=$!
exec 3> "$work/stdin"  # its debugger ends where its input does
tail -f -n +1 --pid="$emulator" "$work/serial" &
while kill -0 "$emulator" 2> /dev/null && ! grep -q '^emulated: end' "$work/serial"; do sleep 2; done
sleep 1

grep -q '^emulated: end' "$work/serial" || { tail -n 20 "$work/bochs.log" >&2; fail "the machine stopped before the tests did"; }
! grep -q '^\[  SKIPPED' "$work/serial" || fail "the emulated machine lacks what some tests need"
! grep -q -e '^\[  FAILED' -e 'Segmentation fault' -e 'Illegal instruction' "$work/serial" || exit 1
grep -q '^\[  PASSED' "$work/serial" || fail "no test ran"
