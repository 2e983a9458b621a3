"""Trees that stress the format: every name, target, attribute, mode, owner, time and size that a file system lets through.

Unlike the small corpus of `repo_trees` this one is meant to be compared byte for byte in its encoded form. Needs root (owners,
devices, trusted and security attributes) and a file system with user attributes.
"""

import os
import stat
import struct
from pathlib import Path

from tests.repo_trees import sparse

HARD_NAMES = [
    *(bytes([code]) for code in range(1, 256) if code not in b"./"),
    *(b"a%cz" % code for code in (0x07, 0x08, 0x0B, 0x0C, 0x1B, 0x7F, 0x80, 0xA0, 0xC0, 0xFE, 0xFF)),
    b"...",
    b"..a",
    b" leading",
    b"trailing ",
    b"back\\x41slash \\n \\u0041 \\U00000041 \\101 \\",
    b"quotes \"'`",
    b"html <&>",
    b"percent %s %00 $(x) ${x} `x` * ? [a] {a,b} ~ !",
    b"cut short \xe2\x80",
    b"overlong \xc0\xaf \xe0\x80\xaf",
    b"surrogates \xed\xa0\x80\xed\xb0\x80",
    b"beyond unicode \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80",
    "separators \u2028 \u2029 \u0085 \u00a0 \u3000".encode(),
    "marks \ufeff \ufffd \ufffe \uffff \u202e \u200d \ue000 \U0010ffff \U000e0001".encode(),
    "combining e\u0301 and \u00e9".encode(),
    "new \U0002b739 \U0001fae8 newer \U00016d40 \u088f".encode(),
    b"x" * 255,
    b"\xff" * 255,
    "\u65e5".encode() * 85,
    b"\n" * 255,
    b'{"nodes":[]}',
]
"""Names of 1 to 255 bytes; each is used for a file, the last dozen for folders and links too."""

MIN_CHUNK, MAX_CHUNK = 512 << 10, 8 << 20

TIMES = {
    "epoch": 0,
    "before the epoch": -1,
    "long before": -1_500_000_000_123_456_789,
    "after 2038": (1 << 32) * 10**9 + 1,
    "one nanosecond": 1_700_000_000_000_000_001,
    "half a second": 1_700_000_000_500_000_000,
    "summer": 1_720_000_000_123_000_000,
    "leap day": 1_709_164_800_000_000_000,
}
"""Nanoseconds since 1970. All lie after the end of local mean time in the zones of the tests, and within ext4's years."""

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service=ep, in the kernel's layout."""


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the kernel stores it: version 2, then tag, permissions and id of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_NOBODY_IN_PARTICULAR = 0xFFFFFFFF
ACCESS = acl(
    (0x01, 6, _NOBODY_IN_PARTICULAR),
    (0x02, 4, 12345),
    (0x04, 4, _NOBODY_IN_PARTICULAR),
    (0x10, 6, _NOBODY_IN_PARTICULAR),
    (0x20, 0, _NOBODY_IN_PARTICULAR),
)


def build_oddities(root: Path) -> None:
    """Everything below; about a thousand entries and 20 MiB."""
    root.mkdir(parents=True)
    for part in (_names, _links, _specials, _holes, _attributes, _owners_and_modes, _times, _sizes):
        folder = root / part.__name__.strip("_")
        folder.mkdir()
        part(folder)
    os.utime(root, ns=(0, 1_600_000_000_000_000_000))


def _names(folder: Path) -> None:
    base = os.fsencode(folder)
    for number, name in enumerate(HARD_NAMES):
        Path(os.fsdecode(os.path.join(base, name))).write_bytes(b"%d" % number)
    (folder / "folders").mkdir()
    for number, name in enumerate(HARD_NAMES[-20:]):
        inner = Path(os.fsdecode(os.path.join(base, b"folders", name)))
        inner.mkdir()
        (inner / "file").write_text(str(number))
    deep = folder.joinpath(*["d" * 60] * 50)
    deep.mkdir(parents=True)
    (deep / "leaf").write_text("deep")


def _links(folder: Path) -> None:
    base = os.fsencode(folder)
    targets = [*HARD_NAMES[-25:], b"/nowhere", b"..", b"a/../b//c/", b"t" * 4095, b"\xff" * 300, b"\x01\x7f\t\n\r\b\f"]
    for number, target in enumerate(targets):
        os.symlink(target, os.path.join(base, b"link %d" % number))
    for name in ("one", "two"):
        (folder / name).mkdir()
    (folder / "one" / "file").write_text("many names")
    os.mkfifo(folder / "one" / "fifo")
    os.symlink("target", folder / "one" / "symlink")
    os.mknod(folder / "one" / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    for name in ("file", "fifo", "symlink", "device"):
        os.link(folder / "one" / name, folder / "two" / name, follow_symlinks=False)
        os.link(folder / "one" / name, folder / f"{name} up", follow_symlinks=False)


def _specials(folder: Path) -> None:
    os.mkfifo(folder / "fifo", 0o610)
    for name, kind, device in (
        ("null", stat.S_IFCHR, os.makedev(1, 3)),
        ("no numbers", stat.S_IFCHR, os.makedev(0, 0)),
        ("large numbers", stat.S_IFBLK, os.makedev(4095, 1_048_575)),
        ("disk", stat.S_IFBLK, os.makedev(8, 0)),
    ):
        os.mknod(folder / name, 0o640 | kind, device)
    (folder / "empty file").touch()
    (folder / "empty folder").mkdir()


def _holes(folder: Path) -> None:
    sparse(folder / "leading", 3 << 20, {(3 << 20) - 5: b"after"})
    sparse(folder / "trailing", 3 << 20, {0: b"before"})
    sparse(folder / "middle", 20 << 20, {0: b"before", (17 << 20) + 4321: b"after"})
    sparse(folder / "nothing else", 5 << 20, {})
    sparse(folder / "small", 100_000, {})
    sparse(folder / "odd length", (2 << 20) + 1, {1 << 20: b"x"})
    (folder / "zeros on disk").write_bytes(bytes(2 << 20))


def _attributes(folder: Path) -> None:
    values = {"user.text": b"blue", "user.binary": bytes(range(256)), "user.empty": b"", "user.large": b"v" * 3000}
    for name in ("file", "folder"):
        path = folder / name
        path.mkdir() if name == "folder" else path.write_text("attributes")
        for key, value in values.items():
            os.setxattr(path, key, value)
        os.setxattr(path, "trusted.by root", b"\x00\xff")
        os.setxattr(path, "system.posix_acl_access", ACCESS)
    os.setxattr(folder / "folder", "system.posix_acl_default", ACCESS)
    os.symlink("file", folder / "symlink")
    os.setxattr(folder / "symlink", "trusted.link", b"of a link", follow_symlinks=False)
    os.mkfifo(folder / "fifo")
    os.setxattr(folder / "fifo", "trusted.fifo", b"of a fifo")
    (folder / "capable").write_bytes(b"program")
    os.chmod(folder / "capable", 0o755)
    os.setxattr(folder / "capable", "security.capability", CAPABILITY)
    (folder / "odd key").touch()
    os.setxattr(os.fsencode(folder / "odd key"), b'user.\xc3\xa9 "<\\\n\x01', b"1")


def _owners_and_modes(folder: Path) -> None:
    owners = [(0, 0), (1, 1), (65534, 65534), (123_456, 654_321), ((1 << 32) - 2, (1 << 32) - 2), (1 << 31, 0)]
    for uid, gid in owners:
        path = folder / f"owner {uid} {gid}"
        path.write_text("owned")
        os.chown(path, uid, gid)
    for mode in (0, 0o400, 0o777, 0o1777, 0o2755, 0o4755, 0o7777):
        path = folder / f"mode {mode:o}"
        path.write_text("mode")
        os.chmod(path, mode)
        inner = folder / f"folder {mode:o}"
        inner.mkdir()
        os.chmod(inner, mode)
    os.symlink("mode 0", folder / "owned link")
    os.lchown(folder / "owned link", 77, 88)


def _times(folder: Path) -> None:
    for name, moment in TIMES.items():
        path = folder / name
        path.touch()
        os.utime(path, ns=(5, moment))
        os.symlink("x", folder / f"{name} link")
        os.utime(folder / f"{name} link", ns=(5, moment), follow_symlinks=False)
    (folder / "old folder").mkdir()
    os.utime(folder / "old folder", ns=(5, -86_400 * 10**9))


def _sizes(folder: Path) -> None:
    for size in (1, 4095, 4096, 65_537, MIN_CHUNK - 1, MIN_CHUNK, MIN_CHUNK + 1, MAX_CHUNK, MAX_CHUNK + 1):
        (folder / str(size)).write_bytes((b"%d " % size * (size // 4 + 1))[:size])
