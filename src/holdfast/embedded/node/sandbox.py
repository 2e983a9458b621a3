"""One container as a bubblewrap command line: pure, so that every rule of the sandbox can be read and tested here.

The root is an empty tmpfs with the image's parts bound read-only and the volumes bound at their mount paths. The
environment travels with the other options through a pipe (`--args`), never through argv, where any user of the
machine could read a password. Privileges are dropped twice: bubblewrap keeps only what is asked for and what setpriv
needs, and setpriv then takes on the user, bounds the capabilities and forbids new ones.
"""

import enum
import os
from collections.abc import Mapping

import msgspec

from holdfast.embedded.node import terminal

HELPER_CAPABILITIES = ("SETGID", "SETPCAP", "SETUID")
"""What setpriv needs to take on the container's identity; gone once it has."""

_UNSAFE = (
    "GCONV_PATH GETCONF_DIR GLIBC_TUNABLES HOSTALIASES LOCALDOMAIN LOCPATH NIS_PATH NLSPATH RESOLV_HOST_CONF RES_OPTIONS TZDIR"
)
UNSAFE_VARIABLES = frozenset(_UNSAFE.split())
"""Variables that steer the C library itself: set only after privileges are dropped."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a container's process is. Capabilities without their `CAP_`, in capitals."""

    uid: int = 65534
    gid: int = 65534
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()


class Kind(enum.Enum):
    """How something gets into the sandbox; the value is bubblewrap's option for it."""

    BIND = "--bind"
    READ_ONLY = "--ro-bind"
    SYMLINK = "--symlink"
    TMPFS = "--tmpfs"
    DIRECTORY = "--dir"
    PROC = "--proc"
    DEVICES = "--dev"


class Mount(msgspec.Struct, frozen=True):
    """One thing at `target` in the sandbox. `source` is a host path, for a symlink its text; `mode` is for made directories."""

    kind: Kind
    target: str
    source: str = ""
    mode: int = 0o755

    def options(self) -> list[str]:
        """Return the bubblewrap options."""
        if self.kind in (Kind.TMPFS, Kind.DIRECTORY):
            return ["--perms", f"{self.mode:04o}", self.kind.value, self.target]
        if self.kind in (Kind.PROC, Kind.DEVICES):
            return [self.kind.value, self.target]
        return [self.kind.value, self.source, self.target]


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """One container, ready to be started. `stdin` keeps its standard input open, `terminal` makes it a terminal."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    identity: Identity = Identity()
    hostname: str = "pod"
    directory: str = "/"
    read_only_root: bool = False
    stdin: bool = False
    terminal: bool = False


def options(sandbox: Sandbox, *, privileged: bool) -> list[str]:
    """Return what bubblewrap reads through `--args`: everything but the command.

    `privileged` says that the node runs as root. Otherwise a user namespace maps the node's own user to the one
    that the container asks for, and there is no other user in the sandbox.
    """
    found = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"]
    found += ["--hostname", sandbox.hostname[:63]]
    if not privileged:
        found += ["--unshare-user", "--uid", str(sandbox.identity.uid), "--gid", str(sandbox.identity.gid)]
    found += ["--cap-drop", "ALL"]
    for name in _capabilities(sandbox.identity, privileged=privileged):
        found += ["--cap-add", f"CAP_{name}"]
    for mount in sandbox.mounts:
        found += mount.options()
    if sandbox.read_only_root:
        found += ["--remount-ro", "/"]
    found += ["--chdir", sandbox.directory, "--clearenv"]
    for name, value in sandbox.environment.items():
        if not unsafe(name):
            found += ["--setenv", name, value]
    return found


GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "gate")
"""The command prefix that waits for a line on standard input; without one nothing runs."""


def command(sandbox: Sandbox, *, privileged: bool, gated: bool = False) -> list[str]:
    """Return what runs inside the sandbox: setpriv takes on the identity and then becomes the container's command.

    A `gated` one waits until the node says that it may run, so that it never does once the node has died.
    """
    control = terminal.CONTROL if sandbox.terminal else ()
    gate = GATE if gated else ()
    identity = drop_privileges(sandbox.identity, privileged=privileged)
    return [*control, *identity, *gate, *late(sandbox.environment), *sandbox.command]


def drop_privileges(identity: Identity, *, privileged: bool) -> list[str]:
    """Return the setpriv prefix. Without root the user namespace has done most of it already."""
    if not privileged:
        return ["/usr/bin/setpriv", "--no-new-privs"]
    groups = ["--groups", ",".join(map(str, identity.groups))] if identity.groups else ["--clear-groups"]
    bounding = ",".join(["-all", *(f"+{name.lower()}" for name in identity.capabilities)])
    return [
        "/usr/bin/setpriv",
        *("--reuid", str(identity.uid), "--regid", str(identity.gid), *groups),
        *("--inh-caps=-all", f"--bounding-set={bounding}", "--no-new-privs"),
    ]


def late(environment: Mapping[str, str]) -> list[str]:
    """Return the `env` prefix that sets what must not be set before privileges are dropped."""
    held_back = [f"{name}={value}" for name, value in environment.items() if unsafe(name)]
    return ["/usr/bin/env", *held_back] if held_back else []


def unsafe(name: str) -> bool:
    """Whether a variable steers the C library or the loader of whoever inherits it."""
    return name.startswith(("LD_", "MALLOC_")) or name in UNSAFE_VARIABLES


def encode(arguments: list[str]) -> bytes:
    """Encode options as `--args` wants them: each ends in a NUL byte, which none may contain."""
    return b"".join(os.fsencode(argument.replace("\0", "")) + b"\0" for argument in arguments)


def _capabilities(identity: Identity, *, privileged: bool) -> list[str]:
    wanted = set(identity.capabilities)
    return sorted(wanted | set(HELPER_CAPABILITIES) if privileged else wanted)
