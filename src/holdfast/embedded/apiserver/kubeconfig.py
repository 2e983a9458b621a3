"""Kubeconfigs of the administrator and of Holdfast's own parts: one cluster, one user, readable by their owner only."""

import base64
from pathlib import Path

from holdfast.embedded.apiserver.pki import write_private


def write_kubeconfig(path: Path, user: str, url: str, ca: bytes, token: str) -> None:
    """Write it, replacing what was there."""
    authority = base64.b64encode(ca).decode()
    text = f"""\
apiVersion: v1
kind: Config
clusters:
- name: holdfast
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: {user}
  user:
    token: {token}
contexts:
- name: holdfast
  context:
    cluster: holdfast
    user: {user}
current-context: holdfast
"""
    write_private(path, text.encode())
