"""The admin's kubeconfig: one cluster, one user, readable by its owner only."""

import base64
from pathlib import Path

import yaml

from holdfast.embedded.apiserver.pki import write_private


def write_kubeconfig(path: Path, url: str, ca: bytes, token: str) -> None:
    """Write it, replacing what was there."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "holdfast", "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "holdfast", "context": {"cluster": "holdfast", "user": "admin"}}],
        "current-context": "holdfast",
    }
    write_private(path, yaml.safe_dump(document, sort_keys=False).encode())
