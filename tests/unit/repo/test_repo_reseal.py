"""Blobs from one key to another, on the native and on the pure path."""

import os
import random
import struct

import pytest

from holdfast.repo import native, reseal
from holdfast.repo.blob import Sealed, blob_id, open_blob, seal_blob
from holdfast.repo.crypto import OVERHEAD, Key, native_key
from holdfast.repo.errors import Damaged, SelfCheckFailed
from holdfast.repo.index import Location

SOURCE, TARGET = Key.generate(), Key.generate()
TEXT = b"the same words again and again\n" * 5000


@pytest.fixture(autouse=True)
def path(data_path: str) -> str:
    return data_path


def laid_out(blobs: list[Sealed], gap: int = 0) -> tuple[memoryview, list[tuple[bytes, Location]]]:
    """A range of a pack, from byte 1000 on, with the blobs in it."""
    data, places = b"", list[tuple[bytes, Location]]()
    for blob in blobs:
        data += b"?" * gap
        places.append((blob.id, Location("data", b"P" * 32, 1000 + len(data), len(blob.data), blob.raw_length)))
        data += bytes(blob.data)
    return memoryview(data), places


def carried(blobs: list[Sealed], gap: int = 0) -> list[Sealed]:
    data, places = laid_out(blobs, gap)
    return list(reseal.reseal(SOURCE, TARGET, data, 1000, places, check=True))


def test_blobs_arrive_sealed_for_the_other_key_and_are_not_compressed_again() -> None:
    plain = [TEXT, random.Random(1).randbytes(100_000), b"x", TEXT[:700], b""]
    sealed = [seal_blob(SOURCE, each, blob_id(each)) for each in plain]

    done = carried(sealed, gap=3)

    assert [open_blob(TARGET, blob.data, blob.raw_length) for blob in done] == plain
    assert [(blob.id, blob.raw_length, len(blob.data)) for blob in done] == [
        (blob.id, blob.raw_length, len(blob.data)) for blob in sealed
    ]
    with pytest.raises(Damaged):
        open_blob(SOURCE, done[0].data, done[0].raw_length)


def test_what_was_never_compressed_is_now() -> None:
    (done,) = carried([Sealed(blob_id(TEXT), SOURCE.seal(TEXT), 0)])

    assert done.raw_length == len(TEXT)
    assert len(done.data) < len(TEXT) // 10
    assert open_blob(TARGET, done.data, done.raw_length) == TEXT


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Sealed(blob_id(b"other"), SOURCE.seal(b"something"), 0), "other bytes than its id"),
        (Sealed(blob_id(TEXT), TARGET.seal(TEXT), 0), "the seal does not fit"),
        (Sealed(blob_id(TEXT), SOURCE.seal(b"no frame of zstd"), len(TEXT)), "can't be read"),
        (Sealed(blob_id(TEXT), SOURCE.seal(TEXT), (1 << 32) - 1), "damaged"),
    ],
)
def test_a_damaged_blob_is_named(wrong: Sealed, said: str) -> None:
    good = seal_blob(SOURCE, TEXT, blob_id(TEXT))

    with pytest.raises(Damaged, match=said) as caught:
        carried([good, wrong])
    assert f"blob {wrong.id.hex()[:12]} in pack {(b'P' * 32).hex()[:12]}" in str(caught.value)


def test_a_seal_that_does_not_open_again_is_our_fault(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == "native":
        answer = (b"", b"", 0, "its new seal opened to other bytes", True)
        monkeypatch.setattr(reseal, "module", lambda: type("Native", (), {"reseal": staticmethod(lambda *_: answer)}))
    else:

        def seal_badly(key: Key, plain: bytes) -> bytes:
            return os.urandom(len(plain) + OVERHEAD)

        monkeypatch.setattr(Key, "seal", seal_badly)
    sealed = Sealed(blob_id(TEXT), SEALED_TEXT.data, SEALED_TEXT.raw_length)

    with pytest.raises(SelfCheckFailed, match="memory of this machine"):
        carried([sealed])


SEALED_TEXT = seal_blob(SOURCE, TEXT, blob_id(TEXT))


def test_tables_that_lie_are_refused_and_never_followed(path: str) -> None:
    if path == "pure":
        return
    module, rng = native.module(), random.Random(7)
    assert module is not None
    data = bytes(SEALED_TEXT.data)
    keys = native_key(SOURCE), native_key(TARGET)
    for _ in range(2000):
        numbers = [
            rng.choice((0, 31, 32, len(data), rng.getrandbits(32), 0xFFFFFFFF, rng.randrange(len(data)))) for _ in range(3)
        ]
        table = struct.pack("=32sIII", SEALED_TEXT.id, *numbers)[: rng.choice((44, 44, 44, 43, 0))]
        try:
            answer = module.reseal(*keys, data, table, True)
        except ValueError:
            continue
        assert answer[3] or numbers[:2] == [0, len(data)] or not table
