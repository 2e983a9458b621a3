#!/usr/bin/env bash
# Fetches kubectl and restic into <folder>/bin when this machine's own are too old: Debian 12 has them at 1.20 and 0.14.
# They come as Debian packages of a later suite, through an apt that has its own source list, its own lists and its own
# cache below <folder>; signatures are checked as always, and the system's sources and packages stay as they are.
# Usage: scripts/fetch-tools.sh <folder>
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"

suite=trixie
mkdir -p "$1/bin"
tools=$(cd "$1" && pwd)

at_least() { # at_least <wanted> <found>
    [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]
}

have() { # have <program> <wanted version> <words that print its version>...
    local program=$1 wanted=$2 found
    shift 2
    [ -x "$tools/bin/$program" ] || return 1
    found=$("$tools/bin/$program" "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n1)
    at_least "$wanted" "$found"
}

complete() { have kubectl 1.29.0 version --client && have restic 0.18.0 version; }

sites() { # where this machine gets Debian from, most likely first
    apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -E '/debian/?$' | sort -u || true
    apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -vE '/debian/?$|security' | sort -u || true
}

own_apt() {
    apt-get -q -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state/cache" -o Dir::Log="$state" -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

fetch_from() { # fetch_from <site>: leaves the two packages in $state
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=""
    [ ! -s $keyring ] || signed="[signed-by=$keyring] "
    echo "deb $signed$1 $suite main" >"$state/sources.list"
    own_apt update >"$state/log" 2>&1 && (cd "$state" && own_apt download kubectl restic >>"$state/log" 2>&1)
}

if complete; then
    exit 0
fi
need apt command -v apt-get
need dpkg command -v dpkg-deb
install_missing
state=$tools/apt
rm -rf "$state"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"
if [ -z "$(sites)" ]; then # a fresh machine has no lists yet
    as=()
    [ "$(id -u)" -eq 0 ] || as=(sudo)
    "${as[@]}" apt-get -q update >"$state/log" 2>&1 || echo "apt-get update did not work" >>"$state/log"
fi
echo "fetching kubectl and restic ($suite)"
fetched=
for site in $(sites); do
    if fetch_from "$site"; then
        fetched=$site
        break
    fi
done
if [ -z "$fetched" ]; then
    echo "holdfast: no apt source of this machine serves the suite $suite. The last answer:" >&2
    tail -n 5 "$state/log" >&2 || true
    echo "Put kubectl 1.29 or newer and restic 0.18 or newer into $tools/bin and start again." >&2
    exit 1
fi
for package in "$state"/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$tools/bin" --strip-components=3 ./usr/bin
done
rm -rf "$state"
complete || {
    echo "holdfast: what $suite serves as kubectl and restic is older than 1.29 and 0.18, or does not run here" >&2
    exit 1
}
