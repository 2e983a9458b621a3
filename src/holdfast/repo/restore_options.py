"""How a restore is asked for, and what it counts."""

from collections.abc import Callable

import msgspec

from holdfast.repo.overwrite import Action, Overwrite
from holdfast.repo.selection import Selection

ActionHook = Callable[[Action, str, int], None]
"""Is told what is done, or would be, to an entry: the action, its path in the target, its size in bytes. From one thread."""


class Options(msgspec.Struct, frozen=True):
    """How to restore; see `restore.restore`."""

    selection: Selection
    overwrite: Overwrite
    delete: bool
    staging: bool
    dry_run: bool
    verify: bool
    sparse: bool
    workers: int


class Counts(msgspec.Struct):
    """What was done, besides what the meter counts."""

    directories: int = 0
    links: int = 0
    others: int = 0
    skipped: int = 0
    unchanged: int = 0
    removed: int = 0
    unowned: int = 0
    verified_files: int = 0
    verified_bytes: int = 0
