#!/bin/sh
# Builds what the image carries: a Python environment with Holdfast, its native parts and a list of all parts.
# Usage: build.sh <source tree> <folder>. Needs build-packages.txt and packages.txt installed. Gives the same bytes each time.
set -eu
source=$1 target=$2
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-315532800}" PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

/usr/bin/python3 -m venv --without-pip "$target"
/usr/bin/python3 -m venv "$work/tools"
"$work/tools/bin/pip" install -q --require-hashes -r "$source/deploy/image/build.lock"
"$work/tools/bin/pip" --python "$target/bin/python" install -q --no-compile --no-deps --require-hashes -r "$source/deploy/image/requirements.lock"
"$work/tools/bin/pip" wheel -q --no-deps --no-build-isolation --wheel-dir "$work" "$source"
"$work/tools/bin/pip" --python "$target/bin/python" install -q --no-compile --no-deps "$work"/holdfast-*.whl

# What nothing runs: tests and type stubs of libraries, and scripts other than ours and rclone.
find "$target/lib" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find "$target/lib" -name '*.pyi' -delete
find "$target/bin" -type f ! -name 'holdfast*' ! -name 'rclone*' -delete
"$target/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$target/lib"
"$target/bin/python" "$source/deploy/image/sbom.py" "$target" > "$target/sbom.json"
find "$target" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
