"""What becomes of a file that is there already: the four rules, which are those of the stock program.

`always` replaces it. `if-changed` takes a file of equal size and time for unchanged and puts only its metadata right.
`if-newer` replaces it when the snapshot's is newer, and `never` leaves it; both leave its metadata alone too. Links and special
files have no content to compare, so `if-changed` replaces them. Folders are entered under every rule, and get the snapshot's
metadata.
"""

import os
import stat as st
from enum import Enum
from typing import Literal, get_args

from holdfast.repo.metadata import mtime_ns
from holdfast.repo.tree import Node

Overwrite = Literal["always", "if-changed", "if-newer", "never"]
"""The rules."""

RULES: tuple[Overwrite, ...] = get_args(Overwrite)


class Action(Enum):
    """What a restore does, or would do, to one entry of the target. The values are what reports say."""

    NEW = "new"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REMOVED = "removed"


def decide(rule: Overwrite, node: Node, there: os.stat_result | None) -> Action:
    """What to do with an entry that is no folder. Raises Damaged for a time that can't be read."""
    if there is None:
        return Action.NEW
    if rule == "always":
        return Action.REPLACED
    if rule == "never":
        return Action.SKIPPED
    mtime = mtime_ns(node)
    if rule == "if-newer":
        return Action.REPLACED if mtime > there.st_mtime_ns else Action.SKIPPED
    same = node.type == "file" and st.S_ISREG(there.st_mode) and (node.size, mtime) == (there.st_size, there.st_mtime_ns)
    return Action.UNCHANGED if same else Action.REPLACED
