"""The stock program's boundaries: the native and the pure path against the definition, and who chooses them."""

import random
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD

from holdfast.repo.backup import backup
from holdfast.repo.chunker import MAX_BYTES, MIN_BYTES, WINDOW, Chunker
from holdfast.repo.chunking import choose_chunker
from holdfast.repo.config import Chunking, is_irreducible, random_polynomial, remainder
from holdfast.repo.copy import copy
from holdfast.repo.errors import Damaged
from holdfast.repo.rabin import RabinChunker
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore

POLYNOMIAL = "3da3358b4dc173"


@pytest.fixture
def chunker(data_path: str) -> RabinChunker:
    return RabinChunker(POLYNOMIAL)


def is_boundary(data: bytes, length: int) -> bool:
    """The rule itself, in whole numbers: the remainder of the last 64 bytes ends in twenty zero bits."""
    return remainder(int.from_bytes(data[length - WINDOW : length], "big"), int(POLYNOMIAL, 16)) & 0xFFFFF == 0


def boundary_window(rng: random.Random) -> bytes:
    """64 bytes with the fingerprint zero: any 57 bytes and the seven that make the sum a multiple."""
    start = rng.randbytes(57)
    rest = remainder(int.from_bytes(start, "big") << 56, int(POLYNOMIAL, 16))
    return start + rest.to_bytes(7, "big")


@pytest.fixture(scope="module")
def noise() -> bytes:
    """Random bytes in which the rule finds nothing from the minimum on, for boundaries to be planted in."""
    data = bytearray(random.Random(11).randbytes(MIN_BYTES + (1 << 20)))
    view, free = memoryview(data), RabinChunker(POLYNOMIAL)
    while (cut := free.next_cut(view)) < len(data):
        data[cut - 1] ^= 1
    return bytes(data)


EDGES = (64, 256, 4096, 16_384, 16_384 + WINDOW, 256 * 1024)
"""Where windows, stretches and blocks of either path end."""


@pytest.mark.parametrize("more", [0, 900_001, *(edge + step for edge in EDGES for step in (-1, 0, 1))])
def test_a_boundary_is_found_where_it_is_and_not_before(chunker: RabinChunker, noise: bytes, more: int) -> None:
    length = MIN_BYTES + more
    window = boundary_window(random.Random(more))
    data = noise[: length - WINDOW] + window + noise[length:]

    assert is_boundary(data, length)
    assert chunker.next_cut(memoryview(data)) == length
    assert chunker.next_cut(memoryview(data[:length])) == length


def test_the_first_of_many_boundaries_counts(chunker: RabinChunker, noise: bytes) -> None:
    rng = random.Random(5)
    places = sorted(rng.sample(range(MIN_BYTES + WINDOW, len(noise), WINDOW), 40))
    data = bytearray(noise)
    for place in places:
        data[place - WINDOW : place] = boundary_window(rng)
    first = chunker.next_cut(memoryview(data))

    assert first <= places[0]
    assert is_boundary(data, first)


def test_a_boundary_before_the_minimum_does_not_count(chunker: RabinChunker, noise: bytes) -> None:
    window = boundary_window(random.Random(1))
    data = noise[:1000] + window + noise[1000 + WINDOW :]

    assert chunker.next_cut(memoryview(data)) == len(data)


def test_both_paths_cut_where_the_rule_says(chunker: RabinChunker) -> None:
    data = random.Random(8).randbytes(5 << 20)

    cut = chunker.next_cut(memoryview(data))

    assert cut == 2_727_099
    assert is_boundary(data, cut)


def test_the_bounds_of_the_format_hold(chunker: RabinChunker) -> None:
    assert chunker.next_cut(memoryview(b"")) == 0
    assert chunker.next_cut(memoryview(b"x" * MIN_BYTES)) == MIN_BYTES
    assert chunker.next_cut(memoryview(bytes(3 * MIN_BYTES))) == MIN_BYTES
    assert chunker.next_cut(memoryview(b"ab" * (5 << 20))) == MAX_BYTES


@pytest.mark.parametrize("bad", ["", "zz", "1", "11", "3da3358b4dc172", "20000000000000"])
def test_a_polynomial_that_can_not_work_is_refused(bad: str) -> None:
    with pytest.raises(Damaged, match="polynomial"):
        RabinChunker(bad)


def test_drawn_polynomials_are_irreducible_and_differ() -> None:
    drawn = [random_polynomial() for _ in range(3)]

    assert len(set(drawn)) == 3
    assert all(is_irreducible(one) and one.bit_length() == 54 for one in drawn)
    assert not is_irreducible(drawn[0] ^ 1)


def test_a_repository_of_ours_alone_is_cut_by_its_key_a_shared_one_as_stock_does(repo: Repository, source: Path) -> None:
    def cuts_by(chunking: Chunking = "auto") -> type:
        return type(choose_chunker(repo, chunking, repo.snapshots()))

    assert cuts_by() is Chunker
    backup(repo, [str(source)])
    assert (cuts_by(), cuts_by("stock")) == (Chunker, RabinChunker)

    repo.put_json("snapshots", b'{"time":"2026-01-01T00:00:00Z","tree":"","paths":["/"],"program_version":"restic 0.18.0"}')
    assert (cuts_by(), cuts_by("keyed")) == (RabinChunker, Chunker)


def test_a_repository_can_be_made_to_cut_like_another(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large").write_bytes(random.Random(2).randbytes(6 << 20))
    like = Repository.init(LocalStore(tmp_path / "like"), "another", chunker_like=repo)
    reopened = Repository.open(LocalStore(tmp_path / "like"), "another")
    backup(repo, [str(tmp_path / "data")], chunking="stock")
    copy(repo, like)

    again = backup(reopened, [str(tmp_path / "data")], parent="")

    assert reopened.config.chunker_polynomial == repo.config.chunker_polynomial
    assert reopened.config.id != repo.config.id
    assert again.files_new == 1
    assert again.added_raw < 1 << 20, "only folders above the source may have changed meanwhile"


def test_a_config_that_asks_for_what_we_do_not_know_is_refused(tmp_path: Path, source: Path) -> None:
    repo = Repository.init(LocalStore(tmp_path / "new"), PASSWORD, chunking="newer")  # type: ignore[arg-type]

    with pytest.raises(Damaged, match="unknown chunking 'newer'"):
        backup(repo, [str(source)])
