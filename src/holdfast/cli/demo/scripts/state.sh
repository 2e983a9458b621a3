#!/bin/sh
# Writes down everything about a volume that a restore must bring back, with find, sha256sum and getfattr alone.
# Usage: state.sh <volume> <file>
set -eu
export LC_ALL=C
state=$2
cd "$1"

# type, mode, owner, time in nanoseconds, link count, size, name; the size of a folder is its file system's own affair
find . -type d -printf 'd %m %U %G %T@ %p\0' -o -type l -printf 'l %U %G %T@ %p -> %l\0' \
    -o -printf '%y %m %U %G %T@ %n %s %p\0' | sort -z >"$state.entries"

# which names are one file: groups of hard links by their sorted names, newlines in names kept apart
find . -type f -links +1 -printf '%i %p\0' | tr '\n\0' '\001\n' | sort -k1,1n -k2 |
    awk '{ i = $1; sub(/^[0-9]+ /, ""); if (i != last) { if (NR > 1) print line; line = $0 } else line = line "\002" $0; last = i }
         END { if (NR) print line }' | sort >"$state.links"

find . -type f -print0 | sort -z | xargs -0 -r -n 1000 sha256sum -z -- >"$state.hashes"
find . \( -type f -o -type d \) -print0 | sort -z | xargs -0 -r -n 1000 getfattr -h -d -m - -e hex -- >"$state.attributes" 2>/dev/null || true

echo "files=$(find . -type f -printf x | wc -c) entries=$(find . -printf x | wc -c) bytes=$(find . -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%.0f", s }') sparse=$(find . -type f -size +100k -printf '%S %s\n' | awk '$1 < 0.5 { n++ } END { print n + 0 }')"
