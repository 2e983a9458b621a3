"""Kubeconfigs of the administrator and of Holdfast's own parts: one cluster, one user, readable by their owner only."""

import base64
import re
from pathlib import Path

from holdfast.embedded.apiserver.pki import write_private


def write_kubeconfig(path: Path, user: str, url: str, ca: bytes, token: str) -> None:
    """Write it, replacing what was there but for the namespace that was chosen with `kubectl config set-context`.

    A server that came back would otherwise send the next `kubectl delete` to another namespace than the last.
    """
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
{_namespace(path)}current-context: holdfast
"""
    write_private(path, text.encode())


def _namespace(path: Path) -> str:
    """The line that names the namespace of the context in the file as it is; empty without one."""
    try:
        found = re.search(r"^ +namespace: \S+$", path.read_text(), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return f"    {found[0].strip()}\n" if found else ""
