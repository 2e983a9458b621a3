"""Writing the content of batches of files from few reads of packs.

Blobs that are wanted are grouped by pack and sorted by offset; neighbours are fetched with one read (`packreads`),
which is what bounds memory: one range and one open blob per thread. A small file is created, filled, given its metadata and
read back in one go; larger ones are made first, filled piece by piece in any order, and finished last.
"""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np

from holdfast.repo.errors import RepositoryError
from holdfast.repo.files import Files, Outcome, PureFiles
from holdfast.repo.gate import Gate
from holdfast.repo.gathered import Gathered
from holdfast.repo.native import module
from holdfast.repo.native_files import NativeFiles
from holdfast.repo.plan import Plan, Read, Rows
from holdfast.repo.repository import Repository

_SMALL_PIECE = 64 << 10
"""Pieces below this size on average are work for the interpreter on the pure path, and go through the gate."""
LARGE_BYTES = 16 << 20
"""No chunk of ours or of the stock program is as large; a blob that is takes three times its size in memory."""
_VERIFY_BYTES = 64 << 20
"""How much of files one task reads back."""


class Content:
    """The content of one batch of files. The steps `begin`, `wait`, `finish` come in this order, from one thread.

    `check` raises when the run is to stop; it is asked before each piece of work. `one_large` is held while a blob of more than
    LARGE_BYTES is read, so that there is one such at a time.
    """

    def __init__(
        self,
        repo: Repository,
        files: Gathered,
        outcome: Outcome,
        pool: Executor,
        gate: Gate,
        check: Callable[[], None],
        one_large: threading.Lock,
        *,
        sparse: bool,
        verify: bool,
    ) -> None:
        self._repo, self._files, self._outcome, self._pool = repo, files, outcome, pool
        self._gate, self._check, self._sparse, self._verify = gate, check, sparse, verify
        self._pure = True
        self._one_large = one_large
        self.tasks: list[Future[None]] = []
        """What `begin` and `finish` left to the pool; the caller waits for it."""

    def begin(self) -> None:
        """Make the larger files, and let the pool fetch and fill."""
        if not self._files:
            return
        plan = self._plan = Plan(self._repo.index, self._files, self._outcome.fail, sparse=self._sparse)
        self._pieced = np.flatnonzero(~plan.whole).astype(np.uint32)
        self._work = self._choose(plan)
        self._work.make(self._pieced)
        self._outcome.done(0, plan.hole_bytes)
        self.tasks = [self._pool.submit(self._fetch, read) for read in plan.reads]

    def finish(self) -> None:
        """Finish what is not finished yet, and let the pool read the larger files back. After the tasks of `begin`."""
        if not self._files:
            return
        more = self._files.special()
        open_ones = ~self._plan.whole & (self._plan.sizes > 0)
        self._work.finish(np.flatnonzero((open_ones | more) & ~self._files.failed()).astype(np.uint32))
        portions = np.array_split(
            self._pieced, np.flatnonzero(np.diff(np.cumsum(self._plan.sizes[self._pieced]) // _VERIFY_BYTES)) + 1
        )
        self.tasks = [self._pool.submit(self._read_back, rows) for rows in portions if len(rows)] if self._verify else []

    def _choose(self, plan: Plan) -> Files:
        native = module()
        self._pure = native is None
        if native is None:
            return PureFiles(self._repo, self._outcome, plan, sparse=self._sparse, verify=self._verify)
        return NativeFiles(native, self._repo, self._outcome, plan, sparse=self._sparse, verify=self._verify)

    def _fetch(self, read: Read) -> None:
        self._check()
        with self._one_large if read.largest > LARGE_BYTES else contextlib.nullcontext():
            self._fetch_now(read)

    def _fetch_now(self, read: Read) -> None:
        try:
            data = memoryview(self._repo.read_pack(read.pack, read.start, read.length))
        except RepositoryError as error:
            self._lose(read, error)
            return
        small = self._pure and read.length < (read.last - read.first) * _SMALL_PIECE
        with self._gate if small else contextlib.nullcontext():
            self._work.fill(data, read)

    def _lose(self, read: Read, error: RepositoryError) -> None:
        rows: list[int] = np.unique(self._plan.places_of(read)["file"]).tolist()
        for row in rows:
            self._outcome.fail(self._files[row], error)

    def _read_back(self, rows: Rows) -> None:
        self._check()
        self._work.verify(rows)
