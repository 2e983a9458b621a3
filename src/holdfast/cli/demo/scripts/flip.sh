#!/bin/sh
# Flips one bit of one byte in the middle of one file and leaves no other trace. For the demo's own test.
# Usage: flip.sh <volume>
set -eu
export LC_ALL=C
cd "$1"
file=$(find machine -type f -size +4k | sort | head -n 1)
offset=$(($(stat -c %s "$file") / 2))
value=$(od -An -tu1 -j "$offset" -N 1 "$file" | tr -d ' ')
times=$(mktemp)
touch -r "$file" "$times"
printf "\\$(printf %03o $((value ^ 1)))" | dd of="$file" bs=1 seek="$offset" conv=notrunc 2>/dev/null
touch -r "$times" "$file"
rm "$times"
echo "flipped byte $offset of $file"
