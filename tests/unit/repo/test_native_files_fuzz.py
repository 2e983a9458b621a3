"""The native calls of restore and check, fed with tables that lie: they refuse, and touch nothing but their folder."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from holdfast.repo import times
from holdfast.repo.blob import blob_id, seal_blob
from holdfast.repo.crypto import Key, native_key
from holdfast.repo.gathered import FILES
from holdfast.repo.plan import PARTS, PIECES, PLACES, SPANS

ROUNDS = int(os.environ.get("HOLDFAST_FUZZ_ROUNDS", "400"))
pytestmark = pytest.mark.usefixtures("module")
KEY = Key(b"k" * 32, b"l" * 16, b"m" * 16)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "in").mkdir()
    handle = os.open(tmp_path / "in", os.O_RDONLY | os.O_DIRECTORY)
    yield handle
    os.close(handle)


def garbage(rng: random.Random, kind: np.dtype[Any], rows: int) -> np.ndarray[Any, Any]:
    """A table of random, mostly small numbers."""
    table = np.frombuffer(bytearray(rng.randbytes(kind.itemsize * rows)), kind)
    for name in kind.names or ():
        if kind[name].kind in "ui" and rng.random() < 0.8:
            table[name] = [rng.choice([0, 0, 1, 2, 3, rng.randrange(100)]) for _ in range(rows)]
    return table


def files(rng: random.Random, folder: int) -> tuple[np.ndarray[Any, Any], bytes]:
    table = garbage(rng, FILES, rng.randrange(5))
    table["folder"] = rng.choice([folder, folder, folder, -1, 1 << 20])
    table["size"] = rng.choice([0, 4, -5, 1 << 62, 100])
    table["uid"] = table["gid"] = 0
    table["name"] = [rng.choice([0, 2, 4, 6, 999]) for _ in range(len(table))]
    return table, rng.choice([b"a\0b\0c\0d\0", b"a\0b\0c\0d\0", b"", b"abc", b"/\0.\0b\0d\0", b"a\0..\0d\0\0"])


def test_tables_of_nonsense_do_no_harm(module: ModuleType, folder: int, tmp_path: Path) -> None:
    rng = random.Random(11)
    (tmp_path / "beside").write_text("precious")
    plain = [rng.randbytes(rng.randrange(200)) + bytes(rng.choice([0, 5000])) for _ in range(6)]
    sealed = [seal_blob(KEY, data, blob_id(data)) for data in plain]
    data = b"".join(blob.data for blob in sealed)
    key = native_key(KEY)
    refused = filled = 0
    for _ in range(ROUNDS):
        table, names = files(rng, folder)
        rows = np.array([rng.randrange(6) for _ in range(rng.randrange(4))], np.uint32)
        pieces, places = garbage(rng, PIECES, rng.randrange(4)), garbage(rng, PLACES, rng.randrange(4))
        for piece in pieces:
            at = rng.randrange(len(sealed))
            start = sum(len(blob.data) for blob in sealed[:at])
            if rng.random() < 0.9:
                piece["offset"], piece["length"] = start, len(sealed[at].data)
                piece["raw_length"], piece["id"] = sealed[at].raw_length, np.void(sealed[at].id)
            else:
                piece["raw_length"] = rng.choice([0, 1, 1 << 31, 1 << 20])
        calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
            (module.files_make, (table, names, rows, True)),
            (module.files_fill, (key, data, pieces, places, table, names, rng.random() < 0.5, True, rng.random() < 0.5)),
            (module.files_finish, (table, names, rows, True)),
            (module.files_verify, (table, names, garbage(rng, SPANS, 3), garbage(rng, PARTS, 2))),
            (module.blobs_check, (key, data, pieces)),
        ]
        for call, arguments in calls:
            try:
                call(*arguments)
                filled += 1
            except ValueError:
                refused += 1

    assert refused > ROUNDS / 4
    assert filled > ROUNDS / 4
    assert set(os.listdir(tmp_path / "in")) <= {"a", "b", "c", "d"}
    assert sorted(os.listdir(tmp_path)) == ["beside", "in"]
    assert (tmp_path / "beside").read_text() == "precious"


def test_buffers_of_the_wrong_size_are_refused(module: ModuleType, folder: int) -> None:
    table = np.zeros(1, FILES)
    key = native_key(KEY)
    for bad in (b"x", bytes(55), bytes(57)):
        with pytest.raises(ValueError, match="table"):
            module.blobs_check(key, b"", bad)
        with pytest.raises(ValueError, match="table"):
            module.files_fill(key, b"", bad, b"", table, b"a\0", True, True, True)
        with pytest.raises(ValueError, match="table"):
            module.files_make(bytearray(bad), b"a\0", b"", True)


def test_times_are_read_as_the_pure_path_reads_them(module: ModuleType) -> None:
    rng = random.Random(12)
    texts = ["", "Z", "2026", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01t00:00:00Z", "٢٠٢٦-01-01T00:00:00Z"]
    for _ in range(20 * ROUNDS):
        text = (
            f"{rng.randint(0, 9999):04d}-{rng.randint(0, 13):02d}-{rng.randint(0, 32):02d}T{rng.randint(0, 24):02d}:"
            f"{rng.randint(0, 60):02d}:{rng.randint(0, 60):02d}" + rng.choice(["", f".{rng.randint(0, 10**10)}"])
        )
        texts.append(text + rng.choice(["Z", "+02:30", "-11:15", "+99:99", "", "z"]))
    moments = np.frombuffer(module.times_parse(texts), np.int64).reshape(-1, 2).tolist()
    for text, (seconds, nanoseconds) in zip(texts, moments, strict=True):
        try:
            wanted = divmod(times.parse_ns(text), 1_000_000_000)
        except ValueError:
            wanted = (0, -1)
        assert (seconds, nanoseconds) == wanted, text
