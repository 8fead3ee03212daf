#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of AVX-512 variants on a machine without AVX-512: boots Debian's kernel in Bochs, which emulates an
# Ice Lake (AVX512F, BW, DQ, VL, VNNI; no BF16), with build/release's test programs and nothing else.
#
#   tests/emulate_avx512.sh                                   # all of avx512, avx512_vnni and oneDNN's bf16 and int8
#   tests/emulate_avx512.sh test_kernels 'strassen/avx512.*'  # some of them
#
# Exit status 0: all ran and passed. Needs root or sudo only to install, once:
#   apt-get install bochs bochs-term bochsbios vgabios busybox-static isolinux syslinux-common xorriso cpio
# The kernel's package is fetched by apt-get and unpacked, not installed. The emulator takes one core and a gigabyte.
set -euo pipefail
root="$(cd "$(dirname -- "$0")/.." && pwd)"
bin="$root/build/release/bin"
work="$(mktemp -d)"
emulator=''
trap '[ -z "$emulator" ] || kill "$emulator" 2> /dev/null || true; rm -rf "$work"' EXIT

fail() { echo "emulate_avx512.sh: $*" >&2; exit 2; }
for program in bochs-bin busybox xorriso cpio; do
  command -v "$program" > /dev/null || fail "$program is missing; the head of this file says what to install"
done

if [ $# = 0 ]; then
  set -- test_kernels 'variant/avx512*:*/avx512.*:*/avx512_vnni.*:-*sweep*:variant/avx512_bf16*' \
    test_engine 'model/avx512.*:precision/avx512_vnni.*:precision/onednn_*'
fi
[ $(($# % 2)) = 0 ] || fail "arguments are pairs: a test program and a filter of its tests"

# ---- What the guest sees: the programs, their libraries, tests/data and a shell

guest="$work/guest"
mkdir -p "$guest"/{bin,proc,dev,tmp,lib64} "$guest/lib/x86_64-linux-gnu" "$guest$root/tests"
cp "$(command -v busybox)" "$guest/bin/busybox"
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

mkdir -p "$work/disc/isolinux" "$work/kernel"
package="$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')"
[ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64; try apt-get update"
(cd "$work/kernel" && apt-get download -q "$package" > /dev/null && dpkg -x ./*.deb .)
cp "$work"/kernel/boot/vmlinuz-* "$work/disc/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/disc/isolinux/"
# Without these the kernel stops early or refuses the emulated CPU's register state: Bochs 2.7 reports the sizes of PKU
# (515), XSAVEC and XSAVES (321, 323) inconsistently, and short string moves (580) without the long ones.
cat > "$work/disc/isolinux/isolinux.cfg" <<'CONFIG'
SERIAL 0 115200
DEFAULT tests
LABEL tests
 KERNEL /vmlinuz
 APPEND initrd=/initrd.gz console=ttyS0,115200 quiet nokaslr mitigations=off nopku noxsaves clearcpuid=515,321,323,580 lapic=notscdeadline tsc=reliable idle=poll rdinit=/init panic=-1 random.trust_cpu=on
CONFIG
(cd "$guest" && find . | cpio -o -H newc --quiet | gzip) > "$work/disc/initrd.gz"
xorriso -as mkisofs -quiet -o "$work/disc.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
  -boot-load-size 4 -boot-info-table "$work/disc" 2> /dev/null

# ---- The machine

cat > "$work/bochsrc" <<CONFIG
plugin_ctrl: unmapped=1, biosdev=1, extfpuirq=1, serial=1
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=corei7_icelake_u, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
log: $work/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
CONFIG
echo c > "$work/continue"  # Debian's Bochs waits in its debugger
mkfifo "$work/stdin"
: > "$work/serial"
(cd "$work" && exec bochs-bin -q -f bochsrc -rc continue < stdin > bochs.out 2>&1) &
emulator=$!
exec 3> "$work/stdin"  # its debugger ends where its input does
tail -f -n +1 --pid="$emulator" "$work/serial" &
while kill -0 "$emulator" 2> /dev/null && ! grep -q '^emulated: end' "$work/serial"; do sleep 2; done
sleep 1

grep -q '^emulated: end' "$work/serial" || { tail -n 20 "$work/bochs.log" >&2; fail "the machine stopped before the tests did"; }
! grep -q '^\[  SKIPPED' "$work/serial" || fail "the emulated machine lacks what some tests need"
! grep -q -e '^\[  FAILED' -e 'Segmentation fault' -e 'Illegal instruction' "$work/serial" || exit 1
grep -q '^\[  PASSED' "$work/serial" || fail "no test ran"
