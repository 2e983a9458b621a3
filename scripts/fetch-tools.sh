#!/usr/bin/env bash
# Fetches the stock programs that judge us, beside this machine's own:
#   <folder>/bin/                        kubectl and restic, both of trixie (Debian 12 has them at 1.20 and 0.14)
#   <folder>/restic/<version>/restic     restic of several Debian releases, from the first that knows our format to the newest
#   <folder>/restic/<suite>              a link to the version that came from that suite
#   <folder>/kubectl/sid/kubectl         the newest kubectl that Debian has
# They come as Debian packages, through an apt that has its own source list, its own lists and its own cache below <folder>;
# signatures are checked as always, and the system's sources and packages stay as they are. The age of a list is not: a
# frozen mirror serves an unstable suite that is past its date. Needs no root, but for the first list of packages on a
# fresh machine.
# Usage: scripts/fetch-tools.sh <folder> <suite>...    the suites are bookworm, trixie and sid
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"

mkdir -p "$1/bin" "$1/restic"
tools=$(cd "$1" && pwd)
shift
suites=("$@")

version_of() { # version_of <program> <words that print its version>...
    "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n1
}

at_least() { # at_least <wanted> <found>
    [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]
}

have() { # have <program> <wanted version> <words that print its version>...
    local program=$1 wanted=$2
    shift 2
    [ -x "$program" ] && at_least "$wanted" "$(version_of "$program" "$@" || true)"
}

complete() { # complete <suite>
    local restic=$tools/restic/$1/restic
    case $1 in
        bookworm) have "$restic" 0.14.0 version ;;
        trixie) have "$restic" 0.18.0 version && have "$tools/bin/restic" 0.18.0 version &&
            have "$tools/bin/kubectl" 1.29.0 version --client ;;
        sid) have "$restic" 0.18.0 version && have "$tools/kubectl/sid/kubectl" 1.33.0 version --client ;;
    esac
}

sites() { # where this machine gets Debian from, most likely first
    apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -E '/debian/?$' | sort -u || true
    apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -vE '/debian/?$|security' | sort -u || true
}

own_apt() {
    apt-get -q -o Acquire::Check-Valid-Until=false -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state/cache" -o Dir::Log="$state" -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

download() { # download <suite> <package>...: leaves the packages in $state
    local suite=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed="" site
    shift
    [ ! -s $keyring ] || signed="[signed-by=$keyring] "
    for site in $(sites); do
        rm -rf "$state"
        mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
        : >"$state/status"
        echo "deb $signed$site $suite main" >"$state/sources.list"
        if own_apt update >"$state/log" 2>&1 && (cd "$state" && own_apt download "$@" >>"$state/log" 2>&1); then
            return 0
        fi
    done
    echo "holdfast: no apt source of this machine serves $* of the suite $suite. The last answer:" >&2
    tail -n 5 "$state/log" >&2 || true
    echo "Check the connection and the sources of apt. By hand: put that restic into $tools/restic/<version>/ and" >&2
    echo "link $tools/restic/$suite to <version>; for trixie also put restic and kubectl into $tools/bin/, for sid the newest" >&2
    echo "kubectl into $tools/kubectl/sid/. Then start again." >&2
    return 1
}

unpack() { # unpack <package file> <folder>: its programs
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --strip-components=3 --unlink-first ./usr/bin
}

fetch() { # fetch <suite>
    local packages=(restic) version
    [ "$1" = bookworm ] || packages+=(kubectl)
    echo "fetching ${packages[*]} ($1)"
    download "$1" "${packages[@]}"
    mkdir "$state/programs"
    unpack "$state"/restic_*.deb "$state/programs"
    version=$(version_of "$state/programs/restic" version) || {
        echo "holdfast: restic of $1 does not run on this machine" >&2
        return 1
    }
    mkdir -p "$tools/restic/$version"
    mv -f "$state/programs/restic" "$tools/restic/$version/restic"
    ln -sfn "$version" "$tools/restic/$1"
    if [ "$1" = trixie ]; then
        ln -f "$tools/restic/$version/restic" "$tools/bin/restic"
        unpack "$state"/kubectl_*.deb "$tools/bin"
    elif [ "$1" = sid ]; then
        mkdir -p "$tools/kubectl/sid"
        unpack "$state"/kubectl_*.deb "$tools/kubectl/sid"
    fi
    rm -rf "$state"
    complete "$1" || {
        echo "holdfast: what $1 serves as ${packages[*]} is older than what the tests need, or does not run here" >&2
        return 1
    }
}

missing_suites=()
for suite in "${suites[@]}"; do
    complete "$suite" || missing_suites+=("$suite")
done
[ ${#missing_suites[@]} -gt 0 ] || exit 0
need apt command -v apt-get
need dpkg command -v dpkg-deb
install_missing
state=$tools/apt
if [ -z "$(sites)" ]; then # a fresh machine has no lists yet
    mkdir -p "$state"
    as=()
    [ "$(id -u)" -eq 0 ] || as=(sudo)
    "${as[@]}" apt-get -q update >"$state/log" 2>&1 || echo "apt-get update did not work" >>"$state/log"
fi
for suite in "${missing_suites[@]}"; do
    fetch "$suite"
done
