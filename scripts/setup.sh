#!/usr/bin/env bash
# Makes the virtual environment: packages of requirements.lock at their hashes, and this tree, editable.
# Usage: PYTHON=python3 scripts/setup.sh <folder of the environment>
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
venv=$1
python=${PYTHON:-python3}

need python3 "$python" -c 'import sys'
need python3-venv "$python" -c 'import ensurepip, venv'
need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
need bubblewrap command -v bwrap
need nftables test -x /usr/sbin/nft
need attr command -v getfattr
need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdlib.h
case $("$python" -c 'import sys; print(sys.prefix)' 2>/dev/null) in
    /usr) need python3-dev "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ;;
esac
install_missing

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "holdfast: $python is $("$python" -V); 3.11 or newer is needed. Name one: make setup PYTHON=python3.12" >&2
    exit 1
}
[ -x "$venv/bin/pip" ] || "$python" -m venv --clear "$venv"
[ -x "$venv/bin/uv" ] || "$venv/bin/pip" install -q --disable-pip-version-check uv
export VIRTUAL_ENV
VIRTUAL_ENV=$(cd "$venv" && pwd)
"$venv/bin/uv" pip sync -q --compile-bytecode requirements.lock
"$venv/bin/uv" pip install -q --no-deps -e .
[ -x "$venv/bin/uv" ] || "$venv/bin/pip" install -q --disable-pip-version-check uv
"$venv/bin/holdfast" --help >/dev/null
echo "ready: $venv/bin/holdfast"
