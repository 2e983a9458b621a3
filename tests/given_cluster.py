"""A Kubernetes API that the tests did not make: the same conformance suite must pass on it.

`HOLDFAST_TEST_KUBECONFIG` names the kubeconfig of a cluster's administrator (a cluster for tests: what is in `default` goes);
`KUBEBUILDER_ASSETS` a folder with `etcd` and `kube-apiserver`, which are started here, with RBAC and keys for service accounts,
and stopped at the end. Tests marked `own` are about the embedded server itself and are left out then.
"""

import asyncio
import atexit
import functools
import os
import secrets
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from holdfast.embedded.apiserver.pki import ensure_server_certificate, load_key
from tests.store_servers import free_port

START_SECONDS = 60.0
KEPT = {"kube-root-ca.crt", "default", "kubernetes"}
"""What every namespace, or `default`, has by itself."""
CLUSTER_WIDE = (
    "customresourcedefinitions", "clusterroles", "clusterrolebindings", "priorityclasses", "storageclasses",
    "persistentvolumes", "nodes", "csidrivers",
)  # fmt: skip

Object = dict[str, Any]


class Caller(Protocol):
    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any: ...


class Given:
    """The cluster, with what tests ask of a server."""

    def __init__(self, kubeconfig_path: Path) -> None:
        self.kubeconfig_path = kubeconfig_path
        self._first: dict[str, set[str]] | None = None

    async def remember(self, http: Caller) -> None:
        """Note what is there before the first test."""
        if self._first is None:
            self._first = {path: await _names(http, path) for path, _ in await _collections(http)}

    async def clear(self, http: Caller) -> None:
        """Take away what a test has left."""
        first, found = self._first or {}, await _collections(http)
        namespaces = await _names(http, "/api/v1/namespaces") - first.get("/api/v1/namespaces", set())
        for ns in ["default", *namespaces]:
            for path, is_namespaced in found:
                if is_namespaced:
                    await _empty(http, _within(path, ns), KEPT if ns == "default" else set())
        for path, is_namespaced in found:
            if not is_namespaced and path.rpartition("/")[2] in CLUSTER_WIDE:
                await _empty(http, path, first.get(path, set()))
        for ns in namespaces:
            await _remove_namespace(http, ns)


def _within(path: str, ns: str) -> str:
    head, _, plural = path.rpartition("/")
    return f"{head}/namespaces/{ns}/{plural}"


async def _collections(http: Caller) -> list[tuple[str, bool]]:
    """Every collection that can be listed and deleted from: its path for all namespaces, and whether it has any."""
    groups = (await http.call("GET", "/apis")).body["groups"]
    bases = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    found: list[tuple[str, bool]] = []
    for base in bases:
        listed = await http.call("GET", base)
        for each in listed.body.get("resources", []) if listed.code == 200 else []:
            if {"list", "delete"} <= set(each["verbs"]) and "/" not in each["name"]:
                found.append((f"{base}/{each['name']}", each["namespaced"]))
    return found


async def _items(http: Caller, path: str) -> list[Object]:
    reply = await http.call("GET", path)
    return reply.body["items"] if reply.code == 200 else []


async def _names(http: Caller, path: str) -> set[str]:
    return {item["metadata"]["name"] for item in await _items(http, path)}


async def _empty(http: Caller, path: str, kept: Iterable[str]) -> None:
    """Delete what is in a collection, finalizers or not."""
    for item in await _items(http, path):
        name = item["metadata"]["name"]
        if name in kept:
            continue
        await http.call("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
        if item["metadata"].get("finalizers"):
            headers = {"Content-Type": "application/merge-patch+json"}
            await http.call("PATCH", f"{path}/{name}", {"metadata": {"finalizers": None}}, headers=headers)


async def _remove_namespace(http: Caller, ns: str) -> None:
    """Delete a namespace; where no controller lets it go, do what the controller would."""
    path = f"/api/v1/namespaces/{ns}"
    await http.call("DELETE", path)
    async with asyncio.timeout(10):
        while (left := await http.call("GET", path)).code == 200:
            body = {**left.body, "spec": {"finalizers": []}}
            await http.call("PUT", f"{path}/finalize", body)
            await asyncio.sleep(0.05)


@functools.cache
def given() -> Given | None:
    """The cluster that the environment names; None when there is none and the embedded server is to be tested."""
    if path := os.environ.get("HOLDFAST_TEST_KUBECONFIG"):
        return Given(Path(path).expanduser())
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return Given(_start(Path(assets).expanduser()))
    return None


def _start(assets: Path) -> Path:
    """Start etcd and kube-apiserver, and return the administrator's kubeconfig. Both end with this process."""
    for name in ("etcd", "kube-apiserver"):
        if not (assets / name).is_file():
            raise RuntimeError(f"KUBEBUILDER_ASSETS={assets} has no {name}: name a folder that holds both programs")
    folder = Path(tempfile.mkdtemp(prefix="holdfast-envtest-"))
    atexit.register(subprocess.run, ["rm", "-rf", str(folder)], check=False)
    client, peer, port = free_port(), free_port(), free_port()
    etcd = f"http://127.0.0.1:{client}"
    _spawn(
        folder, assets / "etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}", "--unsafe-no-fsync=true",
    )  # fmt: skip
    ca, certificate, key = ensure_server_certificate(folder / "pki", ("127.0.0.1",))
    accounts = folder / "pki" / "accounts.key"
    load_key(accounts)
    token = secrets.token_urlsafe(24)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    _spawn(
        folder, assets / "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
        f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}", "--disable-admission-plugins=ServiceAccount",
    )  # fmt: skip
    _until_ready(f"https://127.0.0.1:{port}/readyz", ca, token, folder)
    path = folder / "kubeconfig"
    path.write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters:\n- name: c\n  cluster:\n    server: https://127.0.0.1:{port}\n    certificate-authority: {ca}\n"
        f"users:\n- name: u\n  user:\n    token: {token}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n"
    )
    return path


def _spawn(folder: Path, program: Path, *flags: str) -> None:
    with (folder / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen([program, *flags], stdout=log, stderr=log, cwd=folder)
    atexit.register(process.wait)
    atexit.register(process.kill)


def _until_ready(url: str, ca: Path, token: str, folder: Path) -> None:
    context, deadline = ssl.create_default_context(cafile=str(ca)), time.monotonic() + START_SECONDS
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, context=context, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tail = (folder / "kube-apiserver.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"kube-apiserver was not ready after {START_SECONDS:.0f} seconds: {tail}")
