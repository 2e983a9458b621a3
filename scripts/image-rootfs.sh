#!/usr/bin/env bash
# Makes the image's file system without a container engine, in the steps of deploy/Dockerfile and with its scripts.
# Usage: scripts/image-rootfs.sh <folder>. Root, or a user who may use user namespaces. Installs mmdebstrap if it is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/packages.sh"
target=$1
need mmdebstrap command -v mmdebstrap
install_missing

words() { grep -hv '^#' "$@" | paste -sd,; }
mkdir -p "$target"
exclude=(--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*')
certificates=$(python3 -c 'import ssl; print(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")')

base() { # <folder> <packages>
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' "${exclude[@]}" --include="$2" bookworm "$1"
}

base "$target/build" "$(words "$here"/deploy/image/packages.txt "$here"/deploy/image/build-packages.txt)"
mkdir -p "$target/build/source/deploy"
git -C "$here" ls-files -z pyproject.toml hatch_build.py README.md scripts/build_native.py src deploy/addons deploy/image examples \
    | tar -C "$here" --null -T - -cf - | tar -C "$target/build/source" -xf -
cp "${SSL_CERT_FILE:-$certificates}" "$target/build/tmp/certificates.crt"
bwrap --bind "$target/build" / --dev /dev --proc /proc --ro-bind /etc/resolv.conf /etc/resolv.conf --ro-bind /etc/hosts /etc/hosts \
    --unshare-pid --setenv PIP_CERT /tmp/certificates.crt --setenv REQUESTS_CA_BUNDLE /tmp/certificates.crt \
    --setenv HOME /tmp --chdir /source \
    /source/deploy/image/build.sh /source /opt/holdfast

base "$target/root" "$(words "$here"/deploy/image/packages.txt)"
rm -rf "$target"/root/var/lib/apt/lists/* "$target"/root/var/cache/* "$target"/root/var/log/*
mkdir -p "$target/root/opt"
mv "$target/build/opt/holdfast" "$target/root/opt/holdfast"
rm -rf "$target/build"
echo "made $target/root: $(du -sm "$target/root" | cut -f1) MiB"
