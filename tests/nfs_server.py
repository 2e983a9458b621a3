"""A real NFS server (ganesha, version 3) in namespaces of its own, where its portmapper can have its one port.

The server has an address on a link to this machine, so it is reached by `nfs://ADDRESS:/PATH` as any server is. Needs root.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path

START_SECONDS = 15.0
_CONFIG = """\
NFS_CORE_PARAM {{ Protocols = 3; Enable_UDP = false; Enable_RQUOTA = false; Enable_NLM = false; {plugins} }}
NFSV4 {{ Graceless = true; RecoveryRoot = "{folder}/recovery"; }}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
    Export_Id = 1; Path = "{export}"; Pseudo = "/share"; Protocols = 3; Transports = TCP;
    Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL {{ Name = VFS; }}
}}
"""
_START = """\
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir -p /run/rpcbind
/usr/sbin/rpcbind -w
exec /usr/bin/ganesha.nfsd -F -f {folder}/ganesha.conf -L {folder}/ganesha.log -p {folder}/ganesha.pid -N NIV_EVENT
"""


class NfsServer:
    """A running server: `url` names its one export, the folder `export` of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.export = folder, folder / "export"
        number = secrets.randbelow(1 << 14)
        self._link = f"hf{number:x}"
        self._ours, self.address = (f"198.18.{number >> 6}.{(number & 63) * 4 + last}" for last in (1, 2))

    @property
    def url(self) -> str:
        return f"nfs://{self.address}:{self.export}"

    @contextlib.contextmanager
    def serving(self) -> Generator["NfsServer"]:
        for folder in (self.export, self.folder / "recovery"):
            folder.mkdir(parents=True)
        plugins = next(Path("/usr/lib").glob("*/ganesha/libfsalvfs.so")).parent
        config = _CONFIG.format(folder=self.folder, export=self.export, plugins=f'Plugins_Dir = "{plugins}";')
        (self.folder / "ganesha.conf").write_text(config)
        command = ["unshare", "-n", "-m", "-p", "-f", "--mount-proc", "--kill-child=SIGKILL", "bash", "-c"]
        with (self.folder / "out").open("wb") as out:
            process = subprocess.Popen([*command, _START.format(folder=self.folder)], stdout=out, stderr=out)
        try:
            self._wait(lambda: "NFS SERVER INITIALIZED" in self._log())
            self._connect(_child(process))
            yield self
        finally:
            os.kill(_child(process), signal.SIGKILL)  # the first of its namespace: all others end with it
            process.wait()
            subprocess.run(["ip", "link", "del", self._link], check=False, capture_output=True)

    def _connect(self, pid: int) -> None:
        theirs = f"{self._link}b"
        inside = f"nsenter -t {pid} -n ip"
        for line in (
            f"ip link add {self._link} type veth peer name {theirs}",
            f"ip link set {theirs} netns {pid}",
            f"ip addr add {self._ours}/30 dev {self._link}",
            f"ip link set {self._link} up",
            f"{inside} addr add {self.address}/30 dev {theirs}",
            f"{inside} link set {theirs} up",
        ):
            subprocess.run(line.split(), check=True, capture_output=True)

    def _log(self) -> str:
        path = self.folder / "ganesha.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _wait(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while not holds():
            assert time.monotonic() < end, self._log()[-2000:] + (self.folder / "out").read_text()
            time.sleep(0.05)


def _child(process: "subprocess.Popen[bytes]") -> int:
    """Return the process in the new namespaces; the starter itself when it has none (yet)."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(found[0]) if found else process.pid
