#!/usr/bin/env bash
# Makes a fresh Debian 12 / Ubuntu 24.04 machine ready: system packages (announced first, by sudo where not root) and .venv.
# install.sh run    what `speechmill` needs
# install.sh test   that, and what the test suite needs (Chromium, Redis, PostgreSQL, Prometheus, g++, torch)
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

packages=(ffmpeg espeak-ng espeak-ng-data apertium apertium-eng-spa flite fonts-dejavu-core python3-venv ca-certificates)
extras=""
if [ "$what" = test ]; then
  packages+=(chromium redis-server postgresql sox prometheus g++)
  extras="[dev,mimo,server]"
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "speechmill: these programs are needed, and this system has no apt-get to install them: ${missing[*]}" >&2
    exit 4
  fi
  become=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "speechmill: please run as root: apt-get install ${missing[*]}" >&2; exit 4; }
    become=(sudo)
  fi
  echo "speechmill: installing system packages: ${missing[*]}"
  # Servers that a package brings along are started by the tests themselves, on ports of their own.
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "speechmill: Python 3.11, 3.12 or 3.13 is needed, and none is here" >&2; exit 4; }

# One stamp says what .venv holds; nothing is done while pyproject.toml and constraints.txt stay as they were.
stamp=$(cat pyproject.toml constraints.txt infra/install.sh | sha256sum | cut -c1-16)-$what
[ -f ".venv/stamp-$stamp" ] && exit 0
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "speechmill: installing Python packages into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$extras" 2> >(grep -v '^WARNING: Location' >&2)
rm -f .venv/stamp-*"-$what"
touch ".venv/stamp-$stamp"
