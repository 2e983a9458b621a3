#!/bin/sh
# Compares a volume with the state that was written down before the backup; says the first differences.
# Usage: compare.sh <volume> <state file>
set -eu
export LC_ALL=C
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
counted=$(sh "$here/state.sh" "$1" "$work/restored")
failed=0
for part in entries links hashes attributes; do
    if ! cmp -s "$2.$part" "$work/restored.$part"; then
        failed=1
        echo "different $part:"
        tr '\n\0' '\001\n' <"$2.$part" >"$work/before"
        tr '\n\0' '\001\n' <"$work/restored.$part" >"$work/after"
        diff "$work/before" "$work/after" | grep '^[<>]' | head -n 6
    fi
done
[ $failed -eq 0 ] || exit 1
echo "identical $counted"
