"""A restore that nobody sees before it is complete.

The files are restored into a hidden folder on the same file system, and moved to where they belong by renaming when all of them
are there and verified. Where the target does not exist the hidden folder lies beside it, and one rename hands over everything
at once. Where it exists and is empty, as a mounted volume is, the hidden folder lies in it, and each top-level entry is
renamed: an application that starts in between would see some of them, so start it after the restore. When the restore fails the
hidden folder is removed; when single files are missing it is kept for the user to look at, and the target stays as it was.
"""

import contextlib
import os
import shutil
from types import TracebackType
from typing import Self

from holdfast.repo.errors import BadRequest

PREFIX = ".holdfast-restore-"
_ALWAYS_THERE = frozenset({"lost+found"})


class Stage:
    """A context manager; `folder` is where to restore to. Raises BadRequest for a target that holds something."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._inside = os.path.isdir(target)
        if os.path.lexists(target) and not self._inside:
            raise BadRequest(f"{target}: staging needs a folder or a name that is free, and there is something else")
        if self._inside and set(os.listdir(target)) - _ALWAYS_THERE:
            raise BadRequest(f"{target}: staging needs a new or empty target, and this one holds files: name another")
        name = PREFIX + os.urandom(4).hex()
        self.folder = os.path.join(target if self._inside else os.path.dirname(target), name)
        self._settled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._settled:
            with contextlib.suppress(OSError, RecursionError):
                shutil.rmtree(self.folder)

    def keep(self) -> str:
        """Leave the hidden folder where it is, for the user; returns its path."""
        self._settled = True
        return self.folder

    def hand_over(self) -> None:
        """Move what was restored into place. Raises OSError, and BadRequest where something has appeared there meanwhile."""
        self._settled = True
        if not self._inside:
            if os.path.lexists(self._target):
                raise BadRequest(f"{self._target}: it appeared while the restore ran; the files are in {self.folder}")
            os.rename(self.folder, self._target)
            return
        appeared = set(os.listdir(self._target)) - _ALWAYS_THERE - {os.path.basename(self.folder)}
        if appeared:
            raise BadRequest(f"{self._target}: {sorted(appeared)[0]!r} appeared while the restore ran; "
                             f"the files are in {self.folder}")  # fmt: skip
        for name in os.listdir(self.folder):
            os.rename(os.path.join(self.folder, name), os.path.join(self._target, name))
        shutil.copystat(self.folder, self._target)
        os.rmdir(self.folder)
