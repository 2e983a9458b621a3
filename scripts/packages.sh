# Sourced by the other scripts: installs the Debian packages that are missing, or says how to.
# Usage: need <package> <command that succeeds when it is there>, then install_missing.

missing=()

need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    local as=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo true; then
            cat >&2 <<MESSAGE
holdfast: these Debian packages are missing: ${missing[*]}
They can be installed by root only, and you are neither root nor able to use sudo. Ask an administrator to run

    apt-get update && apt-get install --no-install-recommends ${missing[*]}

and start again; everything else needs no privileges.
MESSAGE
            return 1
        fi
        as=(sudo)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "holdfast: this is not a Debian system; install these by hand: ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]}"
    start_nothing "${as[@]}"
    "${as[@]}" "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        "${as[@]}" "${apt[@]}" update
        "${as[@]}" "${apt[@]}" install --no-install-recommends "${missing[@]}"
    }
    start_as_ever
    missing=()
}

# Debian starts the service of a package when it is installed, unless this file says no (Debian policy, policy-rc.d).
policy=/usr/sbin/policy-rc.d
forbidden=()

start_nothing() {
    [ ! -e $policy ] || return 0
    forbidden=("$@" rm -f $policy)
    trap start_as_ever EXIT
    printf '#!/bin/sh\nexit 101\n' | "$@" tee $policy >/dev/null
    "$@" chmod 755 $policy
}

start_as_ever() {
    [ ${#forbidden[@]} -eq 0 ] || "${forbidden[@]}"
    forbidden=()
}
