"""Snapshots of etcd with its own tool, and the proof that one is whole.

`etcdctl` takes the snapshot over the client port with the certificates that the control plane has anyway. It ends in the
SHA-256 of all that comes before it, and its status names hash, revision and keys; both are checked, and the revision must
have reached the one that the server showed before. Nothing of a key or a value is ever printed.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from holdfast.movers.context import MoverError
from holdfast.movers.envelope import BLOCK

PATIENCE: Final = 30 * 60.0
"""Seconds that one call of etcdctl may take: a database of 8 GiB over a slow disk."""

_TRAILER: Final = 32
_PAIRS: Final = (
    "etcd/healthcheck-client",
    "apiserver-etcd-client",
    "etcd/peer",
    "etcd/server",
    "client",
)
"""Where control planes keep a client certificate for etcd below their folder of certificates (kubeadm, k0s), without `.crt`."""

_AUTHORITIES: Final = ("etcd/ca.crt", "ca.crt")


class SnapshotFacts(msgspec.Struct, frozen=True):
    """What a snapshot holds: its hash as the tool prints it, revision, number of keys."""

    hash: int
    revision: int
    totalKey: int

    @property
    def hash_text(self) -> str:
        """The hash in hexadecimal, as `etcdctl snapshot status` shows it to people."""
        return f"{self.hash & 0xFFFFFFFF:x}"


class _Header(msgspec.Struct):
    revision: int = 0


class _Status(msgspec.Struct):
    header: _Header


class _Endpoint(msgspec.Struct):
    Status: _Status


def take_snapshot(endpoint: str, pki: Path | None, target: Path) -> SnapshotFacts:
    """Write a verified snapshot to `target`. Raises MoverError."""
    access = _access(endpoint, pki)
    before = _revision(endpoint, access)
    _etcdctl(["snapshot", "save", str(target), *access], "take a snapshot of", endpoint)
    facts = verify_snapshot(target)
    if facts.revision < before:
        raise MoverError(
            "SnapshotIncomplete",
            f"the snapshot of {endpoint} ends at revision {facts.revision}, before revision {before} that etcd had",
            "look at the health of etcd and run it again",
        )
    return facts


def verify_snapshot(path: Path) -> SnapshotFacts:
    """Prove that a snapshot is whole: its checksum, then its status. Raises MoverError."""
    size = path.stat().st_size - _TRAILER
    found, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(BLOCK, left))):
            found.update(chunk)
            left -= len(chunk)
        trailer = file.read(_TRAILER)
    if size <= 0 or found.digest() != trailer:
        raise MoverError("SnapshotDamaged", f"{path.name} does not match its own checksum", "use another copy, or run it again")
    out = _etcdctl(["snapshot", "status", str(path), "-w", "json"], "read the snapshot", path.name)
    try:
        return msgspec.json.decode(out, type=SnapshotFacts)
    except msgspec.DecodeError as error:
        raise MoverError("SnapshotDamaged", f"etcdctl says of {path.name}: {out[:200]!r}") from error


def restore_snapshot(path: Path, data_dir: Path, flags: Sequence[str]) -> None:
    """Make the data directory of a fresh member from a snapshot. `data_dir` must not exist. Raises MoverError."""
    command = ["snapshot", "restore", str(path), f"--data-dir={data_dir}", *flags]
    program = "etcdutl" if shutil.which("etcdutl") else "etcdctl"
    _run([program, *command], f"can't restore {path.name} into {data_dir}")


def _revision(endpoint: str, access: Sequence[str]) -> int:
    out = _etcdctl(["endpoint", "status", "-w", "json", *access], "ask", endpoint)
    try:
        return max(each.Status.header.revision for each in msgspec.json.decode(out, type=list[_Endpoint]))
    except (msgspec.DecodeError, ValueError) as error:
        raise MoverError("EtcdFailed", f"etcd at {endpoint} answered {out[:200]!r}") from error


def _access(endpoint: str, pki: Path | None) -> list[str]:
    """Return the flags of the connection. Raises MoverError when TLS is wanted and its files are not there."""
    flags = [f"--endpoints={endpoint}"]
    if not endpoint.startswith("https://"):
        return flags
    folder = pki or Path("/nonexistent")
    authority = next((folder / name for name in _AUTHORITIES if (folder / name).is_file()), None)
    pair = next((name for name in _PAIRS if (folder / f"{name}.crt").is_file() and (folder / f"{name}.key").is_file()), None)
    if authority is None or pair is None:
        wanted = f"{' or '.join(_AUTHORITIES)}, and a pair such as {_PAIRS[0]}.crt and .key"
        raise MoverError(
            "NoCertificates",
            f"etcd at {endpoint} needs certificates, and {folder} lacks {wanted}",
            "name the folder on the node with the Cluster's annotation backup.holdfast.dev/pki",
        )
    return [*flags, f"--cacert={authority}", f"--cert={folder / pair}.crt", f"--key={folder / pair}.key"]


def _etcdctl(words: Sequence[str], verb: str, what: str) -> bytes:
    return _run(["etcdctl", *words], f"can't {verb} {what}")


def _run(command: Sequence[str], fault: str) -> bytes:
    environment = {"PATH": os.environ.get("PATH", ""), "ETCDCTL_API": "3", "HOME": "/tmp"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except FileNotFoundError as error:
        hint = "install etcd-client, or use an image that has it"
        raise MoverError("MissingProgram", f"{command[0]} is not installed", hint) from error
    except subprocess.TimeoutExpired as error:
        raise MoverError("EtcdTimeout", f"{fault}: no answer within {PATIENCE:.0f} s", "look at the health of etcd") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise MoverError("EtcdFailed", f"{fault}: {lines[-1][:400]}", "check endpoint, certificates and health of etcd")
    return done.stdout
