"""JSON in and out, in one place: the rest of `kube` and the embedded API server do not know which library does it.

Objects are decoded to plain dicts. A watch line is decoded in one step to its type and its object. What a cache never
reads, above all managedFields, is dropped before it is stored: it is a third of a typical object.
"""

from typing import Any

import msgspec

from holdfast.kube.objects import Object


class CodecError(ValueError):
    """The bytes are not the JSON that was expected."""


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object (a Status for ERROR)."""

    type: str
    object: Object


_encoder = msgspec.json.Encoder()
_objects = msgspec.json.Decoder(Object)
_anything = msgspec.json.Decoder(Any)
_events = msgspec.json.Decoder(WatchEvent)


def encode(value: object) -> bytes:
    """Write a value as compact JSON."""
    return _encoder.encode(value)


def decode(data: bytes | bytearray | memoryview) -> Object:
    """Read one JSON object. Raises CodecError when the bytes are not JSON, or not an object."""
    try:
        return _objects.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(str(error)) from None


def decode_any(data: bytes | bytearray | memoryview) -> Any:
    """Read any JSON value. Raises CodecError when the bytes are not JSON."""
    try:
        return _anything.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(str(error)) from None


def decode_event(line: bytes | bytearray | memoryview) -> WatchEvent:
    """Read one line of a watch. Raises CodecError when it is cut or not an event."""
    try:
        return _events.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(str(error)) from None


def trim(obj: Object) -> Object:
    """Drop what no cache reads, in place, and return the object."""
    meta = obj.get("metadata")
    if meta is not None:
        meta.pop("managedFields", None)
    return obj
