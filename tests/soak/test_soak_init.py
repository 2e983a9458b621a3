"""Two processes make the same repository in the same moment, in a bucket of a server that writes over what is there.

`make test` plays a few rounds, `make soak N=` a hundred for each N. In each exactly one may have made it, and what is there
opens, for us and for the stock program.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from tests.movers_builders import s3_server
from tests.repo_trees import PASSWORD
from tests.soak.scale import KILLS, SEED
from tests.stock import S3_ENV, Stock

ROUNDS = 100 * KILLS or 12
pytestmark = pytest.mark.timeout(60 + 2 * ROUNDS)

Founder = subprocess.Popen[str]


@contextlib.contextmanager
def founder() -> Generator[Founder]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.soak.founder"],
        env={**os.environ, **S3_ENV},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def tell(process: Founder, url: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{url}\n")
    process.stdin.flush()


def answer(process: Founder) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_founders_of_one_place_make_one_repository(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint, founder() as one, founder() as other:
        for number in range(ROUNDS):
            url = f"s3:{endpoint}/bucket/{number}"
            tell(one, url)
            time.sleep(rng.random() * 0.01 * (number % 4))
            tell(other, url)
            answers = sorted((answer(one), answer(other)))
            store = open_store(url, S3_ENV)
            with Repository.open(store, PASSWORD) as repo:
                assert answers == ["exists", "made"], f"round {number}"
                assert [entry.name for entry in store.list("keys")] == [repo.key_id]
        Stock(url, tmp_path / "cache")("cat", "config")
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(10) == 0
