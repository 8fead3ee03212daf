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
    grep -v '^#' "$list" | sed 's/^/  /'
    echo "Install their like, then run the command again with CONVMIXER_SKIP_SETUP=1 in the environment."
  } >&2
  exit 1
fi

# dpkg-query fails where it does not know one of them, and tells about the others.
installed="$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' \
  "${required[@]}" "${optional[@]}" 2> /dev/null || true)"
is_missing() { ! grep -qxF "installed $1" <<< "$installed"; }

missing=() extra=()
for package in "${required[@]}"; do if is_missing "$package"; then missing+=("$package"); fi; done
for package in "${optional[@]}"; do if is_missing "$package"; then extra+=("$package"); fi; done
[ $((${#missing[@]} + ${#extra[@]})) -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo > /dev/null; then
    as_root=(sudo)
  elif [ ${#missing[@]} -gt 0 ]; then
    echo "setup: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  else
    echo "setup: going on without ${extra[*]} (optional), which only root or sudo could install"
    exit 0
  fi
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
install_packages() { apt install -y --no-install-recommends "$@"; }
is_known() { apt-get install --simulate --no-install-recommends "$1" > /dev/null 2>&1; }

# A machine with all that is required and without something optional is not made to fetch lists at every `make`.
if [ ${#missing[@]} -gt 0 ] || ! compgen -G '/var/lib/apt/lists/*_Packages*' > /dev/null; then
  echo "setup: fetching the lists of packages"
  apt update || echo "setup: that failed; trying with the lists that are here" >&2
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: installing ${missing[*]}"
  install_packages "${missing[@]}"
fi
for package in "${extra[@]}"; do
  if is_known "$package"; then
    echo "setup: installing $package (optional)"
    install_packages "$package" && continue
  fi
  echo "setup: going on without $package (optional), which could not be installed"
done
