"""Backup, unchanged backup and restore against stock restic: same data, same machine, same run, interleaved.

    .venv/bin/python benchmarks/bench_repo.py [--source DIR ...] [--large MIB] [--rounds N] [--work DIR]

The data set is a copy of the sources (by default folders that every Debian machine has) and, with --large, files of random,
text and page-like content. Each round runs restic and Holdfast after each other on repositories of their own; the table shows
the smallest wall and CPU time and the largest resident set of all rounds, with the ratio of Holdfast to restic. Both check
what they seal; Holdfast's restore is shown with and without reading back what it wrote, which restic does not do by default.
At the end stock restic checks all data that Holdfast wrote and restores it, and the restored folders are compared.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import tools  # noqa: E402

SOURCES = ["/usr/share", "/usr/lib/python3"]
PASSWORD = "benchmark"


class Cost(NamedTuple):
    """One run: seconds of wall clock, seconds of CPU, resident set in MiB."""

    wall: float
    cpu: float
    rss: float


def measure(argv: list[str], env: dict[str, str]) -> Cost:
    """Run a program to its end and take its cost."""
    started = os.times().elapsed
    child = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with status {child.returncode}")
    return Cost(os.times().elapsed - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def ours(*words: str) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), "--ours", *words]


def run_ours(action: str, url: str, path: str, target: str = "") -> None:
    from holdfast.repo.backup import backup
    from holdfast.repo.memory import settle_allocator
    from holdfast.repo.repository import Repository
    from holdfast.repo.restore import restore
    from holdfast.repo.url import open_store

    settle_allocator()
    store = open_store(url, os.environ)
    if action == "init":
        Repository.init(store, PASSWORD)
        return
    with Repository.open(store, PASSWORD) as repo:
        if action == "backup":
            result = backup(repo, [path])
        else:
            result = restore(repo, "latest", target, subfolder=path, verify=action == "restore-verified")
        if result.partial:
            raise SystemExit(f"{action}: {result.error_count} errors, first {result.errors[0]}")


def make_large(folder: Path, mebibytes: int) -> None:
    folder.mkdir()
    words = [f"word{number}" for number in range(5000)]
    rng = random.Random(7)
    for number in range(max(mebibytes // 64, 1)):
        with open(folder / f"file{number}", "wb") as file:
            for _ in range(64):
                if number % 4 < 2:
                    file.write(rng.randbytes(1 << 20))
                elif number % 4 == 2:
                    file.write(" ".join(rng.choices(words, k=150_000)).encode()[: 1 << 20])
                else:
                    page = rng.randbytes(2048) + bytes(6144)
                    file.write(b"".join(number.to_bytes(4) + page[4:] for number in range(128)))


def make_data(work: Path, sources: list[str], large: int) -> Path:
    data = work / "data"
    data.mkdir(parents=True)
    for number, source in enumerate(sources):
        subprocess.run(["cp", "-a", "--reflink=auto", source, str(data / f"{number}")], check=True)
    if large:
        make_large(data / "large", large)
    return data


def describe(data: Path) -> str:
    files = [path.lstat() for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    return f"{len(files)} files, {sum(stat.st_size for stat in files) / 2**20:.0f} MiB"


def steps(work: Path, data: Path, number: int, env: dict[str, str]) -> dict[str, tuple[Callable[[], Cost], Callable[[], Cost]]]:
    theirs_repo, our_repo = work / f"theirs{number}", work / f"ours{number}"
    restic = [tools.restic(), "-q", "-r", str(theirs_repo)]

    def stock_restore() -> Cost:
        return measure([*restic, "restore", f"latest:{data}", "--target", str(work / "out-theirs")], env)

    def our_restore(action: str) -> Callable[[], Cost]:
        return lambda: measure(ours(action, str(our_repo), str(data), str(work / f"out-{action}")), env)

    stock_backup = [*restic, "backup", str(data)]
    our_backup = ours("backup", str(our_repo), str(data))
    subprocess.run([*restic, "init"], env=env, check=True)
    subprocess.run(ours("init", str(our_repo), ""), env=env, check=True)
    return {
        "initial backup": (lambda: measure(stock_backup, env), lambda: measure(our_backup, env)),
        "unchanged backup": (lambda: measure(stock_backup, env), lambda: measure(our_backup, env)),
        "restore": (stock_restore, our_restore("restore")),
        "restore + verify": (stock_restore, our_restore("restore-verified")),
    }


def best(costs: list[Cost]) -> Cost:
    return Cost(min(c.wall for c in costs), min(c.cpu for c in costs), max(c.rss for c in costs))


def run_rounds(work: Path, data: Path, rounds: int, env: dict[str, str]) -> dict[str, tuple[list[Cost], list[Cost]]]:
    costs: dict[str, tuple[list[Cost], list[Cost]]] = {}
    for number in range(rounds):
        for folder in (*work.glob("theirs*"), *work.glob("ours*")):
            shutil.rmtree(folder)
        for name, (stock, mine) in steps(work, data, number, env).items():
            held = costs.setdefault(name, ([], []))
            for run, place in ((stock, held[0]), (mine, held[1])) if number % 2 == 0 else ((mine, held[1]), (stock, held[0])):
                for folder in work.glob("out-*"):
                    shutil.rmtree(folder)
                place.append(run())
    return costs


def print_table(costs: dict[str, tuple[list[Cost], list[Cost]]]) -> None:
    print(f"{'':18} {'restic wall/cpu s/rss MiB':>28} {'holdfast wall/cpu s/rss MiB':>30} {'ratio wall/cpu/rss':>22}")
    for name, (stock, mine) in costs.items():
        a, b = best(stock), best(mine)
        theirs = f"{a.wall:.2f} / {a.cpu:.2f} / {a.rss:.0f}"
        ours_text = f"{b.wall:.2f} / {b.cpu:.2f} / {b.rss:.0f}"
        print(f"{name:18} {theirs:>28} {ours_text:>30} {b.wall / a.wall:>8.2f} / {b.cpu / a.cpu:.2f} / {b.rss / a.rss:.2f}")


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def judge(work: Path, data: Path, rounds: int, env: dict[str, str]) -> None:
    theirs, mine = work / f"theirs{rounds - 1}", work / f"ours{rounds - 1}"
    print(f"repository size: restic {size_of(theirs):.1f} MiB, holdfast {size_of(mine):.1f} MiB")
    restic = [tools.restic(), "-q", "-r", str(mine)]
    subprocess.run([*restic, "check", "--read-data"], env=env, check=True)
    for folder in work.glob("out-*"):
        shutil.rmtree(folder)
    subprocess.run([*restic, "restore", f"latest:{data}", "--target", str(work / "out-judge")], env=env, check=True)
    subprocess.run(["diff", "-r", "--no-dereference", str(data), str(work / "out-judge")], check=True)
    print("stock restic: check --read-data found nothing; its restore of our repository is identical to the data")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", action="append", help="folder to copy into the data set (repeatable)")
    parser.add_argument("--large", type=int, default=0, metavar="MIB", help="add large files of this total size")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", help="where to work; default a temporary folder")
    parser.add_argument("--ours", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        run_ours(*args.ours)
        return
    work = Path(tempfile.mkdtemp(prefix="bench-repo-", dir=args.work))
    try:
        data = make_data(work, args.source if args.source is not None else SOURCES, args.large)
        env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(work / "cache")}
        print(f"data: {describe(data)}; {args.rounds} rounds, {os.cpu_count()} cores, {work}")
        print_table(run_rounds(work, data, args.rounds, env))
        judge(work, data, args.rounds, env)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
