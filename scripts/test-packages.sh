#!/usr/bin/env bash
# Installs the programs that the tests work with and are judged by, from Debian: databases, etcd, an NFS server, OpenSSH.
# None of them is started: the tests start what they need, on 127.0.0.1 or in a network of their own.
# Usage: scripts/test-packages.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"

need strace command -v strace
need openssh-client command -v ssh-keygen
need openssh-server test -x /usr/sbin/sshd
need etcd-server command -v etcd
need etcd-client command -v etcdctl
need openssl command -v openssl
need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/postgres'
need mariadb-server test -x /usr/sbin/mariadbd
need mariadb-backup command -v mariadb-backup
need redis-server command -v redis-server
need redis-tools command -v redis-cli
need libnfs13 sh -c 'ldconfig -p | grep -q libnfs.so.13'
need rpcbind test -x /usr/sbin/rpcbind
need nfs-ganesha test -x /usr/bin/ganesha.nfsd
need nfs-ganesha-vfs sh -c 'ls /usr/lib/*/ganesha/libfsalvfs.so'
need iproute2 test -x /usr/sbin/ip
install_missing
