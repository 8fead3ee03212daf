#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs and this machine lacks (cmake/packages.txt) from the packages of a Debian or Ubuntu
# system; elsewhere it names what is needed and stops. Says what it does, and nothing if nothing is missing.
# CONVMIXER_SKIP_SETUP=1: do nothing; the build is then left to find what it needs.
set -euo pipefail

list="$(dirname -- "$0")/packages.txt"
[ "${CONVMIXER_SKIP_SETUP:-0}" != 1 ] || exit 0

required=() optional=()
while read -r first second _; do
  case "$first" in
    '' | '#'*) ;;
    optional) optional+=("$second") ;;
    *) required+=("$first") ;;
  esac
done < "$list"

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
  {
    echo "setup: this is not a Debian or Ubuntu system, so nothing is installed. Needed, by their names there:"
    sed 's/^/  /' "$list" | grep -v '^  #'
    echo "Install their like, then run the command again with CONVMIXER_SKIP_SETUP=1 in the environment."
  } >&2
  exit 1
fi

is_installed() {
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

missing=() wanted=()
for package in "${required[@]}"; do is_installed "$package" || missing+=("$package"); done
for package in "${optional[@]}"; do is_installed "$package" || wanted+=("$package"); done
[ $((${#missing[@]} + ${#wanted[@]})) -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo > /dev/null; then
    [ ${#missing[@]} -gt 0 ] || exit 0
    echo "setup: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

install_packages() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

echo "setup: installing ${missing[*]} ${wanted[*]}"
"${as_root[@]}" apt-get update
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
for package in "${wanted[@]}"; do
  install_packages "$package" || echo "setup: $package could not be installed; the build goes on without it"
done
