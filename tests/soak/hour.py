"""An hour of schedules with an operator that is killed every minute: `make soak-hour MINUTES=60 SCHEDULES=200 SHARDS=1`.

Real parts: the API server and the operators, each a process of its own as `holdfast up` and a cluster run them, and the
controllers of Jobs and CronJobs, which a cluster brings along and which live on when an operator dies. Pods end by
themselves, with the report that a mover would give (see `soak.kubelet`). At the end an auditor that has read the watch
streams all along says whether each due time has one run, none has two, and every run has ended.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import uvloop
from benchmarks.schedule_rows import ROWS, Object, Row

from holdfast.cli.datadir import DataDir
from holdfast.cli.dialects import KINDS, resource_of, resources
from holdfast.cli.install import install
from holdfast.core.kinds import LEDGER
from holdfast.core.read import items, mapping, text
from holdfast.core.times import format_time, parse_time
from holdfast.embedded.controllers.run import run_controllers
from holdfast.kube.builtin import NAMESPACES
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.errors import ApiError, Gone
from holdfast.kube.resource import Resource
from tests.soak.kubelet import Kubelet

NAMESPACE = "bench"
SLACK = timedelta(seconds=90)
"""How long after a due time its run must have begun: a kill, the Lease of ten seconds, the start, and a busy machine."""

LAST_WORDS = 30.0
"""Seconds that the operator is given after the last run for what it writes down of it."""

ENDED_WITHIN = timedelta(minutes=4)
"""How old a run may be at the end that has not ended."""


class Scene(msgspec.Struct, frozen=True):
    """What is watched of one API: its row, the objects that are runs, whose they are, and when one has ended.

    `own` returns what each schedule has for itself, since runs on one target wait for each other; `name` is the schedule's.
    """

    row: Row
    runs: Resource
    owner: Callable[[Object], str]
    ended: Callable[[Object], bool]
    own: Callable[[str], Sequence[tuple[Resource, Object]]]
    schedule: Callable[[str, str], Object]


def resource(dialect: str, kind: str) -> Resource:
    """Return where a kind lives."""
    return resource_of(next(spec for spec in KINDS[dialect] if spec.kind == kind))


def over(obj: Object) -> bool:
    """Whether a Job has ended."""
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in items(obj, "status", "conditions")
    )


def phase_over(obj: Object) -> bool:
    """Whether a Backup or a session has ended."""
    return text(obj, "status", "phase") in ("Completed", "Succeeded", "Failed", "Skipped")


def renamed(obj: Object, name: str) -> Object:
    """Return a copy of an object in which everything that is called `db` is called otherwise."""
    said = msgspec.json.encode(obj)
    for old, new in ((b'"db"', f'"{name}"'), (b'"db-0"', f'"{name}-0"')):
        said = said.replace(old, new.encode())
    return msgspec.json.decode(said)


def own_of(row: Row, *kinds: str) -> Callable[[str], Sequence[tuple[Resource, Object]]]:
    """Return what makes a schedule's own copies of those objects around that are of these kinds, or are called after it."""
    chosen = [(where, obj) for where, obj in row.around if where.kind in kinds]
    named = {obj["metadata"]["name"]: (where, obj) for where, obj in row.around if where.kind == _NAMED}

    def own(name: str) -> Sequence[tuple[Resource, Object]]:
        mine = [named[f"{name}-repo"]] if named else []
        return [(where, renamed(obj, f"db-{name}")) for where, obj in (*chosen, *mine)]

    return own


_NAMED = "Repository"
"""The kind of which the objects around are called after the schedules."""


def scenes() -> list[Scene]:
    """Return what runs: three APIs, on a target for each schedule."""
    antfly, blocks, stash = ROWS["antfly"], ROWS["kubeblocks"], ROWS["kubestash"]
    schedule_label = "dataprotection.kubeblocks.io/backup-schedule"
    return [
        Scene(antfly, antfly.started, antfly.owner, over, lambda _: (), antfly.schedule),
        Scene(
            blocks,
            resource("kubeblocks", "Backup"),
            lambda obj: text(obj, "metadata", "labels", schedule_label),
            phase_over,
            own_of(blocks, "BackupPolicy", "Pod"),
            lambda name, cron: renamed(blocks.schedule(name, cron), f"db-{name}"),
        ),
        Scene(
            stash,
            resource("kubestash", "BackupSession"),
            lambda obj: text(obj, "spec", "invoker", "name"),
            phase_over,
            own_of(stash, "StatefulSet"),
            lambda name, cron: renamed(stash.schedule(name, cron), f"db-{name}"),
        ),
    ]


class Runs(msgspec.Struct):
    """What was seen of the runs of one schedule: when each was due or made, by uid, and the last state of each."""

    made: dict[str, datetime] = {}
    ended: set[str] = set()


class Auditor:
    """Reads the starts of one row from the watch stream."""

    def __init__(self, client: Client, scene: Scene) -> None:
        self._client, self._scene = client, scene
        self.runs: dict[str, Runs] = {}

    async def follow(self) -> None:
        """Follow without a gap until cancelled."""
        while True:
            listed = await self._client.list(self._scene.runs, NAMESPACE)
            for obj in listed.items:
                self._take(obj)
            version = listed.resource_version
            with contextlib.suppress(Gone):
                while True:
                    async for event in self._client.watch(self._scene.runs, NAMESPACE, resource_version=version):
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            self._take(event.object)

    def _take(self, obj: Object) -> None:
        owner = self._scene.owner(obj)
        if not owner:
            return
        runs, uid = self.runs.setdefault(owner, Runs()), obj["metadata"]["uid"]
        runs.made.setdefault(uid, parse_time(obj["metadata"]["creationTimestamp"]))
        if self._scene.ended(obj):
            runs.ended.add(uid)


class Verdict(msgspec.Struct):
    """What the auditor found, as lines for people; nothing in it is what should be."""

    lost: list[str] = []
    twice: list[str] = []
    stuck: list[str] = []
    unrecorded: list[str] = []
    due: int = 0


def ticks(number: int, every: int, since: datetime, until: datetime) -> list[datetime]:
    """Return the due times of a schedule in a window: every so many minutes, from its own minute on."""
    first = since.replace(second=0, microsecond=0)
    found = (first + timedelta(minutes=minute) for minute in range(int((until - first).total_seconds() // 60) + 1))
    return [each for each in found if each.minute % every == number % every and since < each <= until]


def judge(
    name: str, number: int, every: int, runs: Runs, window: tuple[datetime, datetime], recorded: Counter[datetime]
) -> Verdict:
    """Assign each run to the latest due time before it, and look for due times with none or two, and with no outcome."""
    verdict, now = Verdict(), datetime.now(UTC)
    wanted = ticks(number, every, window[0], window[1] - SLACK)
    counted: Counter[datetime] = Counter()
    for made in runs.made.values():
        before = [tick for tick in ticks(number, every, made - timedelta(minutes=every, seconds=1), made) if tick <= made]
        counted[before[-1] if before else made] += 1
    verdict.due = len(wanted)
    verdict.lost = [f"{name} {format_time(tick)}" for tick in wanted if not counted[tick]]
    verdict.twice = [f"{name} {format_time(tick)}" for tick, count in counted.items() if count > 1]
    verdict.unrecorded = [f"{name} {format_time(tick)}" for tick in wanted if recorded[tick] != 1]
    verdict.stuck = [
        f"{name} {format_time(made)}" for uid, made in runs.made.items() if uid not in runs.ended and now - made > ENDED_WITHIN
    ]
    return verdict


@asynccontextmanager
async def process(root: Path, name: str, *options: str, log: str = "") -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a part until the block ends."""
    command = [sys.executable, "-m", "holdfast.cli.main", name, *options]
    with (root / f"{log or name}.log").open("ab") as out:
        started = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


async def operate(root: Path, data: DataDir, name: str, shards: int, alive: dict[str, int]) -> None:
    """Keep one operator running as a kubelet does: start it again whenever it is gone."""
    options = ("--kubeconfig", str(data.operator_kubeconfig), "--shards", str(shards), "--max-active", "64")
    while True:
        async with process(root, "operator", *options, "--max-active-per-namespace", "64", log=name) as running:
            alive[name] = running.pid
            await running.wait()


async def kill(alive: dict[str, int], every: float, killed: Counter[str], rng: random.Random) -> None:
    """Kill one operator after the other, once in so many seconds, at no fixed moment."""
    for number in range(10**6):
        await asyncio.sleep(every * rng.uniform(0.8, 1.2))
        name = sorted(alive)[number % len(alive)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(alive[name], signal.SIGKILL)
            killed[name] += 1


async def put(client: Client, resource: Resource, obj: Object) -> None:
    """Make an object, with its status if it has one."""
    await client.create(resource, obj)
    if "status" in obj:
        place, body = obj["metadata"].get("namespace"), {"status": obj["status"]}
        await client.merge_patch(resource, obj["metadata"]["name"], place, body, subresource="status")


async def prepare(client: Client, rows: list[Scene], schedules: int, every: int) -> dict[str, tuple[str, int]]:
    """Make what surrounds the schedules and the schedules, spread over rows and minutes; return row and number by name."""
    await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    made: dict[str, tuple[str, int]] = {}
    for scene in rows:
        for where, obj in scene.row.around:
            if where.kind != _NAMED:
                await put(client, where, obj)
    for number in range(schedules):
        scene = rows[number % len(rows)]
        for where, obj in scene.own(f"s{number}"):
            await put(client, where, obj)
        await client.create(scene.row.resource, scene.schedule(f"s{number}", f"{number % every}-59/{every} * * * *"))
        made[f"s{number}"] = (scene.row.resource.kind, number)
    return made


async def outcomes(client: Client) -> Counter[str]:
    """Return what the Ledgers say of all due times, and how many of them are there."""
    found: Counter[str] = Counter()
    for ledger in (await client.list(resources()[LEDGER], NAMESPACE)).items:
        for word in ("ran", "late", "failed", "skipped"):
            found[word] += int(mapping(ledger, "record").get(word) or 0)
        for tick in items(ledger, "record", "ticks"):
            found[f"{text(tick, 'outcome')} {text(tick, 'reason')}".strip()] += 1
    return found


async def main(options: argparse.Namespace) -> bool:
    """Run it; returns whether nothing was lost, done twice or stuck."""
    rows = scenes()
    with tempfile.TemporaryDirectory(prefix="soak-hour-") as folder:
        root = Path(folder)
        data = DataDir(root)
        data.create()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(process(root, "apiserver", "--data-dir", str(root)))
            await asyncio.to_thread(_until_there, data.controllers_kubeconfig, data.operator_kubeconfig)
            config = load_kubeconfig(data.controllers_kubeconfig)
            client = await stack.enter_async_context(Client(config, field_manager="soak"))
            alive: dict[str, int] = {}
            killed: Counter[str] = Counter()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_prepared(client, root))]
                await tasks[0]
                ready = asyncio.Event()
                tasks = [
                    group.create_task(run_controllers(client, root, ready=ready)),
                    group.create_task(Kubelet(client, random.Random(options.seed)).run()),
                ]
                await ready.wait()
                for name in ("one", "two")[: options.operators]:
                    tasks.append(group.create_task(operate(root, data, name, options.shards, alive)))
                await asyncio.sleep(15)
                made = await prepare(client, rows, options.schedules, options.every)
                auditors = {each.row.resource.kind: Auditor(client, each) for each in rows}
                tasks += [group.create_task(each.follow()) for each in auditors.values()]
                await asyncio.sleep(45)
                since = datetime.now(UTC)
                killing = group.create_task(kill(alive, options.kill_every, killed, random.Random(options.seed)))
                end = time.time() + options.minutes * 60
                while time.time() < end:
                    await asyncio.sleep(min(60, max(0.1, end - time.time())))
                    seen = sum(len(runs.made) for each in auditors.values() for runs in each.runs.values())
                    print(f"{datetime.now(UTC):%H:%M:%S} {seen} runs seen, {sum(killed.values())} kills", flush=True)
                until = datetime.now(UTC)
                killing.cancel()
                await settled(auditors, until)
                good = tell(made, auditors, (since, until), options.every, await recorded(client))
                print(f"kills: {dict(killed)}; Ledgers: {dict(await outcomes(client))}", flush=True)
                for task in tasks:
                    task.cancel()
        if not good and options.keep:
            print(f"logs and data are kept in {options.keep}")
            await asyncio.to_thread(shutil.copytree, root, options.keep)
        return good


def _until_there(*paths: Path) -> None:
    """Wait until the API server has written its kubeconfigs."""
    end = time.monotonic() + 30
    while not all(path.exists() for path in paths):
        if time.monotonic() > end:
            raise SystemExit("the API server does not start")
        time.sleep(0.1)


async def _prepared(client: Client, root: Path) -> None:
    """Install CRDs and roles once the server answers."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ApiError):
                await client.get_raw("/version")
                break
            await asyncio.sleep(0.2)
    await install(client)


async def settled(auditors: dict[str, Auditor], until: datetime) -> None:
    """Wait until all that began before a moment has ended and stands in its Ledger, or ENDED_WITHIN longer at most."""

    def open_runs() -> bool:
        seen = [runs for each in auditors.values() for runs in each.runs.values()]
        return any(made <= until and uid not in runs.ended for runs in seen for uid, made in runs.made.items())

    for _ in range(int(ENDED_WITHIN.total_seconds() / 5)):
        if not open_runs():
            break
        await asyncio.sleep(5)
    await asyncio.sleep(LAST_WORDS)


async def recorded(client: Client) -> dict[str, Counter[datetime]]:
    """Return how often each due time stands in the Ledger of each schedule."""
    found: dict[str, Counter[datetime]] = {}
    for ledger in (await client.list(resources()[LEDGER], NAMESPACE)).items:
        owner = next(each["name"] for each in ledger["metadata"]["ownerReferences"])
        due = [parse_time(text(tick, "due")) for tick in items(ledger, "record", "ticks")]
        found.setdefault(owner, Counter()).update(due)
    return found


def tell(
    made: dict[str, tuple[str, int]],
    auditors: dict[str, Auditor],
    window: tuple[datetime, datetime],
    every: int,
    ledgers: dict[str, Counter[datetime]],
) -> bool:
    """Print the verdict by kind and return whether all is well."""
    whole = Counter[str]()
    for kind, auditor in auditors.items():
        found: dict[str, list[str]] = {"lost": [], "twice": [], "stuck": [], "unrecorded": []}
        due = runs = 0
        for name, (of, number) in made.items():
            if of != kind:
                continue
            verdict = judge(name, number, every, auditor.runs.get(name, Runs()), window, ledgers.get(name, Counter()))
            due += verdict.due
            runs += len(auditor.runs.get(name, Runs()).made)
            for word, lines in found.items():
                lines += getattr(verdict, word)
        print(f"{kind}: {due} due times, {runs} runs in all; " + ", ".join(f"{len(v)} {k}" for k, v in found.items()))
        for word, lines in found.items():
            whole[word] += len(lines)
            for line in sorted(lines)[:8]:
                print(f"    {word}: {line}")
    print(
        "nothing lost, nothing twice, nothing stuck, each due time has one outcome"
        if not whole.total()
        else f"not well: {dict(whole)}",
        flush=True,
    )
    return not whole.total()


def arguments() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--every", type=int, default=5, help="minutes between two due times of a schedule; divides 60")
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--operators", type=int, choices=(1, 2), default=1)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", default="", help="where to keep the data when something was not well")
    return parser


if __name__ == "__main__":
    sys.exit(not uvloop.run(main(arguments().parse_args())))
