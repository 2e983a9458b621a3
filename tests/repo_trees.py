"""A source with everything that file systems allow, and a way to compare two such trees that uses nothing of ours."""

import hashlib
import os
import random
import socket
import stat
from pathlib import Path

from holdfast.repo.repository import Repository
from holdfast.repo.tree import decode_tree

PASSWORD = "correct horse"

ODD_NAMES = [
    b"plain.txt",
    b"with space",
    b"quote\"and'",
    b"back\\slash",
    b"line\nbreak",
    b"tab\tbell\a",
    b"html<&>",
    b"\xff\xfe not utf-8",
    b"\xed\xa0\x80 surrogate",
    "\u00e9 \u65e5\u672c \U0001f600".encode(),
    "\u2028 separator".encode(),
    "\U0001fae8 newer than python".encode(),
    b"-rf",
    b"\xc3\xa9" * 120,
]


def build_corpus(root: Path, *, large: bool = True) -> None:
    """Files with odd names, links, special files, attributes, holes, odd modes and times."""
    root.mkdir(parents=True)
    base = os.fsencode(root)
    for number, name in enumerate(ODD_NAMES):
        Path(os.fsdecode(os.path.join(base, name))).write_bytes(b"content %d" % number)
    _links(root)
    (root / "empty folder").mkdir()
    (root / "empty file").touch()
    deep = root.joinpath(*[f"level{number}" for number in range(30)])
    deep.mkdir(parents=True)
    (deep / "leaf").write_text("deep")
    os.mkfifo(root / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    sparse(root / "sparse", 40 << 20, {5 << 20: b"island", (33 << 20) + 77: b"second"})
    sparse(root / "all hole", 3 << 20, {})
    (root / "zeros written").write_bytes(bytes(1_500_000))
    if large:
        rng = random.Random(1)
        (root / "large random").write_bytes(rng.randbytes(9 << 20))
        (root / "large text").write_bytes(b"".join(b"%d the same words\n" % n for n in range(400_000)))
        (root / "exactly the minimum").write_bytes(rng.randbytes(512 * 1024))
    _metadata(root)


def _links(root: Path) -> None:
    (root / "hard 1").write_text("shared")
    os.link(root / "hard 1", root / "hard 2")
    (root / "sub").mkdir()
    os.link(root / "hard 1", root / "sub" / "hard 3")
    os.symlink("plain.txt", root / "link")
    os.symlink("/nowhere/at all", root / "dangling")
    os.symlink(b"bad \xff<target>", os.fsencode(root / "odd link"))
    os.symlink("..", root / "link to folder")


def _metadata(root: Path) -> None:
    os.setxattr(root / "plain.txt", "user.colour", b"blue\x00\xff")
    os.setxattr(root / "plain.txt", "user.empty", b"")
    os.setxattr(root / "empty folder", "user.folder", b"yes")
    os.chown(root / "with space", 1234, 4321)
    os.lchown(root / "dangling", 7, 8)
    for name, mode in (("empty file", 0o4755), ("hard 1", 0o2640), ("empty folder", 0o3777), ("back\\slash", 0)):
        os.chmod(root / name, mode)
    for name, when in (("plain.txt", -1_500_000_000_123_456_789), ("hard 1", 1), ("sub", 1_600_000_000_000_000_100)):
        os.utime(root / name, ns=(when, when))
    os.utime(root / "link", ns=(5, 987_654_321), follow_symlinks=False)


def sparse(path: Path, size: int, islands: dict[int, bytes]) -> None:
    """A file of holes with a few bytes in it."""
    with open(path, "wb") as file:
        for offset, content in islands.items():
            file.seek(offset)
            file.write(content)
        file.truncate(size)


def describe(root: Path) -> dict[bytes, tuple[object, ...]]:
    """All that a restore must bring back, by path: type and mode, owner, time, target, attributes, content, link group."""
    found: dict[bytes, tuple[object, ...]] = {}
    groups: dict[int, bytes] = {}
    base = os.fsencode(root)
    for folder, folders, files in os.walk(base):
        for name in sorted(folders) + sorted(files):
            path = os.path.join(folder, name)
            info = os.lstat(path)
            if stat.S_ISSOCK(info.st_mode):
                continue
            inside = os.path.relpath(path, base)
            group = groups.setdefault(info.st_ino, inside) if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode) else b""
            found[inside] = (
                oct(info.st_mode),
                info.st_uid,
                info.st_gid,
                info.st_mtime_ns,
                info.st_rdev,
                os.readlink(path) if stat.S_ISLNK(info.st_mode) else b"",
                sorted(
                    (key, os.getxattr(path, key, follow_symlinks=False)) for key in os.listxattr(path, follow_symlinks=False)
                ),
                _content(path) if stat.S_ISREG(info.st_mode) else "",
                group,
            )
    return found


def _content(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(one: Path, two: Path) -> list[str]:
    """What differs between two trees, in words; empty when nothing does."""
    a, b = describe(one), describe(two)
    return [f"{path!r}: {a.get(path)} != {b.get(path)}" for path in sorted(a.keys() | b.keys()) if a.get(path) != b.get(path)]


def find_path(repo: Repository, tree: str, path: str) -> str:
    """The id of the tree of a folder inside a snapshot."""
    for part in path.strip("/").split("/"):
        nodes = {node.file_name: node for node in decode_tree(repo.load_blob(bytes.fromhex(tree)))}
        tree = nodes[part].subtree or ""
    return tree
