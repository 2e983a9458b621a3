import random

import pytest

from holdfast.repo import native
from holdfast.repo.chunker import MAX_BYTES, MIN_BYTES, Chunker

MIB = 1 << 20


def cuts(chunker: Chunker, data: bytes) -> list[bytes]:
    view, chunks = memoryview(data), []
    while view:
        length = chunker.next_cut(view[:MAX_BYTES])
        chunks.append(bytes(view[:length]))
        view = view[length:]
    return chunks


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(4).randbytes(48 * MIB)


def test_chunks_are_about_a_mebibyte_and_within_the_formats_bounds(data: bytes) -> None:
    lengths = [len(chunk) for chunk in cuts(Chunker(b"key"), data)]

    assert sum(lengths) == len(data)
    assert all(MIN_BYTES <= length <= MAX_BYTES for length in lengths[:-1])
    assert 0.75 * MIB < sum(lengths) / len(lengths) < 1.4 * MIB


def test_an_insertion_changes_the_chunks_around_it_only(data: bytes) -> None:
    chunker = Chunker(b"key")
    before = set(cuts(chunker, data))
    after = cuts(chunker, data[: 20 * MIB] + b"inserted" + data[20 * MIB :])

    assert sum(1 for chunk in after if chunk not in before) <= 3


def test_another_key_cuts_elsewhere(data: bytes) -> None:
    one, two = cuts(Chunker(b"one"), data), cuts(Chunker(b"two"), data)

    assert not set(one[:-1]) & set(two[:-1])


def test_the_same_key_cuts_the_same_in_another_process_of_the_same_repository(data: bytes) -> None:
    assert cuts(Chunker(b"key"), data) == cuts(Chunker(b"key"), data)


def test_looking_less_far_ahead_finds_the_same_boundary(data: bytes) -> None:
    chunker = Chunker(b"key")
    full = chunker.next_cut(memoryview(data)[:MAX_BYTES])

    assert full < MAX_BYTES
    assert chunker.next_cut(memoryview(data)[: full + 1]) == full


def test_runs_of_zeros_become_equal_chunks_of_the_minimum() -> None:
    chunks = cuts(Chunker(b"key"), bytes(10 * MIB) + b"end")

    assert set(chunks[:-1]) == {bytes(MIN_BYTES)}
    assert chunks[-1] == b"end"


def test_repetitive_content_still_ends_chunks_at_the_maximum() -> None:
    chunks = cuts(Chunker(b"key"), b"ab" * (10 * MIB))

    assert max(len(chunk) for chunk in chunks) <= MAX_BYTES
    assert b"".join(chunks) == b"ab" * (10 * MIB)


def test_what_is_not_longer_than_the_minimum_is_one_chunk() -> None:
    assert cuts(Chunker(b"key"), b"x" * MIN_BYTES) == [b"x" * MIN_BYTES]
    assert cuts(Chunker(b"key"), b"x") == [b"x"]


def kinds() -> list[bytes]:
    rng = random.Random(9)
    text = b"".join(b"%d the same words\n" % number for number in range(400_000))
    sizes = (0, 1, MIN_BYTES - 1, MIN_BYTES, MIN_BYTES + 1, MIN_BYTES + 2048, MIN_BYTES + 2049)
    return [rng.randbytes(20 * MIB), text, bytes(3 * MIB) + rng.randbytes(MIB), *(rng.randbytes(size) for size in sizes)]


def test_both_paths_cut_at_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, list[list[bytes]]] = {}
    for pure in ("0", "1"):
        monkeypatch.setenv(native.PURE_VARIABLE, pure)
        native.forget()
        found[native.status()[:4]] = [cuts(Chunker(b"key"), data) for data in kinds()]
    monkeypatch.undo()
    native.forget()

    assert len(found) == 2
    assert found["nati"] == found["pure"]
