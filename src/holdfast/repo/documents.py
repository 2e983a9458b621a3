"""Reading what a repository says of itself: JSON that may be damaged, or written by somebody who means harm.

Whatever is wrong with a document is the same error, Damaged: text that is no JSON or no UTF-8, fields of the wrong type,
nesting that no reader should follow, ids that are none.
"""

from typing import TypeVar

import msgspec

from holdfast.repo.errors import Damaged
from holdfast.repo.store import Buffer

T = TypeVar("T")

MAX_SMALL_BYTES = 1 << 20
"""Key files, locks and the config are far below this; a larger one is not read into memory."""

_ID_BYTES = 32


def decode(decoder: "msgspec.json.Decoder[T]", data: Buffer, what: str) -> T:
    """Decode a document; `what` names it for people. Raises Damaged."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{what} is not readable: {error}") from error


def parse_id(text: str | None) -> bytes:
    """The 32 bytes behind an id in hexadecimal. Raises Damaged for anything else, also for none."""
    try:
        ident = bytes.fromhex(text or "")
    except ValueError:
        ident = b""
    if len(ident) != _ID_BYTES:
        raise Damaged(f"{(text or '')[:80]!r} is no id: what names it is damaged")
    return ident


def refuse_large(size: int, most: int, what: str) -> None:
    """Raise Damaged for an object that is larger than any sound one, before it is read."""
    if size > most:
        raise Damaged(f"{what} has {size} bytes, no sound one has more than {most}: it is damaged")
