import os
import random
import subprocess
import sys

import pytest

from holdfast.repo.blob import Sealed
from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged
from holdfast.repo.index import BlobIndex, encode_index, new_index
from holdfast.repo.index_flat import FOLD_AFTER, FlatIndex
from holdfast.repo.index_native import NativeIndex
from holdfast.repo.pack import LENGTH_BYTES, OpenPack, PackEntry, decode_header, header_start, read_header

KEY = Key.generate()


@pytest.fixture
def index(data_path: str) -> BlobIndex:
    made = new_index()
    assert isinstance(made, NativeIndex if data_path == "native" else FlatIndex)
    return made


def entries(count: int, seed: int = 0) -> list[PackEntry]:
    rng = random.Random(seed)
    return [
        PackEntry("tree" if n % 3 == 0 else "data", rng.randbytes(32), n * 100, 100, 250 if n % 2 else 0) for n in range(count)
    ]


def test_every_blob_is_found_where_its_pack_says(index: BlobIndex) -> None:
    pack, blobs = os.urandom(32), entries(1000)
    index.add_pack(pack, blobs)

    for blob in blobs:
        assert index.find(blob.id) == (blob.kind, pack, blob.offset, blob.length, blob.raw_length)
    assert index.find(os.urandom(32)) is None
    assert os.urandom(32) not in index


def test_blobs_stay_found_while_the_index_grows(index: BlobIndex) -> None:
    seen: list[PackEntry] = []
    for number in range(25):
        blobs = entries(FOLD_AFTER // 4, number)
        index.add_pack(number.to_bytes(32, "big"), blobs)
        seen += blobs[::50]

    assert all(blob.id in index for blob in seen)
    assert len(index) == 25 * (FOLD_AFTER // 4)


@pytest.mark.parametrize("count", [150_000, 200_000, 250_000])
def test_memory_is_at_most_60_bytes_per_blob(index: BlobIndex, count: int) -> None:
    index.load([encode_index([(os.urandom(32), entries(count))])])

    assert len(index) == count
    assert index.nbytes / len(index) <= 60


def test_an_index_object_reads_back(index: BlobIndex) -> None:
    pack, blobs = os.urandom(32), entries(500)
    index.load([encode_index([(pack, blobs)])])

    assert dict(index.by_pack()) == {pack: blobs}
    assert index.packs() == [pack]


@pytest.mark.parametrize("text", [b'{"packs": [{"id": 5}]}', b"", b"{", b'{"packs":[{"id":"00","blobs":[]}]}'])
def test_an_index_object_that_is_no_index_is_damage(index: BlobIndex, text: bytes) -> None:
    with pytest.raises(Damaged, match="index"):
        index.load([text])


def test_ids_that_overlap_in_memory_are_told_apart(index: BlobIndex) -> None:
    zero, shifted = bytes(32), bytes(31) + b"\x01"
    index.add_pack(b"p" * 32, [PackEntry("data", zero, 0, 40, 0), PackEntry("data", shifted, 40, 41, 0)])

    assert index.find(zero) == ("data", b"p" * 32, 0, 40, 0)
    assert index.find(shifted) == ("data", b"p" * 32, 40, 41, 0)
    assert bytes(30) + b"\x01\x00" not in index


def contents(pack: memoryview) -> list[PackEntry]:
    start = header_start(pack[-LENGTH_BYTES:], len(pack))
    return read_header(pack[start:-LENGTH_BYTES], start, KEY)


def test_a_pack_tells_what_is_in_it() -> None:
    pack = OpenPack("data", 1000)
    for number in range(3):
        pack.add(Sealed(bytes([number]) * 32, b"x" * (50 + number), number * 100))
    assert not pack.full
    stored = memoryview(bytes(pack.finish(KEY)))

    assert contents(stored) == pack.entries
    assert [entry.offset for entry in pack.entries] == [0, 50, 101]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_pack_that_was_cut_is_noticed(cut: int) -> None:
    pack = OpenPack("data", 1000)
    pack.add(Sealed(b"a" * 32, b"x" * 50, 0))
    stored = bytes(pack.finish(KEY))

    with pytest.raises(Damaged):
        contents(memoryview(stored[:-cut]))
    with pytest.raises(Damaged):
        contents(memoryview(stored[cut:]))


def test_a_header_with_an_unknown_type_is_damage() -> None:
    with pytest.raises(Damaged, match="table of contents"):
        decode_header(b"\x07" + bytes(40))


def test_the_allocator_takes_its_settings() -> None:
    program = "from holdfast.repo.memory import settle_allocator; print(settle_allocator())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert told.strip() == "True"
