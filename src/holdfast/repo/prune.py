"""Giving space back: stock restic prunes, behind floors of ours.

Its prune is proven over years; ours would have to be proven first. Before it runs, an exclusive lock shows that nobody living
works in the repository and removes the locks of the dead; under it, every snapshot and index must be readable, every pack that
an index names must be there in full length, and the root of every snapshot must open. Then the lock is given back, since stock
restic takes its own, and refuses if somebody came in between. Afterwards the roots are read again, from a new index.

A dry run takes a shared lock, changes nothing, and may run beside writers.
"""

import contextlib
import re
import threading
import time
from typing import Any

import msgspec

from holdfast.repo.documents import parse_id
from holdfast.repo.errors import Damaged, PruneFailed, RepositoryLocked, Stopped, WrongPassword
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.stock import EXIT_LOCKED, EXIT_PASSWORD, PROGRAM, Access, Ended, find_program, run_stock
from holdfast.repo.tree import decode_tree

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
_BLOBS = re.compile(r"^([a-z ]+):\s+(\d+) blobs / ([\d.]+) (\w+)$", re.MULTILINE)
_PACKS = re.compile(r"^(to keep|to repack|to delete):\s+(\d+) packs$", re.MULTILINE)
_LIMIT = re.compile(r"unlimited|\d+(\.\d+)?%|\d+[kKmMgGtT]?")
_SIZE = re.compile(r"\d+[kKmMgGtT]?")
_LOCKED_WORDS = "repository is already locked"
_RETRY_SECONDS = 2.0
_VERIFY_WAIT_SECONDS = 30.0


class PruneOptions(msgspec.Struct, frozen=True):
    """What may be left and what may be rewritten; stock restic's own defaults where a field is empty.

    `max_unused`: unused data that is tolerated, as a part (`5%`), a size (`10G`) or `unlimited`. `max_repack_size`: the most
    data that is written anew, such as `50G`. `repack_small`: also merge packs far below the usual size.
    """

    max_unused: str = ""
    max_repack_size: str = ""
    repack_cacheable_only: bool = False
    repack_small: bool = False
    repack_uncompressed: bool = False


class PruneResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished prune, or with `dry_run` what it would do.

    `verified` is whether all roots were read again afterwards: not in a dry run, nor while somebody else prunes already.

    `bytes_before`, `packs_before` and their `after` are exact, from listing the store (equal in a dry run). The others are what
    restic reports of blobs, its sizes rounded to three decimals: `removed` is gone for good, `repacked` was read and written
    anew, `unused_left` is tolerated.
    """

    dry_run: bool
    verified: bool
    removed_blobs: int
    removed_bytes: int
    repacked_blobs: int
    repacked_bytes: int
    remaining_blobs: int
    remaining_bytes: int
    unused_left_bytes: int
    packs_kept: int
    packs_repacked: int
    packs_deleted: int
    packs_before: int
    packs_after: int
    bytes_before: int
    bytes_after: int
    seconds: float
    log: str

    @property
    def freed_bytes(self) -> int:
        """What the store got back."""
        return self.bytes_before - self.bytes_after


def prune(
    repo: Repository,
    access: Access,
    *,
    options: PruneOptions | None = None,
    dry_run: bool = False,
    wait_seconds: float = 0.0,
    program: str = PROGRAM,
    stop: threading.Event | None = None,
) -> PruneResult:
    """Remove what no snapshot needs. `access` is how stock restic reaches the same repository; others are waited for at most
    `wait_seconds`.

    Raises MissingProgram where restic is not installed, RepositoryLocked while somebody works in the repository, Damaged for a
    repository that must be repaired first (nothing was removed) or that does not read back afterwards, PruneFailed with the
    last words of restic, WrongPassword, Stopped, ValueError for an option that makes no sense, or the StoreError of a store.
    """
    words = _words(options or PruneOptions(), dry_run=dry_run)
    found = find_program(program)
    started, deadline = time.monotonic(), time.monotonic() + wait_seconds
    while True:
        with repo.lock(exclusive=not dry_run, wait_seconds=max(deadline - time.monotonic(), 0), stop=stop):
            before = _ensure_sound(repo)
        ended = run_stock(found, access, words, stop)
        if not _was_locked(ended) or time.monotonic() + _RETRY_SECONDS > deadline:
            break
        if (stop or threading.Event()).wait(_RETRY_SECONDS):
            raise Stopped("stopped while waiting for whoever works in the repository; nothing was done")
    _raise_for(repo, ended)
    after, verified = before, False
    if not dry_run:
        with contextlib.suppress(RepositoryLocked), repo.lock(wait_seconds=_VERIFY_WAIT_SECONDS, stop=stop):
            _ensure_roots(repo)
            verified = True
        after = _sizes(repo)
    seconds = time.monotonic() - started
    return _result(ended.output, before, after, seconds, dry_run=dry_run, verified=verified)


def _words(options: PruneOptions, *, dry_run: bool) -> list[str]:
    words = ["prune", "--verbose"]
    if dry_run:
        words += ["--dry-run", "--no-lock"]
    for name, value, form in (
        ("--max-unused", options.max_unused, _LIMIT),
        ("--max-repack-size", options.max_repack_size, _SIZE),
    ):
        if value and not form.fullmatch(value):
            raise ValueError(f"{name} {value!r} is neither a size such as 10G nor, where it may be one, a part such as 5%")
        words += [name, value] if value else []
    switches = {
        "--repack-cacheable-only": options.repack_cacheable_only,
        "--repack-small": options.repack_small,
        "--repack-uncompressed": options.repack_uncompressed,
    }
    return words + [name for name, wanted in switches.items() if wanted]


def _sizes(repo: Repository) -> dict[str, int]:
    return {entry.name: entry.size for entry in repo.store.list("data")}


def _ensure_sound(repo: Repository) -> dict[str, int]:
    """Raise Damaged unless everything that decides what is needed can be read; returns the sizes of packs by name."""
    sizes = _sizes(repo)
    try:
        _ensure_roots(repo)
        for pack, entries in repo.index.by_pack():
            needed = max((entry.offset + entry.length for entry in entries), default=0)
            size = sizes.get(pack.hex())
            if size is None or size < needed:
                what = "is missing" if size is None else f"has {size} bytes, its blobs need {needed}"
                raise Damaged(f"{repo.store.location}: pack {pack.hex()[:12]} {what}")
    except Damaged as error:
        raise Damaged(f"{error}: nothing was pruned; repair the repository first") from error
    return sizes


def _ensure_roots(repo: Repository) -> None:
    """Raise Damaged unless every snapshot opens down to its root, by an index that is read anew."""
    snapshots = _readable(repo)
    repo.load_index()
    for snapshot in snapshots:
        try:
            decode_tree(repo.load_blob(parse_id(snapshot.tree)))
        except (Damaged, ValueError) as error:
            raise Damaged(f"snapshot {snapshot.short_id} does not read back: {error}") from error


def _readable(repo: Repository) -> list[Snapshot]:
    """All snapshots. Raises Damaged naming each that can't be read: what it needs can't be told from what nobody does."""
    damaged: list[str] = []
    found = repo.snapshots(lambda ident, _: damaged.append(ident))
    if damaged:
        many = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise Damaged(
            f"{repo.store.location}: snapshots/{damaged[0]}{many} can't be read, so nobody knows what of the data they need; "
            "restore them from a copy of the repository, or give them up: holdfast repo forget "
            f"{' '.join(ident[:8] for ident in damaged)}"
        )
    return found


def _was_locked(ended: Ended) -> bool:
    return ended.code == EXIT_LOCKED or (ended.code != 0 and _LOCKED_WORDS in ended.output)


def _raise_for(repo: Repository, ended: Ended) -> None:
    if ended.code == 0:
        return
    where = repo.store.location
    if _was_locked(ended):
        raise RepositoryLocked(f"{where}: somebody took a lock before restic could: {ended.last_words}; prune again later")
    if ended.code == EXIT_PASSWORD:
        raise WrongPassword(f"{where}: restic could not open the repository with the password that we use")
    raise PruneFailed(f"{where}: restic prune ended with exit code {ended.code}: {ended.last_words}; the next one goes on")


def _result(
    output: str, before: dict[str, int], after: dict[str, int], seconds: float, *, dry_run: bool, verified: bool
) -> PruneResult:
    blobs = {name: (int(count), round(float(size) * _UNITS.get(unit, 1))) for name, count, size, unit in _BLOBS.findall(output)}
    packs = {name: int(count) for name, count in _PACKS.findall(output)}
    unused = re.search(r"^unused size after prune: ([\d.]+) (\w+)", output, re.MULTILINE)
    figures: dict[str, Any] = {}
    for field, name in (("removed", "total prune"), ("repacked", "to repack"), ("remaining", "remaining")):
        figures[f"{field}_blobs"], figures[f"{field}_bytes"] = blobs.get(name, (0, 0))
    return PruneResult(
        dry_run=dry_run,
        verified=verified,
        **figures,
        unused_left_bytes=round(float(unused[1]) * _UNITS.get(unused[2], 1)) if unused else 0,
        packs_kept=packs.get("to keep", 0),
        packs_repacked=packs.get("to repack", 0),
        packs_deleted=packs.get("to delete", 0),
        packs_before=len(before),
        packs_after=len(after),
        bytes_before=sum(before.values()),
        bytes_after=sum(after.values()),
        seconds=seconds,
        log=output.strip(),
    )
