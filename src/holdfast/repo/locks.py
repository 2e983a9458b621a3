"""Locks: who works in the repository, so that nobody removes what another needs.

Backups and restores hold a shared lock, whoever deletes data an exclusive one. A lock is written first and the others are
listed afterwards, so of two rivals at least one sees the other. It is refreshed every five minutes by a new object that
replaces the old one; a holder whose lock vanished, or that could not refresh it in time, must not write any more (`ensure`).
Ages are counted by a clock that runs on while the machine sleeps, and by the wall clock, whichever says more.
A lock is stale when its holder is proven dead (same boot, same pid namespace, no such process; for foreign locks same host
and no such process, seen from outside of any namespace; or a host that the caller knows to be gone, such as a pod that has
ended), or when it is older than 30 minutes. Whoever takes a lock removes the stale ones first.
"""

import contextlib
import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Container, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from holdfast.repo.documents import MAX_SMALL_BYTES, decode, refuse_large
from holdfast.repo.errors import AccessDenied, Damaged, LockLost, ObjectNotFound, RepositoryLocked, Stopped, StoreError
from holdfast.repo.hangup import ignore_hangups
from holdfast.repo.keys import user_name
from holdfast.repo.store import Store, path_of
from holdfast.repo.times import format_time, parse_time

REFRESH_SECONDS = 300.0
STALE_AFTER = timedelta(minutes=30)
EXPIRES_SECONDS = 1500.0
"""A holder that could not refresh for this long stops: five minutes before others may call its lock stale."""


RETRY_REFRESH_SECONDS = 15.0
"""How soon a refresh is tried again when the store failed."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 10.0
"""Pauses between attempts to take a lock that somebody else holds: they double, and are jittered so that rivals part."""


class LockJson(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON of a lock. `holder` is ours: boot and pid namespace, which make a pid comparable; others ignore it."""

    time: str
    exclusive: bool = False
    hostname: str = ""
    username: str = ""
    pid: int = 0
    uid: int = 0
    gid: int = 0
    holder: str = ""

    def describe(self) -> str:
        """For people."""
        kind = "an exclusive" if self.exclusive else "a shared"
        return f"{kind} lock by {self.username or '?'} on {self.hostname or '?'} (pid {self.pid}) since {self.time}"


def _namespace() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def stale_reason(lock: LockJson, now: datetime, dead: Container[str] = ()) -> str:
    """Why a lock may be removed: its holder is proven to be gone, or has not refreshed it for too long. Empty for a live lock.

    `dead` are hosts known to have ended.
    """
    if lock.hostname in dead:
        return f"its host {lock.hostname} has ended"
    try:
        age = now - parse_time(lock.time)
    except ValueError:
        return ""
    if age > STALE_AFTER:
        return f"it was not refreshed for {age // timedelta(minutes=1)} minutes"
    here = _namespace()
    if lock.hostname != socket.gethostname() or lock.pid <= 0 or not here:
        return ""
    comparable = lock.holder == here if lock.holder else not _in_child_namespace()
    return f"its process {lock.pid} has ended" if comparable and not _alive(lock.pid) else ""


def is_stale(lock: LockJson, now: datetime, dead: Container[str] = ()) -> bool:
    """Whether a lock may be removed; see `stale_reason`."""
    return bool(stale_reason(lock, now, dead))


def _in_child_namespace() -> bool:
    """A process in a pid namespace of its own sees only itself; a foreign lock's pid means nothing to it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return True
    chain = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), ["", ""])
    return len(chain) > 1 or os.getpid() == 1


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _clocks() -> tuple[float, float]:
    """Seconds since the machine started, sleep included, and seconds since 1970."""
    return time.clock_gettime(time.CLOCK_BOOTTIME), time.time()


def _age(since: tuple[float, float]) -> float:
    return max(now - then for now, then in zip(_clocks(), since, strict=True))


class Lock:
    """A held lock. Used through `hold`."""

    def __init__(
        self,
        store: Store,
        seal: Callable[[bytes], bytes],
        unseal: Callable[[str], bytes],
        *,
        exclusive: bool,
        refresh_seconds: float = REFRESH_SECONDS,
        dead: Container[str] = (),
    ) -> None:
        self._store, self._seal, self._unseal = store, seal, unseal
        self._exclusive = exclusive
        self._dead = dead
        self._refresh_seconds = refresh_seconds
        self._name = ""
        self._fresh = _clocks()
        self._lost = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Write the lock, then look for others. Raises RepositoryLocked and leaves nothing behind."""
        self._refuse_conflicts()
        ignore_hangups()
        self._name, content = self._sealed()
        try:
            self._put_first(content)
            self._refuse_conflicts()
        except BaseException:  # a signal may come in the middle of the put
            with contextlib.suppress(StoreError):
                self._remove()
            self._name = ""
            raise
        self._thread = threading.Thread(target=self._refresh_loop, name="repository-lock", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stop refreshing and remove the lock. A store that fails here leaves a lock that grows stale."""
        self._stop.set()
        if self._thread is not None:
            with contextlib.suppress(RuntimeError):  # a signal came before it had started: then it ends by itself
                self._thread.join()
        if self._name:
            with contextlib.suppress(StoreError):
                self._remove()

    def ensure(self) -> None:
        """Raise LockLost unless the lock still protects us. Called before every write."""
        if not self._lost and _age(self._fresh) > EXPIRES_SECONDS:
            self._lost = f"could not be refreshed for {EXPIRES_SECONDS / 60:.0f} minutes"
        if self._lost:
            raise LockLost(f"{self._store.location}: our lock {self._lost}; stopped before the next write; run again")

    def confirm(self) -> None:
        """`ensure`, and ask the store too. Called before a snapshot is written.

        A repository that was removed, or pruned after somebody broke our lock, must not end in one that names what is gone.
        """
        name = ""
        while name != self._name and not self._lost:
            name = self._name
            try:
                self._store.size(path_of("locks", name))
            except ObjectNotFound:
                if name == self._name:  # else it was refreshed meanwhile
                    self._lost = f"{name[:8]} was removed by somebody else"
        self.ensure()

    def _sealed(self) -> tuple[str, bytes]:
        lock = LockJson(
            time=format_time(datetime.now(UTC)),
            exclusive=self._exclusive,
            hostname=socket.gethostname(),
            username=user_name(),
            pid=os.getpid(),
            uid=os.getuid(),
            gid=os.getgid(),
            holder=_namespace(),
        )
        content = self._seal(msgspec.json.encode(lock))
        return hashlib.sha256(content).hexdigest(), content

    def _put(self, name: str, content: bytes) -> None:
        started = _clocks()
        self._store.put(path_of("locks", name), content)
        self._fresh = started

    def _put_first(self, content: bytes) -> None:
        try:
            self._put(self._name, content)
        except AccessDenied as error:
            if self._exclusive:
                raise
            raise AccessDenied(f"{error}; what only reads can do without a lock: --no-lock") from error

    def _remove(self) -> None:
        with contextlib.suppress(ObjectNotFound):
            self._store.delete(path_of("locks", self._name))

    def _refuse_conflicts(self) -> None:
        now = datetime.now(UTC)
        for name, lock in read_locks(self._store, self._unseal):
            if name == self._name:
                continue
            if is_stale(lock, now, self._dead):
                with contextlib.suppress(ObjectNotFound):
                    self._store.delete(path_of("locks", name))
                continue
            if not (self._exclusive or lock.exclusive):
                continue
            raise RepositoryLocked(
                f"{self._store.location}: the repository is locked: {lock.describe()}; wait for it, or unlock the "
                "repository once that process is known to be gone"
            )

    def _refresh_loop(self) -> None:
        pause = self._refresh_seconds
        while not self._stop.wait(pause):
            try:
                self._refresh()
                pause = self._refresh_seconds
            except StoreError:
                pause = min(self._refresh_seconds, RETRY_REFRESH_SECONDS)

    def _refresh(self) -> None:
        try:
            self._store.size(path_of("locks", self._name))
        except ObjectNotFound:
            self._lost = f"{self._name[:8]} was removed by somebody else"
            self._stop.set()
            return
        name, content = self._sealed()
        self._put(name, content)
        old, self._name = self._name, name
        with contextlib.suppress(ObjectNotFound):
            self._store.delete(path_of("locks", old))


_decoder = msgspec.json.Decoder(LockJson)


def read_locks(store: Store, unseal: Callable[[str], bytes]) -> Iterator[tuple[str, LockJson]]:
    """All locks. One that vanished meanwhile is skipped; one that can't be read counts as exclusive, to be safe."""
    for entry in store.list("locks"):
        try:
            refuse_large(entry.size, MAX_SMALL_BYTES, "the lock")
            yield entry.name, decode(_decoder, unseal(path_of("locks", entry.name)), "the lock")
        except ObjectNotFound:
            continue
        except Damaged:
            yield entry.name, LockJson(time="unreadable", exclusive=True)


@contextlib.contextmanager
def hold(lock: Lock, wait_seconds: float = 0.0, stop: threading.Event | None = None) -> Generator[Lock]:
    """Hold a lock for the length of a `with` block.

    Raises RepositoryLocked when it can't be had within `wait_seconds`, Stopped when `stop` is set while it waits.
    """
    stopped = stop or threading.Event()
    deadline, pause = time.monotonic() + wait_seconds, FIRST_WAIT_SECONDS
    try:
        while True:
            try:
                lock.acquire()
                break
            except RepositoryLocked:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                if stopped.wait(min(random.uniform(pause / 2, pause), left)):
                    raise Stopped("stopped while waiting for a lock of the repository; nothing was done") from None
                pause = min(2 * pause, LONGEST_WAIT_SECONDS)
        yield lock
    finally:
        lock.release()
