#!/usr/bin/env bash
# Installs the programs that benchmarks compare with or take data from: borg and PostgreSQL from Debian. rclone and restic are there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
need borgbackup command -v borg
need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/initdb'
install_missing
