#!/bin/sh
# Fills a volume with this machine's own files, until there are enough, and with everything a file system can hold.
# Usage: fill.sh <volume> <files> <bytes> <flag to make when it is done>
set -eu
export LC_ALL=C
volume=$1 want_files=$2 want_bytes=$3 flag=$4
files=0 bytes=0 round=0 taken=0

enough() { [ "$files" -ge "$want_files" ] && [ "$bytes" -ge "$want_bytes" ]; }

take() { # take <folder>: copies it unless it alone would be too much
    [ -d "$1" ] && [ ! -L "$1" ] || return 0
    counted=$(find "$1" -xdev -type f -printf '%s\n' 2>/dev/null | awk '{ n++; b += $1 } END { printf "%d %.0f", n, b }')
    [ "${counted#* }" -lt $((want_bytes / 2)) ] || return 0
    taken=$((taken + 1)) # a folder of its own for each, since some lie within others
    into=$volume/machine/$taken${1%/*}
    mkdir -p "$into"
    cp -a "$1" "$into/" 2>/dev/null || true
    files=$((files + ${counted% *})) bytes=$((bytes + ${counted#* }))
}

while ! enough && [ $round -lt 20 ]; do
    round=$((round + 1)) before=$files
    for folder in /usr/share/* /usr/lib/python3*/* /usr/lib/* /usr/lib/*-linux-gnu/* /usr/local/*/* /usr/bin /usr/sbin /opt/*; do
        enough && break
        take "$folder"
    done
    [ "$files" -gt "$before" ] || break
done

special="$volume/special"
mkdir -p "$special" && cd "$special"
: >empty
mkdir -p 'empty folder' modes owners
echo target >target
ln -s target 'relative link'
ln -s /nowhere/at/all 'dangling link'
ln -s ../special 'link to a folder'
ln target 'second name'
ln target 'third name'
for name in ' leading and trailing ' "quote ' and \" and \\" '-rf' '*?[glob]' 'Füße 日本 🗂' '$(not run) `at all`' '#comment' '%s%n'; do
    echo "$name" >"./$name"
done
echo newline >"$(printf 'new\nline')"
echo control >"$(printf 'bell\007tab\tescape\033')"
echo raw >"$(printf 'not \377\376 UTF-8')"
echo long >"$(printf '%0255d' 7)"
truncate -s 64M sparse
printf 'in the middle' | dd of=sparse bs=1M seek=32 conv=notrunc 2>/dev/null
truncate -s 1M 'only a hole'
mkfifo fifo
for mode in 0000 0400 0640 0777 4755 2755 1644; do echo "$mode" >"modes/$mode" && chmod "$mode" "modes/$mode"; done
mkdir modes/sticky modes/setgid && chmod 1777 modes/sticky && chmod 2775 modes/setgid
for owner in 1000:1000 65534:12345 4294967294:0; do
    echo "$owner" >"owners/$owner"
    chown "$owner" "owners/$owner" 2>/dev/null || true
done
chown -h 1000:1000 'dangling link' 2>/dev/null || true
setfattr -n user.holdfast.text -v 'a value' target 2>/dev/null || echo 'this volume has no extended attributes'
setfattr -n user.holdfast.binary -v 0x00ff0a0d22 empty 2>/dev/null || true
setfattr -n user.holdfast.folder -v 'on a folder' 'empty folder' 2>/dev/null || true
touch -d '1985-10-26T01:21:00.123456789Z' empty
touch -d '1969-12-31T23:59:58.5Z' target
touch -d '2042-01-01T00:00:00.000000001Z' 'empty folder'
touch -h -d '2001-02-03T04:05:06.789Z' 'relative link'

find "$volume" -type f -printf '%s\n' | awk '{ n++; b += $1 } END { printf "filled with %d files, %.0f bytes\n", n, b }'
: >"$flag"
