"""Real servers for stores, each on a free port of 127.0.0.1 and ended with its `with` block, and a proxy that does harm."""

import contextlib
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

from tests import tools
from tests.movers_builders import KEY, SECRET

AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that the emulator of Azure documents for everybody."""

REST_USER, REST_PASSWORD = "holdfast", "not-a-real-password"
START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, env: dict[str, str] | None = None) -> Generator[None]:
    """Run a server until the block ends; it is ready when its port takes connections."""
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(env or {})}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=given, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _listens(port):
                assert process.poll() is None, f"{command[0]} ended: {_read(log)}"
                assert time.monotonic() < deadline, f"{command[0]} does not listen: {_read(log)}"
                time.sleep(0.02)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def _read(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-2000:]


@contextlib.contextmanager
def moto_server() -> Generator[str]:
    """S3 with versions and object lock, in memory; it accepts every key. Yields the endpoint."""
    port = free_port()
    program = str(Path(sys.executable).parent / "moto_server")
    with running([program, "-H", "127.0.0.1", "-p", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _rclone_server(protocol: str, folder: Path, *flags: str, room: int = 0) -> Generator[int]:
    """With `room` the folder is a file system in memory of so many bytes, which the server alone sees."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [tools.rclone(), "serve", protocol, str(folder), "--addr", f"127.0.0.1:{port}", *flags]
    if room:
        command = [tools.bwrap(), "--dev-bind", "/", "/", "--size", str(room), "--tmpfs", str(folder), "--", *command]
    with running(command, port, {"RCLONE_CONFIG": "/notfound"}):
        yield port


@contextlib.contextmanager
def webdav_server(folder: Path, room: int = 0) -> Generator[str]:
    """Serve a folder by WebDAV, with user and password; yields the URL."""
    with _rclone_server("webdav", folder, "--user", REST_USER, "--pass", REST_PASSWORD, room=room) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def rest_server(folder: Path, room: int = 0) -> Generator[str]:
    """Serve a folder by restic's REST protocol, with user and password; yields the URL."""
    flags = ("--user", REST_USER, "--pass", REST_PASSWORD, "--cache-objects=false")
    with _rclone_server("restic", folder, *flags, room=room) as port:
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def google_server() -> Generator[str]:
    """An emulator of Google's storage with the bucket `bucket`; yields its API's address for rclone."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [tools.fake_gcs(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with running([*command, "-external-url", address], port):
        made = urllib.request.Request(
            f"{address}/storage/v1/b?project=p", b'{"name": "bucket"}', {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(made, timeout=START_SECONDS).close()
        yield f"{address}/storage/v1/"


@contextlib.contextmanager
def azure_server() -> Generator[str]:
    """An emulator of Azure's blobs, in memory; yields the endpoint of its account."""
    port = free_port()
    command = [*tools.azurite(), "--silent", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with running([*command, "--skipApiVersionCheck", "--inMemoryPersistence"], port):
        yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"


class SshServer:
    """An OpenSSH server of our own: its port, the user's key, the known hosts, and a key nobody knows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.key, self.stranger, self.known_hosts = folder / "user", folder / "stranger", folder / "known_hosts"
        folder.mkdir(mode=0o700)
        for name in ("host", "user", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self._public = " ".join((folder / "host.pub").read_text().split()[:2])
        self.trust(self.port)

    def environment(self) -> dict[str, str]:
        return {"SFTP_KEY_FILE": str(self.key), "SFTP_KNOWN_HOSTS_FILE": str(self.known_hosts), "HOME": str(self.folder)}

    def trust(self, port: int) -> None:
        """Let the same key be known on another port, that of a proxy."""
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port} {self._public}\n")


@contextlib.contextmanager
def ssh_server(folder: Path) -> Generator[SshServer]:
    """Run sshd with a host key of its own and SFTP only."""
    server = SshServer(folder)
    config = folder / "sshd_config"
    config.write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        "StrictModes no\nSubsystem sftp internal-sftp\nMaxStartups 100\nMaxSessions 100\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with running([tools.sshd(), "-D", "-e", "-f", str(config)], server.port):
        yield server


class Proxy:
    """A TCP proxy in front of a server that can do harm, to whatever protocol passes through.

    `spoil` gets the first bytes of a connection and the client's socket; True means that it dealt with the connection.
    `cut_after`: how many bytes of a client's pass before its connection is cut; None for all.
    """

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition("//")[2].partition("/")[0].partition(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.spoil: Callable[[bytes, socket.socket], bool] = lambda head, client: False
        self.cut_after: int | None = None
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def instead_of(self, address: str) -> str:
        """The same address with the proxy's port."""
        return address.replace(f":{self._upstream[1]}", f":{self.port}")

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = client.recv(65536)
            if not head or self.spoil(head, client):
                return
            with socket.create_connection(self._upstream) as server:
                server.sendall(head)
                self._pump(client, server, len(head))

    def _pump(self, client: socket.socket, server: socket.socket, sent: int) -> None:
        ends = {client: server, server: client}
        while True:
            ready, _, _ = select.select(list(ends), [], [], 30)
            for source in ready:
                data = source.recv(65536)
                sent += len(data) if source is client else 0
                if not data or (self.cut_after is not None and sent > self.cut_after):
                    return
                ends[source].sendall(data)
            if not ready:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextlib.contextmanager
def proxy(endpoint: str) -> Generator[Proxy]:
    """Run a proxy in front of an endpoint."""
    made = Proxy(endpoint)
    try:
        yield made
    finally:
        made.close()


def s3_environment() -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
