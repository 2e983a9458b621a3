"""The native module against its pure twins, and against input that nobody wrote."""

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from holdfast.repo import native
from holdfast.repo.blob import blob_id, open_blob, seal_blob
from holdfast.repo.crypto import Key, native_key
from holdfast.repo.errors import Damaged
from holdfast.repo.index import encode_index
from holdfast.repo.index_flat import FlatIndex
from holdfast.repo.index_native import NativeIndex
from holdfast.repo.names import json_name, json_text
from holdfast.repo.pack import PackEntry
from holdfast.repo.times import format_ns, utc_only

FUZZ_ROUNDS = int(os.environ.get("HOLDFAST_FUZZ_ROUNDS", "300"))
"""`make fuzz` runs many more, on a module built with the compiler's sanitizers."""

KEY = Key.generate()


pytestmark = pytest.mark.usefixtures("module")


def test_every_character_is_quoted_alike(module: Any) -> None:
    for start in range(0, sys.maxunicode + 1, 4096):
        text = "".join(chr(code) for code in range(start, start + 4096) if not 0xD800 <= code < 0xE000)
        raw = text.encode()
        assert module.text_name(raw).decode() == json_name(text)
        assert module.text_value(raw).decode() == json_text(text)


@given(some.binary(max_size=60) | some.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_quoted_alike(raw: bytes) -> None:
    module: Any = native.module()
    assert module.text_name(raw).decode() == json_name(os.fsdecode(raw))
    assert module.text_value(raw).decode() == json_text(os.fsdecode(raw))


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", None])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param is None:
        monkeypatch.delenv("TZ", raising=False)
    else:
        monkeypatch.setenv("TZ", request.param)
    forget_zone()
    yield
    monkeypatch.undo()
    forget_zone()


def forget_zone() -> None:
    from holdfast.repo import times

    time.tzset()
    utc_only.cache_clear()
    times._seconds.clear()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("zone")
def test_times_are_written_alike(module: Any) -> None:
    rng = random.Random(5)
    seconds = [rng.randrange(-(1 << bits), 1 << bits) for bits in (20, 31, 33, 36, 40) for _ in range(300)]
    seconds += [-62135596800, -62167219200, 253402300799, 253402300800, -62167219201, -1, 0, 951782400, 1 << 55, -(1 << 55)]
    for second in seconds:
        nanosecond = rng.choice([0, 1, 500_000_000, 999_999_999, rng.randrange(10**9)])
        told = module.text_time(second, nanosecond, utc_only()).decode()
        assert told == format_ns(second * 10**9 + nanosecond), second


@settings(max_examples=50, deadline=None)
@given(some.binary(max_size=5000), some.booleans())
def test_blobs_open_alike_and_no_changed_byte_passes(plain: bytes, repeat: bool) -> None:
    content = plain * 50 if repeat else plain
    sealed = seal_blob(KEY, content, blob_id(content), check=False)
    twin: Any = native_key(KEY)
    assert (
        twin.open_blob(sealed.data, sealed.raw_length, sealed.id) == content == open_blob(KEY, sealed.data, sealed.raw_length)
    )
    broken = bytearray(sealed.data)
    broken[len(plain) % len(broken)] ^= 1
    with pytest.raises(ValueError, match="seal"):
        twin.open_blob(broken, sealed.raw_length, sealed.id)
    with pytest.raises(ValueError, match="other bytes"):
        twin.open_blob(sealed.data, sealed.raw_length, bytes(32))


def test_a_compressed_blob_that_claims_less_than_it_holds_is_refused() -> None:
    content = b"a" * 100_000
    sealed = seal_blob(KEY, content, blob_id(content))
    twin: Any = native_key(KEY)
    for claim in (1, 99_999, 300 << 20, 1 << 40):
        with pytest.raises(ValueError, match=r"can't be read|256 MiB"):
            twin.open_blob(sealed.data, claim, sealed.id)


def mutated(rng: random.Random, text: bytes) -> bytes:
    """A text with a few bytes changed, cut out, doubled, or replaced by pieces of JSON."""
    data = bytearray(text)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 40)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 200)]
            case 3:
                data[at:at] = rng.choice([b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"null", b"\\u", b"-1", b"9" * 30])
            case _:
                del data[at:]
    return bytes(data)


def some_index(rng: random.Random) -> tuple[bytes, list[PackEntry]]:
    entries = [
        PackEntry(rng.choice(["data", "tree"]), rng.randbytes(32), n * 100, 100, rng.choice([0, 99]))
        for n in range(rng.randint(1, 6))
    ]
    return rng.randbytes(32), entries


def test_whatever_an_index_object_holds_it_is_read_or_refused() -> None:
    rng = random.Random(11)
    refused = 0
    for _ in range(FUZZ_ROUNDS):
        good = encode_index([some_index(rng), some_index(rng)])
        text = mutated(rng, good)
        index, twin = NativeIndex(), FlatIndex()
        try:
            index.load([text])
        except Damaged:
            refused += 1
            continue
        assert all(blob.id in index for _, blobs in index.by_pack() for blob in blobs)
        try:
            twin.load([text])
        except (Damaged, OverflowError):
            continue
        assert dict(index.by_pack()) == {pack: blobs for pack, blobs in twin.by_pack() if blobs} or len(index) <= len(twin)
    assert 0 < refused < FUZZ_ROUNDS


def test_whatever_a_parent_tree_holds_the_folder_is_described(module: Any, tmp_path: Path) -> None:
    rng = random.Random(12)
    key: Any = native_key(KEY)
    for number in range(12):
        (tmp_path / f"file \u00e9{number}\n").write_bytes(b"x" * number)
    os.symlink("target", tmp_path / "link")
    (tmp_path / "folder").mkdir()
    index = NativeIndex()
    writer = module.Writer(index.native, key, 1 << 20, 100, True, False)

    def tree(old: bytes | None) -> bytes:
        folder = module.Folder(os.fsencode(tmp_path), True)
        folder.scan()
        faults = folder.match(index.native, old, False, False)[4]
        for first, last in folder.batches(5, 1 << 20):
            faults += folder.read(writer, first, last)[4]
        assert faults == []
        for place, _, _ in folder.folders():
            folder.set_subtree(place, bytes(32))
        return folder.finish(writer, b"")

    first = tree(None)
    for pack in writer.close():
        pack.finish()
        stored = bytes(memoryview(pack))
        pack.settle()
        found = index.find(first)
        if found is not None and found.kind == "tree":
            good = key.open_blob(stored[found.offset : found.offset + found.length], found.raw_length, first)
            assert len(json.loads(good)["nodes"]) == 14
            break
    else:
        pytest.fail("the tree is in no pack")
    assert tree(good) == first
    for _ in range(FUZZ_ROUNDS):
        tree(mutated(rng, good))


@pytest.mark.parametrize("size", [0, 1, 512 * 1024, 512 * 1024 + 1, 700_000, 9 << 20])
def test_a_cut_lies_within_the_data(module: Any, size: int) -> None:
    rng = random.Random(size)
    for _ in range(max(FUZZ_ROUNDS // 300, 1)):
        data = rng.randbytes(size)
        cut = module.next_cut(data, rng.randbytes(32), rng.randbytes(10))
        assert cut == size if size <= 512 * 1024 else 512 * 1024 <= cut <= min(size, 8 << 20)


def test_calls_refuse_what_makes_no_sense(module: Any) -> None:
    index = module.Index()
    key = module.Key(bytes(32), bytes(16), bytes(16))
    writer = module.Writer(index, key, 1 << 20, 100, True, False)
    folder = module.Folder(b"/", True)
    refusals: list[tuple[type[Exception], Any, tuple[object, ...]]] = [
        (ValueError, module.Key, (b"", b"", b"")),
        (ValueError, module.Writer, (index, key, 1, 1, True, False)),
        (TypeError, module.Writer, (key, index, 1 << 20, 1, True, False)),
        (TypeError, module.Pack, ()),
        (ValueError, index.find, (b"short",)),
        (IndexError, index.row, (7,)),
        (ValueError, writer.put, (False, bytes(32), bytes(40), 0)),
        (IndexError, folder.drop, (3,)),
        (IndexError, folder.set_node, (0, b"")),
        (IndexError, folder.set_subtree, (0, bytes(32))),
        (TypeError, folder.match, (index, "text", False, False)),
        (OSError, folder.look, (b"no such file in the root",)),
        (TypeError, module.encode_index, ([1],)),
        (ValueError, module.next_cut, (b"", b"", b"")),
    ]
    for error, call, words in refusals:
        with pytest.raises(error):
            call(*words)
    with pytest.raises(ValueError, match="nobody had claimed"):
        writer.close()


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 7])
def test_every_form_that_the_processor_has_mixes_alike(module: Any, lanes: int) -> None:
    rows = os.urandom(128 * 8 * lanes)
    one_by_one = b"".join(module.scrypt_mix(rows[at : at + 1024], 64, 8) for at in range(0, len(rows), 1024))
    mixed = {form: module.scrypt_mix(rows, 64, 8, form) for form in range(scrypt_forms())}

    assert set(mixed.values()) == {one_by_one}
    with pytest.raises(ValueError, match="fewer forms"):
        module.scrypt_mix(rows, 64, 8, len(mixed))


def scrypt_forms() -> int:
    """How many this processor has, as the kernel lists its abilities."""
    abilities = Path("/proc/cpuinfo").read_text().split()
    return 1 + sum(name in abilities for name in ("avx2", "avx512vl"))
