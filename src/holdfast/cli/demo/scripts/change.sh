#!/bin/sh
# Changes one file in fifty, removes some, adds some.
# Usage: change.sh <volume>
set -eu
export LC_ALL=C
cd "$1"

every() { # every <n> <offset>: that part of the machine's files, each name ending in NUL
    find machine -type f -print0 | sort -z | tr '\n\0' '\001\n' | awk -v n="$1" -v k="$2" 'NR % n == k' | tr '\n\001' '\0\n'
}

every 50 7 | xargs -0 -r sh -c 'for file do head -c 300 /dev/urandom >>"$file"; done' sh
every 2000 11 | xargs -0 -r rm --
mkdir -p added
for number in $(seq 40); do head -c 20000 /dev/urandom >"added/$number"; done
mv special/target 'special/target that moved'
chmod 0600 special/modes/0777

echo "changed=$(every 50 7 | tr -cd '\000' | wc -c) removed=$(every 2000 11 | tr -cd '\000' | wc -c) added=40"
