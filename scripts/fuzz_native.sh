#!/usr/bin/env bash
# Run the tests of the native module on a copy built with the address and undefined-behaviour sanitizers: make fuzz N=20000
# Without --capture=no the sanitizer's last words would be lost with pytest's own buffers.
# A fault ends the run with the sanitizer's report. The module in src/ is not touched.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=${1:-20000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cp -r "$root/src/holdfast" "$work/src/holdfast"
cp -r "$root/scripts" "$work/scripts"
rm -f "$work"/src/holdfast/repo/_native*.so
CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1" \
  "$root/.venv/bin/python" "$work/scripts/build_native.py"
cd "$root"
LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
  PYTHONPATH="$work/src" PYTHONDONTWRITEBYTECODE=1 HOLDFAST_FUZZ_ROUNDS="$rounds" \
  "$root/.venv/bin/python" -m pytest -x -q --capture=no --timeout 1800 \
  tests/unit/repo/test_native_*s.py tests/unit/repo/test_native_files_fuzz.py tests/unit/repo/test_repo_crypto.py \
  tests/unit/repo/test_repo_backup.py tests/unit/repo/test_repo_stream.py tests/unit/repo/test_repo_restore*.py
