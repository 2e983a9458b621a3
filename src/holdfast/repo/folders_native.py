"""One folder of the source, native: see `folders` for the calls. Nothing here runs once per file, unless it went wrong."""

import errno
import os
from collections.abc import Callable
from typing import Any

from holdfast.repo import native
from holdfast.repo.folders import BATCH_BYTES, BATCH_FILES, Job, Subfolder, Wanted, unlisted
from holdfast.repo.index_native import NativeIndex
from holdfast.repo.packer_native import NativePacker
from holdfast.repo.reading import FileReader
from holdfast.repo.scan import scan_native
from holdfast.repo.times import utc_only

_Report = tuple[int, int, int, int, list[tuple[bytes, int, str | None]]]


class NativeFolder:
    """A folder whose entries live in the native module."""

    def __init__(self, job: Job, reader: FileReader, path: str, known: str, wanted: Wanted) -> None:
        index, packer = job.repo.index, job.writer.packer
        assert isinstance(index, NativeIndex)
        assert isinstance(packer, NativePacker)
        self._index, self._packer = index.native, packer
        self._job, self._reader, self._path, self._wanted, self._known = job, reader, path, wanted, known
        self._folder: Any = None
        self.subfolders: list[Subfolder] = []
        self.small: list[Callable[[], None]] = []
        self.large: list[Callable[[], None]] = []
        self.entries = 0
        self.lost = False

    def open(self) -> None:
        """List, compare, and read at once when there is little to read."""
        job = self._job
        self._folder = self._look() if self._wanted else self._scan()
        old = job.known_tree(self._known)
        comparison = job.comparison
        found: _Report = self._folder.match(self._index, old, comparison.ignore_ctime, comparison.ignore_inode)
        self._faults(found)
        job.count(unmodified=found[0], size=found[1])
        batches = self._folder.batches(BATCH_FILES, BATCH_BYTES)
        if len(batches) == 1:
            self._read(*batches[0])
        else:
            self.small = [lambda batch=batch: self._read(*batch) for batch in batches]
        self.large = [lambda row=row: self._large(*row) for row in self._folder.large()]
        for key, raw, known in self._folder.folders():
            name = os.fsdecode(raw)
            self.subfolders.append(Subfolder(key, name, known.hex(), self._wanted.get(name, Wanted())))
        self.entries = self._folder.count() + 1

    def _new(self) -> Any:
        module: Any = native.module()
        return module.Folder(os.fsencode(self._path), utc_only())

    def _scan(self) -> Any:
        try:
            folder, vanished = scan_native(self._path, self._job.rules, utc=utc_only())
        except OSError as error:
            self._job.faults.add(self._path, unlisted(error))
            self.lost = True
            return self._new()
        self._job.count(vanished=vanished)
        return folder

    def _look(self) -> Any:
        folder = self._new()
        for name in sorted(self._wanted, key=os.fsencode):
            try:
                folder.look(os.fsencode(name))
            except OSError as error:
                self._job.faults.add(os.path.join(self._path, name), error)
        return folder

    def _faults(self, report: _Report) -> None:
        for name, number, attribute in report[4]:
            path, why = os.path.join(self._path, os.fsdecode(name)), os.strerror(number)
            if not number:
                self._job.faults.add(path, OSError(errno.EINVAL, "is no regular file any more"))
            elif attribute is None:
                self._job.faults.add(path, OSError(number, why))
            elif attribute:
                self._job.faults.add(path, OSError(number, f"its extended attribute {attribute} can't be read: {why}"))
            else:
                self._job.faults.add(path, OSError(number, f"its extended attributes can't be listed: {why}"))

    def _read(self, first: int, last: int) -> None:
        self._job.writer.check()
        report: _Report = self._packer.call(self._folder.read, first, last)
        files, size, changed, vanished, _ = report
        self._faults(report)
        self._job.count(new=files - changed, changed=changed, vanished=vanished, size=size)
        self._job.writer.hand_over()

    def _large(self, number: int, raw: bytes, known: bool) -> None:
        name = os.fsdecode(raw)
        path = os.path.join(self._path, name)
        node = self._job.attempt(path, lambda: self._reader.archive(name, path))
        if not node:
            self._folder.drop(number)
            return
        self._folder.set_node(number, node.encode())
        self._job.count(new=not known, changed=known)

    def place(self, subfolder: Subfolder, tree: str) -> None:
        """Describe the subfolder."""
        self._folder.set_subtree(subfolder.key, bytes.fromhex(tree))

    def finish(self) -> str:
        """Encode and store. Files that had grown when they were opened are read here."""
        for row in self._folder.large():
            self._large(*row)
        self._job.writer.check()
        ident: bytes = self._packer.call(self._folder.finish, bytes.fromhex(self._known))
        self._job.writer.hand_over()
        return ident.hex()
