"""The repository against stock restic, borg and rclone: same data, same machine, same run, in turn.

    make bench-repo                      everything: about half an hour and 12 GB of room
    make bench                           the same in small: about two minutes
    .venv/bin/python -m benchmarks.repository --only small --rounds 5

Costs are whole processes as the kernel accounts them. Each ratio is ours by theirs of one round; the table gives the median of
the rounds and, in brackets, the smallest and the largest. Both programs check what they seal. After the last round stock
restic reads all that we wrote and restores it, and the benchmark fails unless it is identical.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.repository import rounds
from benchmarks.repository.datasets import Postgres, large, small
from benchmarks.repository.programs import missing_peers
from benchmarks.repository.report import render

SETS = ("large", "small", "postgres", "stream", "s3", "memory", "index")


def _index(blobs: int) -> str:
    """Bytes per blob of the index in memory, in a process of its own."""
    script = (
        "import os, random, resource, sys\n"
        "from holdfast.repo.index import new_index\n"
        "from holdfast.repo.pack import PackEntry\n"
        "count, index, rng = int(sys.argv[1]), new_index(), random.Random(1)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in range(count // 20):\n"
        "    entries = [PackEntry('data', rng.randbytes(32), at << 19, 1 << 19, 1 << 20) for at in range(20)]\n"
        "    index.add_pack(rng.randbytes(32), entries)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(index), index.nbytes / len(index), (after - before) / 1024)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(blobs)], capture_output=True, text=True, check=True)
    count, each, peak = run.stdout.split()
    return (
        f"### index of a repository of 1 TiB\n\n{int(count):,} blobs of 1 MiB in packs of 20: {float(each):.1f} bytes per blob "
        f"(asked: <= 60); the process grew by {float(peak):.0f} MiB at its peak.\n"
    )


def main() -> None:
    """Run what was asked for and print Markdown."""
    parser = argparse.ArgumentParser(prog="make bench-repo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=SETS, help="this data set only (repeatable)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="size of all data sets, 1 is 2 GiB and 200,000 files")
    parser.add_argument("--work", help="where to work; default memory (/dev/shm) when it has room, else the temporary folder")
    args = parser.parse_args()
    wanted = args.only or SETS
    scale: float = args.scale
    needed = 13e9 * scale
    roomy = Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > needed
    where = args.work or ("/dev/shm" if roomy else tempfile.gettempdir())
    work = Path(tempfile.mkdtemp(prefix="bench-repo-", dir=where))
    work.chmod(0o755)
    peers = not missing_peers()
    count = max(int(200_000 * scale), 100)
    postgres = Postgres(work / "postgres", max(int(100 * scale), 1))
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {args.rounds} rounds, in {where}.\n"
    )
    try:
        if "large" in wanted:
            print(render(rounds.files(large(int(2048 * scale)), work, args.rounds, peers=peers)), flush=True)
        if "small" in wanted:
            print(render(rounds.files(small(count), work, args.rounds, peers=peers)), flush=True)
        if "postgres" in wanted:
            print(render(rounds.files(postgres.data_set, work, args.rounds, peers=peers)), flush=True)
        if "stream" in wanted:
            print(render(rounds.stream(postgres, work, args.rounds)), flush=True)
        if "s3" in wanted:
            print(render(rounds.over_s3(small(count), work, args.rounds)), flush=True)
        if "memory" in wanted:
            print(render(rounds.memory(max(int(1_000_000 * scale), 100), work)), flush=True)
        if "index" in wanted:
            print(_index(max(int(1_048_576 * scale), 20)), flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
