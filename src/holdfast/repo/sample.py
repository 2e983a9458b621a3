"""Does what lies in the store still read back? A few packs, drawn at random, are read whole.

The cost is that of one listing of the packs and of the bytes that are asked for, however large the repository is: no index is
read. Each pack must be what its name says, and each blob that its table of contents names must open. What is missing, or lies
in other packs, a sample can't see; `check` can.
"""

import threading

import msgspec

from holdfast.repo.check_packs import Pack, PackChecker
from holdfast.repo.errors import RepositoryError, Stopped
from holdfast.repo.findings import Findings
from holdfast.repo.pack import LENGTH_BYTES, header_start, read_header
from holdfast.repo.repository import Repository
from holdfast.repo.subset import Subset


class Sample(msgspec.Struct, frozen=True):
    """How many packs and bytes were read, and what was found in words, at most a few hundred."""

    packs: int
    bytes: int
    problems: tuple[str, ...]


def sample(repo: Repository, most: int, *, seed: int | None = None, stop: threading.Event | None = None) -> Sample:
    """Read packs of together at most `most` bytes, but one in any case; `seed` makes the draw repeatable.

    It holds a shared lock, so that no pack is removed meanwhile. Damage is never raised but ends in the result; raised are
    Stopped, RepositoryLocked, and the StoreError of a store that does not answer a listing.
    """
    findings = Findings()

    def check() -> None:
        if stop is not None and stop.is_set():
            raise Stopped("the sample was asked to stop before it was read")

    with repo.lock():
        sizes = {bytes.fromhex(entry.name): entry.size for entry in repo.store.list("data")}
        drawn = sorted(Subset("bytes", most).choose(sizes, seed)) if sizes else []
        packs = [found for pack in drawn if (found := _contents(repo, pack, sizes[pack], findings)) is not None]
        PackChecker(repo, findings, lambda _: None, check).read(packs, 1)
    read = sum(sizes[pack] for pack in drawn)
    return Sample(len(drawn), read, tuple(finding.text for finding in findings.kept))


def _contents(repo: Repository, pack: bytes, size: int, findings: Findings) -> Pack | None:
    """Return a pack with what its own table of contents names; None, with a finding, when that can't be read."""
    try:
        tail = repo.read_pack(pack, max(size - LENGTH_BYTES, 0), min(size, LENGTH_BYTES))
        begin = header_start(memoryview(tail), size)
        sealed = memoryview(repo.read_pack(pack, begin, size - begin))
        return pack, size, read_header(sealed[:-LENGTH_BYTES], begin, repo.key)
    except RepositoryError as error:
        findings.add("pack", pack.hex(), f"pack {pack.hex()[:12]} can't be read: {error}")
        return None
