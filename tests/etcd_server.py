"""A real etcd with TLS and client certificates, laid out as kubeadm does, with data that looks like a cluster's."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

from tests import tools
from tests.store_servers import free_port

START_SECONDS = 20.0


class Etcd:
    """One member: its endpoint and the folders of its control plane."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.pki, self.manifests = folder / "pki", folder / "manifests"

    def ctl(self, *words: str) -> str:
        pair = self.pki / "etcd" / "healthcheck-client"
        flags = [f"--endpoints={self.endpoint}", f"--cacert={self.pki}/etcd/ca.crt", f"--cert={pair}.crt", f"--key={pair}.key"]
        return ctl(*flags, *words)

    def fill(self, count: int) -> None:
        """Put `count` keys in transactions of a hundred."""
        for start in range(0, count, 100):
            puts = "".join(f"put /registry/pods/default/pod-{n} value-{n}\n" for n in range(start, min(start + 100, count)))
            subprocess.run(self._txn(), input=f"\n{puts}\n\n", text=True, check=True, capture_output=True, env=ENVIRONMENT)

    def contents(self) -> dict[str, str]:
        return contents(self.ctl("get", "", "--prefix", "-w", "json"))

    def _txn(self) -> list[str]:
        pair = self.pki / "etcd" / "healthcheck-client"
        flags = [f"--endpoints={self.endpoint}", f"--cacert={self.pki}/etcd/ca.crt", f"--cert={pair}.crt", f"--key={pair}.key"]
        return [tools.etcdctl(), *flags, "txn"]


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "ETCDCTL_API": "3", "HOME": "/nonexistent"}


def ctl(*words: str) -> str:
    done = subprocess.run([tools.etcdctl(), *words], capture_output=True, text=True, env=ENVIRONMENT, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(listing: str) -> dict[str, str]:
    """Every key of `etcdctl get -w json` with its value, both in base64 as printed."""
    return {item["key"]: item.get("value", "") for item in json.loads(listing).get("kvs", [])}


def certificates(pki: Path) -> None:
    """Write ca, server and client below `pki/etcd`, and a cluster's own ca."""
    folder = pki / "etcd"
    folder.mkdir(parents=True)
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=etcd-ca", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt")
    for name in ("server", "healthcheck-client"):
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        openssl(*new, *subject, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr")
        signed = ["-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-copy_extensions", "copy"]
        openssl("x509", "-req", "-days", "2", "-in", f"{folder}/{name}.csr", *signed, "-out", f"{folder}/{name}.crt")
        (folder / f"{name}.csr").unlink()
        (folder / f"{name}.key").chmod(0o600)
    (pki / "ca.crt").write_bytes((folder / "ca.crt").read_bytes())


def openssl(*words: str) -> None:
    subprocess.run([tools.openssl(), *words], capture_output=True, check=True)


@contextlib.contextmanager
def running(data_dir: Path, *flags: str, port: int, scheme: str = "https") -> Generator[str]:
    """Run etcd on a data directory; yields its endpoint once it is healthy by its own port."""
    endpoint, peer = f"{scheme}://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    command = [
        tools.etcd(),
        f"--data-dir={data_dir}",
        f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}",
    ]
    command += [f"--listen-peer-urls={peer}", "--log-level=error", "--logger=zap", *flags]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        try:
            yield endpoint
        finally:
            process.kill()
            process.wait()


def until_healthy(*flags: str) -> None:
    """Wait until a member serves: its own client goes on trying for as long as its timeout allows."""
    patience = [f"--dial-timeout={START_SECONDS:.0f}s", f"--command-timeout={START_SECONDS:.0f}s"]
    ctl(*flags, *patience, "endpoint", "health")


@contextlib.contextmanager
def etcd_server(folder: Path) -> Generator[Etcd]:
    """Run one member with TLS, client certificates, and static manifests beside it."""
    server = Etcd(folder)
    certificates(server.pki)
    server.manifests.mkdir()
    (server.manifests / "kube-apiserver.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\n")
    tls = server.pki / "etcd"
    flags = [f"--cert-file={tls}/server.crt", f"--key-file={tls}/server.key", "--client-cert-auth"]
    flags.append(f"--trusted-ca-file={tls}/ca.crt")
    with running(folder / "data", *flags, port=server.port):
        pair = tls / "healthcheck-client"
        until_healthy(f"--endpoints={server.endpoint}", f"--cacert={tls}/ca.crt", f"--cert={pair}.crt", f"--key={pair}.key")
        yield server
