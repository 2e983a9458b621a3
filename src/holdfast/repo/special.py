"""What is neither a folder nor a regular file: links, fifos, devices, and second names of files. Sockets are passed over."""

import os
import stat as st

from holdfast.repo.errors import Damaged
from holdfast.repo.files import clear_way
from holdfast.repo.metadata import apply_at
from holdfast.repo.tree import Node

KINDS = ("symlink", "fifo", "dev", "chardev")
"""The types of nodes that are made here."""


def make_special(node: Node, name: str, folder: int) -> bool:
    """Make an entry of an open folder, in place of what is there; whether its owner could be set. Raises OSError or Damaged."""
    clear_way(name, folder)
    if node.type == "symlink":
        raw = node.linktarget_raw
        os.symlink(os.fsdecode(raw) if raw else node.linktarget, name, dir_fd=folder)
    elif node.type == "fifo":
        os.mkfifo(name, 0o600, dir_fd=folder)
    elif node.type in ("dev", "chardev"):
        kind = st.S_IFBLK if node.type == "dev" else st.S_IFCHR
        if not 0 <= node.device < 1 << 64:
            raise Damaged(f"its device number {node.device} is out of range")
        os.mknod(name, kind | 0o600, node.device, dir_fd=folder)
    return apply_at(node, folder, name)


def make_link(first: str, first_folder: int, name: str, folder: int) -> None:
    """Make a second name of what was restored as `first`, each in its open folder. Raises OSError."""
    clear_way(name, folder)
    os.link(first, name, src_dir_fd=first_folder, dst_dir_fd=folder, follow_symlinks=False)
