"""Which of the two chunkers cuts: the keyed one where we write alone, the stock program's where it writes too.

`auto` looks at the snapshots: one that another program made means that a file may be stored by either, and equal content must
become equal blobs. A repository can be told to always be cut in one way when it is made (`Repository.init`), and a backup for
itself; that is for a repository that will be shared later, or that shall deduplicate with another one.
"""

from collections.abc import Sequence
from typing import Protocol, get_args

from holdfast.repo.chunker import Chunker
from holdfast.repo.config import Chunking
from holdfast.repo.errors import Damaged
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot

OUR_PROGRAM = "holdfast "
"""How the `program_version` of our own snapshots begins."""


class Cutter(Protocol):
    """A chunker. One instance serves all threads."""

    def next_cut(self, data: memoryview) -> int:
        """Length of the first chunk of `data`, which must hold MAX_BYTES, or all that is left of the file."""
        ...


def is_shared(snapshots: Sequence[Snapshot]) -> bool:
    """Whether another program wrote any of the snapshots. Old releases of the stock program left no name."""
    return any(not snapshot.program_version.startswith(OUR_PROGRAM) for snapshot in snapshots)


def choose_chunker(repo: Repository, chunking: Chunking, snapshots: Sequence[Snapshot]) -> Cutter:
    """The chunker for a backup that asks for `chunking` into a repository with these snapshots. Raises Damaged."""
    wanted = chunking if chunking != "auto" else repo.config.holdfast_chunking or "auto"
    if wanted not in get_args(Chunking):
        raise Damaged(f"{repo.store.location}: its config asks for the unknown chunking {wanted!r}: use a newer release")
    if wanted == "stock" or (wanted == "auto" and is_shared(snapshots)):
        from holdfast.repo.rabin import RabinChunker  # brings numpy, which is slow to start

        return RabinChunker(repo.config.chunker_polynomial)
    return Chunker(repo.chunker_secret)
