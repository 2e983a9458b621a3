#!/usr/bin/env bash
# Fetches promtool, which judges our alert rules: out of Debian's package of Prometheus, whose server is not installed.
# Usage: scripts/fetch-promtool.sh <folder>
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -x "$folder/promtool" ] || exit 0
need dpkg command -v dpkg-deb
install_missing
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q -o APT::Sandbox::User="$(id -un)" download prometheus >log 2>&1 || {
    echo "holdfast: apt-get download prometheus failed: run apt-get update, and start again. The last answer:" >&2
    tail -n 5 log >&2
    exit 1
}
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C "$folder" --strip-components=3 ./usr/bin/promtool
echo "fetched promtool of $(dpkg-deb -f prometheus_*.deb Version)"
