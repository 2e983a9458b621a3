"""kill -9 at every boundary of a backup, a copy, a forget, a prune and a restore.

A boundary is the moment before or after one call to the store, or one system call that changes the file system. `make test`
tries a fixed sample; `make soak SEED= N=` kills N times at every boundary of every operation and prints how often it did.
Afterwards the repository must be sound for the stock program and for us, all old snapshots must restore byte for byte, the
same operation must succeed, and no blob that an index held may have been stored again.
"""

import json
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore
from tests import tools
from tests.repo_trees import PASSWORD, differences
from tests.soak.scale import KILLS, SEED, report
from tests.soak.scenes import Scene, Template, indexed_blobs, make_template, verify
from tests.stock import Stock

pytestmark = pytest.mark.timeout(20_000 if KILLS else 120)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("template"), SEED)


@pytest.fixture(scope="module")
def target_template(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Another repository, which holds something else."""
    return make_template(tmp_path_factory.mktemp("target"), SEED + 1000)


@pytest.fixture
def scene(template: Template, tmp_path: Path) -> Iterator[Callable[[], Scene]]:
    """Gives a fresh copy of the template each time, in place of the last one."""
    made: list[Scene] = []

    def fresh() -> Scene:
        for old in made:
            shutil.rmtree(old.folder)
        made[:] = [Scene(template, tmp_path / "scene")]
        return made[0]

    yield fresh
    shutil.rmtree(tmp_path / "scene", ignore_errors=True)


def chosen(counts: dict[str, int], sample: int, only: str = "") -> Iterator[tuple[str, int]]:
    """Boundaries to die at, as label and occurrence: each label KILLS times, or once each in a sample of those with `only`."""
    rng = random.Random(SEED)
    if not KILLS:
        labels = sorted(label for label in counts if only in label)
        yield from ((label, rng.randint(1, counts[label])) for label in rng.sample(labels, min(sample, len(labels))))
        return
    for label, count in sorted(counts.items()):
        yield from ((label, occurrence) for occurrence in (1, count, *(rng.randint(1, count) for _ in range(KILLS)))[:KILLS])


def hits(counts: dict[str, int], attempt: Callable[[str, int], bool], *, sample: int, only: str = "") -> Counter[str]:
    """Make the attempts. Threads share their work differently each time: where a boundary was not met, its first is taken."""
    kills: Counter[str] = Counter()
    for label, occurrence in chosen(counts, sample, only):
        kills[label] += attempt(label, occurrence) or attempt(label, 1)
    return kills


def counts_of(scene: Scene, job: dict[str, str]) -> dict[str, int]:
    """How often an undisturbed run passes each boundary."""
    return json.loads(scene.run(job).stdout)


def no_blob_twice(repository: Path) -> None:
    twice = [ident for ident, count in indexed_blobs(repository).items() if count > 1]
    assert twice == []


def test_a_killed_backup(scene: Callable[[], Scene]) -> None:
    first = scene()
    counts = counts_of(first, first.job("backup"))
    assert counts["before put data"] > 4
    assert counts["before put index"] > 3

    def attempt(label: str, occurrence: int) -> bool:
        here = scene()
        killed = here.run(here.job("backup", label=label, occurrence=str(occurrence))).returncode != 0
        here.verify(here.template.snapshots)
        assert here.run(here.job("backup")).returncode == 0
        snapshots = {**here.template.snapshots, here.newest(): here.template.source}
        here.verify(snapshots, stock=bool(KILLS))
        no_blob_twice(here.repository)
        assert list((here.repository / "locks").iterdir()) == []
        return killed

    report("backup", counts, hits(counts, attempt, sample=6, only=" put "))


def test_a_killed_copy(scene: Callable[[], Scene], target_template: Template, tmp_path: Path) -> None:
    def fresh() -> tuple[Scene, Path]:
        here, other = scene(), tmp_path / "scene" / "other"
        shutil.copytree(target_template.repository, other)
        return here, other

    first, other = fresh()
    counts = counts_of(first, first.job("copy", other=str(other)))
    assert counts["before put data of the target"] > 8

    def attempt(label: str, occurrence: int) -> bool:
        here, other = fresh()
        killed = here.run(here.job("copy", other=str(other), label=label, occurrence=str(occurrence))).returncode != 0
        verify(other, target_template, target_template.snapshots, here.folder)
        assert here.run(here.job("copy", other=str(other))).returncode == 0
        with Repository.open(LocalStore(other), PASSWORD) as repo:
            copies = [snapshot for snapshot in repo.snapshots() if snapshot.id not in target_template.snapshots]
        assert len(copies) == 2
        copied = dict(zip((copy.id for copy in copies), here.template.snapshots.values(), strict=True))
        verify(other, here.template, copied, here.folder, stock=False)
        verify(other, target_template, target_template.snapshots, here.folder, stock=bool(KILLS))
        no_blob_twice(other)
        assert list((other / "locks").iterdir()) == list((here.repository / "locks").iterdir()) == []
        return killed

    report("copy", counts, hits(counts, attempt, sample=3, only="of the target"))


def test_a_killed_forget(scene: Callable[[], Scene]) -> None:
    first = scene()
    counts = counts_of(first, first.job("forget"))

    def attempt(label: str, occurrence: int) -> bool:
        here = scene()
        killed = here.run(here.job("forget", label=label, occurrence=str(occurrence))).returncode != 0
        kept = {ident: path for ident, path in here.template.snapshots.items() if ident != here.oldest}
        here.verify(kept)
        assert here.run(here.job("forget")).returncode == 0
        assert here.oldest not in [path.name for path in (here.repository / "snapshots").iterdir()]
        here.verify(kept, stock=False)
        return killed

    report("forget", counts, hits(counts, attempt, sample=1, only="delete"))


def test_a_killed_restore(scene: Callable[[], Scene], tmp_path: Path) -> None:
    first = scene()
    counts = counts_of(first, first.job("restore", target=str(tmp_path / "first")))

    def attempt(label: str, occurrence: int) -> bool:
        here, out = scene(), tmp_path / "out"
        job = here.job("restore", target=str(out))
        killed = here.run({**job, "label": label, "occurrence": str(occurrence)}).returncode != 0
        assert here.run(job).returncode == 0
        assert differences(here.template.snapshots[here.oldest], out) == []
        here.verify({}, stock=False)
        shutil.rmtree(out)
        return killed

    report("restore", counts, hits(counts, attempt, sample=1, only="data"))


WRITING = ("fsync", "link", "linkat", "unlink")
RESTORING = ("mkdir", "mkdirat", "pwrite64", "ftruncate", "fchown", "fchmod", "utimensat", "symlink", "symlinkat", "linkat")
PRUNING = ("fsync", "renameat", "linkat", "unlinkat", "fchmodat")
ALL = sorted({*WRITING, *RESTORING, *PRUNING})


def traced(log: Path, call: str = "", number: int = 0) -> tuple[str, ...]:
    """Run what follows under strace, which kills at the `number`th of these calls that any one thread makes."""
    if not call:
        return (tools.strace(), "-f", "-qq", "--seccomp-bpf", "-o", str(log), "-e", f"trace={','.join(ALL)}")
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    # Not with --seccomp-bpf: strace 6.1 then sends no signal to the first thread of a process.
    return (tools.strace(), "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", inject)


def calls_in(log: Path, calls: tuple[str, ...]) -> dict[str, int]:
    """How often one thread of an undisturbed run made each call, at most."""
    made: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        made[rest.strip().partition("(")[0], thread] += 1
    return {call: max(found) for call in calls if (found := [count for (name, _), count in made.items() if name == call])}


@pytest.mark.parametrize(("operation", "calls"), [("backup", WRITING), ("restore", RESTORING)])
def test_killed_at_a_system_call(operation: str, calls: tuple[str, ...], scene: Callable[[], Scene], tmp_path: Path) -> None:
    log, out = tmp_path / "trace", tmp_path / "out"
    first = scene()
    first.run(first.job(operation, target=str(out)), before=traced(log))
    counts = calls_in(log, calls)
    assert len(counts) >= 3
    shutil.rmtree(out, ignore_errors=True)

    def attempt(call: str, number: int) -> bool:
        here = scene()
        job = here.job(operation, target=str(out))
        killed = here.run(job, before=traced(log, call, number)).returncode != 0
        here.verify(here.template.snapshots, stock=operation == "backup" or bool(KILLS))
        assert here.run(job).returncode == 0
        if operation == "restore":
            assert differences(here.template.snapshots[here.oldest], out) == []
            shutil.rmtree(out)
        elif killed:
            no_blob_twice(here.repository)
            here.verify({here.newest(): here.template.source}, stock=bool(KILLS))
        return killed

    report(f"{operation} (system calls)", counts, hits(counts, attempt, sample=2))


def test_a_killed_prune(scene: Callable[[], Scene], tmp_path: Path) -> None:
    """The prune is the stock program's; what it is killed in is a repository of ours that lost a snapshot."""
    log = tmp_path / "trace"

    def forgotten() -> tuple[Scene, Stock, dict[str, Path]]:
        here = scene()
        assert here.run(here.job("forget")).returncode == 0
        kept = {ident: path for ident, path in here.template.snapshots.items() if ident != here.oldest}
        return here, Stock(str(here.repository), tmp_path / "cache", program=tools.newest_restic()), kept

    def prune(stock: Stock, before: tuple[str, ...]) -> int:
        command = [*before, stock.program, "-r", stock.url, "--no-cache", "prune", "--max-unused", "0"]
        return subprocess.run(command, env=stock.env, capture_output=True, check=False, timeout=100).returncode

    _, stock, _ = forgotten()
    assert prune(stock, traced(log)) == 0
    counts = calls_in(log, PRUNING)

    def attempt(call: str, number: int) -> bool:
        here, stock, kept = forgotten()
        killed = prune(stock, traced(log, call, number)) in (-signal.SIGKILL, 128 + signal.SIGKILL)
        here.verify(kept)
        stock("unlock")
        stock("prune", "--max-unused", "0")
        here.verify(kept, stock=bool(KILLS))
        return killed

    report("prune (system calls)", counts, hits(counts, attempt, sample=2))
