"""Our rules of retention and the stock program's, on the same snapshots: the same ids must stay."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from holdfast.cli.main import main
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import SnapshotJson, encode_snapshot
from holdfast.repo.stores import open_store
from tests.repo_program import Program, environment, init_cheap, stock
from tests.repo_trees import PASSWORD

Kept = Callable[..., dict[str, set[str]]]
ZONES = (UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-7, minutes=-30)))

RULES = (
    "--keep-last 3",
    "--keep-last unlimited",
    "--keep-hourly 5",
    "--keep-daily 7",
    "--keep-daily 500",
    "--keep-weekly 6",
    "--keep-monthly 4",
    "--keep-yearly 10",
    "--keep-yearly unlimited --keep-last 1",
    "--keep-last 2 --keep-hourly 24 --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --keep-yearly 3",
    "--keep-within 3d",
    "--keep-within 1y2m3d4h",
    "--keep-within-hourly 2d --keep-within-daily 1m",
    "--keep-within-weekly 1y --keep-within-monthly 3y --keep-within-yearly 90y",
    "--keep-within 30h --keep-weekly 2 --keep-tag release",
    "--keep-last 1 --keep-tag release --keep-tag a,b",
    "--keep-daily 3 --tag a",
    "--keep-daily 3 --host web-1 --group-by host",
    "--keep-daily 3 --group-by tags",
    "--keep-monthly 2 --group-by paths,host,tags",
    "--keep-hourly 3 --keep-within-daily 5d --path /data",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with 400 snapshots over four years, dense at the end, in three zones, some of them in the future."""
    home = tmp_path_factory.mktemp("forget")
    init_cheap(str(home / "r"))
    rng = random.Random(7)
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    with Repository.open(open_store(str(home / "r"), {}), PASSWORD) as repo:
        for number in range(400):
            hours = rng.choice((rng.uniform(0, 60), rng.uniform(0, 24 * 60), rng.uniform(0, 24 * 1500)))
            moment = newest - timedelta(hours=hours) if number % 80 else newest + timedelta(days=number + 2)
            tags = rng.choice((None, None, ["a"], ["b"], ["b", "a"], ["release"]))
            document = SnapshotJson(
                time=moment.astimezone(rng.choice(ZONES)).isoformat(),
                tree="0" * 64,
                paths=rng.choice((["/data"], ["/data"], ["/data", "/etc"])),
                hostname=rng.choice(("web-0", "web-0", "web-1")),
                tags=tags,
            )
            repo.put_json("snapshots", encode_snapshot(document))
    return home


@pytest.fixture
def ours(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    for name, value in environment(str(home / "r"), home).items():
        monkeypatch.setenv(name, value)

    def run(*words: str, code: int = 0) -> str:
        assert main(["repo", *words]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return run


@pytest.fixture(scope="module")
def judge(home: Path) -> Program:
    return stock(str(home / "r"), home)


@pytest.mark.parametrize("rules", RULES)
def test_the_same_snapshots_stay(rules: str, ours: Callable[..., str], judge: Program) -> None:
    words = ("forget", *rules.split(), "--dry-run")
    found = {kept["id"] for group in json.loads(ours(*words, "--json")) for kept in group["keep"]}
    wanted = {kept["id"] for group in judge.json(*words) for kept in group["keep"]}

    assert wanted
    assert found == wanted


def test_the_newest_of_a_group_stays_where_the_stock_program_would_remove_it(ours: Callable[..., str], judge: Program) -> None:
    words = ("forget", "--keep-tag", "release", "--dry-run")
    mine = json.loads(ours(*words, "--json"))
    wanted = {kept["id"] for group in judge.json(*words) for kept in group["keep"] or ()}

    newest = {max(group["keep"] + group["remove"], key=moment)["id"] for group in mine}
    assert {kept["id"] for group in mine for kept in group["keep"]} == wanted | newest
    assert newest - wanted


def moment(snapshot: dict[str, str]) -> datetime:
    return datetime.fromisoformat(snapshot["time"])


def test_each_verdict_says_why(ours: Callable[..., str]) -> None:
    said = ours("forget", "--keep-last", "1", "--keep-yearly", "9", "--keep-tag", "release", "-n", "--group-by", "")

    assert "all snapshots:" in said
    assert all(reason in said for reason in ("last 1", "newest good one", "tagged release", "yearly ", "no rule keeps it"))
    assert "nothing was changed" in said
    (group,) = json.loads(ours("forget", "--keep-last", "1", "--json", "-n", "--group-by", ""))
    assert len(group["reasons"]) == 400
    assert {why["id"] for why in group["reasons"] if not why["keep"]} == {gone["id"] for gone in group["remove"]}
