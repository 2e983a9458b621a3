"""Blobs from one key to another, for copies: opened, compared with their ids, sealed anew, and the new seal proved.

What is compressed stays compressed as it is, which is what makes a copy cheap; what is not, is tried once, since old
repositories hold text that never was. The native module does a whole range of a pack at once outside the interpreter lock.
"""

import struct
from collections.abc import Iterator, Sequence

from holdfast.repo.blob import Sealed, blob_id, decompress, seal_blob
from holdfast.repo.crypto import Key, native_key
from holdfast.repo.errors import Damaged, SelfCheckFailed
from holdfast.repo.index import Location
from holdfast.repo.native import module

_ROW = struct.Struct("=32sIII")
_LENGTHS = struct.Struct("=II")


def reseal(
    source: Key, target: Key, data: memoryview, start: int, blobs: Sequence[tuple[bytes, Location]], *, check: bool
) -> Iterator[Sealed]:
    """Seal for `target` the blobs that lie in `data`, which was read from byte `start` of their pack; in their order.

    With `check` every new seal is opened and compared. Raises Damaged for a blob that does not open or is not what its id says,
    SelfCheckFailed for a new seal that does not open to the same bytes.
    """
    native = module()
    if native is None:
        for ident, at in blobs:
            sealed = data[at.offset - start :][: at.length]
            try:
                yield _one(source, target, sealed, ident, at.raw_length, check=check)
            except Damaged as error:
                raise _damaged(ident, at, str(error)) from error
        return
    table = b"".join(_ROW.pack(ident, at.offset - start, at.length, at.raw_length) for ident, at in blobs)
    answer: tuple[bytes, bytes, int, str, bool] = native.reseal(native_key(source), native_key(target), data, table, check)
    sealed, lengths, row, why, ours = answer
    if why:
        ident, at = blobs[row]
        raise SelfCheckFailed(_unproved(ident, why)) if ours else _damaged(ident, at, why)
    view, position = memoryview(sealed), 0
    for (ident, _), (length, raw_length) in zip(blobs, _LENGTHS.iter_unpack(lengths), strict=True):
        yield Sealed(ident, view[position : position + length], raw_length)
        position += length


def _damaged(ident: bytes, at: Location, why: str) -> Damaged:
    return Damaged(f"blob {ident.hex()[:12]} in pack {at.pack.hex()[:12]}: {why}")


def _unproved(ident: bytes, why: str) -> str:
    return f"blob {ident.hex()[:12]}: {why}; check the memory of this machine"


def _one(source: Key, target: Key, data: memoryview, ident: bytes, raw_length: int, *, check: bool) -> Sealed:
    payload = source.open(data)
    plain = decompress(payload, raw_length) if raw_length else payload
    if blob_id(plain) != ident:
        raise Damaged("it holds other bytes than its id says")
    if not raw_length:
        return seal_blob(target, plain, ident, check=check)
    sealed = Sealed(ident, target.seal(payload), raw_length)
    if check:
        _prove(target, sealed, payload)
    return sealed


def _prove(target: Key, sealed: Sealed, payload: bytes) -> None:
    try:
        same = target.open(sealed.data) == payload
    except Damaged as error:
        raise SelfCheckFailed(_unproved(sealed.id, str(error))) from error
    if not same:
        raise SelfCheckFailed(_unproved(sealed.id, "its new seal opened to other bytes"))
