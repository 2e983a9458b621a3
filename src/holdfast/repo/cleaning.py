"""The delete rule: removing from restored folders what the snapshot does not have.

Only what the selection would have restored is removed: what an exclude pattern matches stays, also inside of a folder that goes
otherwise, and so does all that include patterns do not name. Everything is removed through descriptors of folders and without
following links.
"""

import os
import stat as st
from collections.abc import Callable, Collection

from holdfast.repo.overwrite import Action
from holdfast.repo.selection import Selector

_MOST_DEPTH = 200
"""Folders in each other that are removed: each takes a descriptor."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Cleaner:
    """Removes; `tell` is given the action and the path of each entry, `fault` what could not be removed."""

    def __init__(
        self,
        selector: Selector,
        tell: Callable[[Action, str], None],
        fault: Callable[[str, OSError], None],
        *,
        dry_run: bool,
    ) -> None:
        self._selector, self._tell, self._fault, self._dry_run = selector, tell, fault, dry_run

    def clean(self, folder: int, path: str, inside: str, expected: Collection[str], *, wanted: bool) -> None:
        """Remove from an open folder all names but the expected ones.

        `path` is the folder's in the file system, `inside` within the snapshot; `wanted` says that all in it is selected.
        """
        for name in os.listdir(folder):
            if name in expected:
                continue
            within = f"{inside}/{name}"
            if not self._selector.excludes(within) and (wanted or self._selector.includes(within)):
                self._remove(folder, name, os.path.join(path, name), within)

    def _remove(self, folder: int, name: str, path: str, inside: str, depth: int = 0) -> bool:
        """Remove an entry, whole or up to what is excluded; whether it has gone."""
        try:
            if not st.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                if not self._dry_run:
                    os.unlink(name, dir_fd=folder)
            elif not self._empty(folder, name, path, inside, depth + 1):
                return False
            elif not self._dry_run:
                os.rmdir(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            self._fault(path, error)
            return False
        self._tell(Action.REMOVED, path)
        return True

    def _empty(self, folder: int, name: str, path: str, inside: str, depth: int) -> bool:
        if depth > _MOST_DEPTH:
            raise OSError(None, f"there are more than {_MOST_DEPTH} folders in each other: remove them by hand")
        handle = os.open(name, _OPEN, dir_fd=folder)
        try:
            gone = True
            for entry in os.listdir(handle):
                within = f"{inside}/{entry}"
                kept = self._selector.has_excludes and self._selector.excludes(within)
                gone = not kept and self._remove(handle, entry, os.path.join(path, entry), within, depth) and gone
            return gone
        finally:
            os.close(handle)
