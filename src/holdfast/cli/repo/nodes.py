"""Entries of snapshots as lines and as JSON documents."""

import stat as st

import msgspec

from holdfast.cli.repo.output import human_bytes, local_time, shown
from holdfast.repo.browse import FullNode, Item
from holdfast.repo.result import printable
from holdfast.repo.times import parse_time

_KINDS = {
    "file": st.S_IFREG, "dir": st.S_IFDIR, "symlink": st.S_IFLNK, "fifo": st.S_IFIFO, "socket": st.S_IFSOCK,
    "dev": st.S_IFBLK, "chardev": st.S_IFCHR,
}  # fmt: skip


class NodeJson(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="message_type", tag="node"):
    """One entry. `mode` has the bits of the repository format, `permissions` is what `ls -l` shows; bytes that are not UTF-8
    are written as `\\xNN`.
    """

    path: str
    name: str
    type: str
    mode: int = 0
    permissions: str = ""
    size: int | None = None
    uid: int
    gid: int
    user: str = ""
    group: str = ""
    mtime: str
    atime: str = ""
    ctime: str = ""
    inode: int = 0
    links: int = 0
    linktarget: str = ""


def node_json(item: Item) -> NodeJson:
    """The document of an entry."""
    node = item.node
    path = printable(item.path)
    return NodeJson(
        path=path,
        name=path.rpartition("/")[2],
        type=node.type,
        mode=node.mode,
        permissions=permissions(node),
        size=node.size if node.type == "file" else None,
        uid=node.uid,
        gid=node.gid,
        user=node.user,
        group=node.group,
        mtime=node.mtime,
        atime=node.atime,
        ctime=node.ctime,
        inode=node.inode,
        links=node.links,
        linktarget=printable(node.linktarget),
    )


def permissions(node: FullNode) -> str:
    """`drwxr-xr-x`."""
    return st.filemode(_KINDS.get(node.type, 0) | node.permissions)


def line(item: Item, *, long: bool, human: bool) -> str:
    """An entry for people: its path, with `long` after its mode, owner, size and time."""
    path = shown(item.path)
    if not long:
        return path
    node = item.node
    size = human_bytes(node.size) if human else str(node.size)
    target = f" -> {shown(node.linktarget)}" if node.type == "symlink" else ""
    return f"{permissions(node)} {node.uid:>5} {node.gid:>5} {size:>12} {_time(node)} {path}{target}"


def _time(node: FullNode) -> str:
    try:
        return local_time(parse_time(node.mtime))
    except (ValueError, OverflowError):
        return node.mtime[:19].replace("T", " ")
