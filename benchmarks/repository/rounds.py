"""Rounds: in each, every program meets the same states of the data, one after the other, in alternating order."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests import tools
from tests.store_servers import free_port, running

from benchmarks.repository.datasets import DataSet, Postgres
from benchmarks.repository.measure import Cost, run, size_of
from benchmarks.repository.programs import Borg, Holdfast, Program, Rclone, Restic

Costs = dict[str, dict[str, list[Cost]]]
"""Operation -> program -> one cost a round."""


class Results:
    """What one data set cost each program, and how large its repository became (MiB)."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.costs: Costs = {}
        self.sizes: dict[str, float] = {}
        self.notes: list[str] = []

    def add(self, operation: str, program: str, cost: Cost) -> None:
        """Record one run."""
        self.costs.setdefault(operation, {}).setdefault(program, []).append(cost)


def _warm(folder: Path) -> None:
    subprocess.run(["tar", "-cf", "-", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _restore(results: Results, program: Program, data: Path, work: Path) -> None:
    """As each does it by default, where ours alone reads back what it wrote; and then ours without."""
    for operation, more in (("restore, ours reads back", []), ("restore", ["--no-verify"])):
        target = _fresh(work / "out")
        words = program.restore(data, target) + (more if isinstance(program, Holdfast) else [])
        results.add(operation, program.name, run(words, program.env, cwd=target))
        shutil.rmtree(target, ignore_errors=True)


def files(data_set: DataSet, work: Path, rounds: int, *, peers: bool) -> Results:
    """Initial, unchanged and changed backup, restore and check, against stock restic; once against the other peers."""
    results = Results(f"{data_set.name}: {data_set.note}")
    data = work / "data"
    for number in range(rounds):
        with_peers = peers and number == rounds - 1
        shutil.rmtree(data, ignore_errors=True)
        data_set.make(data)
        repos = work / "repositories"
        _fresh(repos)
        ours, theirs = Holdfast(str(repos / "ours"), work), Restic(str(repos / "restic"), work)
        pair: list[Restic] = [theirs, ours] if number % 2 == 0 else [ours, theirs]
        programs: list[Program] = [*pair, *(_peers(repos, work) if with_peers else [])]
        for program in programs:
            program.init()
        _warm(data)
        for operation in ("initial", "unchanged", "changed"):
            if operation == "changed":
                data_set.change(data)
                _warm(data)
            for program in programs:
                results.add(operation, program.name, run(program.backup(data), program.env))
            if operation != "unchanged":
                for folder in repos.iterdir():
                    results.sizes[f"{folder.name} after {operation}"] = size_of(folder)
        for program in programs:
            _restore(results, program, data, work)
        for program in pair:
            results.add("check, all data", program.name, run(program.check(), program.env))
        if number == rounds - 1:
            _judge(results, theirs.program, ours, data, work)
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(work / "repositories", ignore_errors=True)
    return results


def _peers(repos: Path, work: Path) -> list[Program]:
    return [Borg(str(repos / "borg"), work), Rclone(str(repos / "rclone"), work)]


def _judge(results: Results, restic: str, ours: Holdfast, data: Path, work: Path) -> None:
    """Stock restic reads all that we wrote, and what it restores from it equals the data. Raises SystemExit when not."""
    judge = Restic(str(work / "repositories/ours"), work, restic)
    run(judge.check(), judge.env)
    target = _fresh(work / "out")
    run(judge.restore(data, target), judge.env)
    subprocess.run(["diff", "-rq", "--no-dereference", str(data), str(target)], check=True)
    shutil.rmtree(target)
    results.notes.append("stock restic read all data of our repository and restored it byte for byte")


def stream(postgres: Postgres, work: Path, rounds: int) -> Results:
    """`pg_dump` into standard input; the wall clock includes the dump, CPU and memory are the backup program's."""
    results = Results(f"stream: pg_dump of that database into standard input of `{'backup --stdin'}`")
    data = work / "data"
    postgres.data_set.make(data)
    with postgres.running(data):
        for number in range(rounds):
            repos = _fresh(work / "repositories")
            theirs, ours = Restic(str(repos / "restic"), work), Holdfast(str(repos / "ours"), work)
            pair: list[Restic] = [theirs, ours] if number % 2 == 0 else [ours, theirs]
            for program in pair:
                program.init()
            for operation in ("initial", "same dump again"):
                for program in pair:
                    results.add(operation, program.name, run(program.stream(), program.env, feed=postgres.dump))
            for folder in repos.iterdir():
                results.sizes[f"{folder.name} after both"] = size_of(folder)
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(work / "repositories", ignore_errors=True)
    return results


def over_s3(data_set: DataSet, work: Path, rounds: int) -> Results:
    """Initial backup and restore through `rclone serve s3` on 127.0.0.1. The server's CPU is not counted, its time is."""
    results = Results(f"{data_set.name} over S3: {data_set.note}, `rclone serve s3` on the same cores")
    data = work / "data"
    data_set.make(data)
    for number in range(rounds):
        with _s3(_fresh(work / "bucket-home")) as (endpoint, keys):
            theirs = Restic(f"s3:{endpoint}/bucket/restic", work)
            ours = Holdfast(f"s3:{endpoint}/bucket/ours", work)
            pair: list[Restic] = [theirs, ours] if number % 2 == 0 else [ours, theirs]
            _warm(data)
            for program in pair:
                program.env |= keys
                program.init()
                results.add("initial", program.name, run(program.backup(data), program.env))
            for program in pair:
                _restore(results, program, data, work)
    shutil.rmtree(data, ignore_errors=True)
    return results


@contextlib.contextmanager
def _s3(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    (home / "bucket").mkdir()
    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark-secret"}
    argv = [tools.rclone(), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(keys.values()), str(home)]
    with running(argv, port, {"RCLONE_CONFIG": "/nonexistent"}):
        yield f"http://127.0.0.1:{port}", keys


def memory(count: int, work: Path, programs: Sequence[str] = ("restic", "holdfast")) -> Results:
    """Peak memory with very many files, of a first and of an unchanged backup."""
    from benchmarks.repository.datasets import small

    data_set = small(count, f"{count:,} files", 16, 128, 100)
    results = Results(f"memory: {data_set.note}")
    data = work / "data"
    data_set.make(data)
    repos = _fresh(work / "repositories")
    known: dict[str, Program] = {
        "restic": Restic(str(repos / "restic"), work),
        "holdfast": Holdfast(str(repos / "ours"), work),
    }
    for program in (known[name] for name in programs):
        program.init()
        for operation in ("initial", "unchanged"):
            results.add(operation, program.name, run(program.backup(data), program.env))
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(repos, ignore_errors=True)
    return results
