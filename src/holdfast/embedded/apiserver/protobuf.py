"""Request bodies in Kubernetes' protobuf form, read into the same plain dicts as JSON. Answers are always JSON.

kubectl from 1.32 on and Go clients send built-in kinds this way. A body is four magic bytes and an envelope that names
apiVersion and kind; the table `protobuf.json` (made by `tools/builtin_types.py`) says how the fields of each message are
numbered. Wire format: protobuf.dev "Encoding"; envelope: "Protobuf encoding" in Kubernetes' API concepts. What cannot
be read is 400, whatever the bytes are; numbers that the table does not know are skipped, as protobuf demands.

An empty value that JSON would leave out is left out here too, so that defaults apply alike.
"""

import base64
import datetime as dt
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from holdfast.embedded.apiserver.errors import bad_request, unsupported_media
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.shapes import type_name
from holdfast.kube.codec import decode, decode_any

MEDIA: Final = "application/vnd.kubernetes.protobuf"

_MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST: Final = 128
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_META: Final = "meta.DeleteOptions"


class _Malformed(ValueError):
    """The bytes are not what the table demands."""


class Field(NamedTuple):
    """How one number of a message is read; `form` is empty, `[]` or `{}`. `counts`: an empty value is kept."""

    name: str
    counts: bool
    form: str
    type: str


@cache
def _table() -> dict[str, dict[str, str]]:
    return cast(dict[str, dict[str, str]], decode(Path(__file__).with_name("protobuf.json").read_bytes()))


@cache
def fields_of(message: str) -> dict[int, Field]:
    """The fields of a message by number. KeyError for one that is not in the table."""
    found: dict[int, Field] = {}
    for number, text in _table()[message].items():
        name, _, spelling = text.partition(" ")
        form = spelling[:2] if spelling[:2] in ("[]", "{}") else ""
        found[int(number)] = Field(name.rstrip("?"), name.endswith("?"), form, spelling.removeprefix(form))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise _Malformed("a number is cut off or too long")


def _entries(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value): an int for a varint, bytes for everything else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Malformed("field number 0")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed(f"wire type {wire} of field {number} is not used by Kubernetes")
        if at + size > len(data):
            raise _Malformed(f"field {number} is cut off")
        yield number, wire, data[at : at + size]
        at += size


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _Malformed("a text is not UTF-8") from None


def _parts(data: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in _entries(data)}


def _moment(data: bytes, *, micro: bool) -> str | None:
    """A Time as RFC 3339 in UTC, by the second or microsecond; None for the zero time, which is an empty message."""
    if not data:
        return None
    parts = _parts(data)
    seconds, nanos = _signed(_whole(parts.get(1, 0))), _whole(parts.get(2, 0))
    try:
        found = _EPOCH + dt.timedelta(seconds=seconds, microseconds=nanos // 1000 if micro else 0)
    except OverflowError:
        raise _Malformed(f"the time {seconds} is out of range") from None
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise _Malformed("a number was expected")
    return value


def _raw(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise _Malformed("a text or message was expected")
    return value


def _int_or_string(data: bytes) -> int | str:
    parts = _parts(data)
    return _text(_raw(parts.get(3, b""))) if parts.get(1) == 1 else _signed(_whole(parts.get(2, 0)))


def _embedded(data: bytes) -> Any:
    """JSON within a message (RawExtension, FieldsV1)."""
    raw = _raw(_parts(data).get(1, b""))
    return decode_any(raw) if raw else None


_SCALARS: Final[dict[str, Callable[[bytes], Any]]] = {
    "s": _text,
    "y": lambda data: base64.b64encode(data).decode(),
    "t": lambda data: _moment(data, micro=False),
    "m": lambda data: _moment(data, micro=True),
    "q": lambda data: _text(_raw(_parts(data).get(1, b""))),
    "x": _int_or_string,
    "r": _embedded,
}


def _value(type_: str, wire: int, value: Any, depth: int) -> Any:
    if type_ in ("i", "b"):
        return _signed(_whole(value)) if type_ == "i" else bool(_whole(value))
    if type_ == "n":
        if wire != _FIXED64:
            raise _Malformed("a double was expected")
        return struct.unpack("<d", _raw(value))[0]
    if wire != _BYTES:
        raise _Malformed("a text or message was expected")
    read = _SCALARS.get(type_)
    return read(value) if read else _message(type_, value, depth + 1)


def _numbers(data: bytes) -> Iterator[int]:
    """Packed numbers, which a writer may use for a list of them."""
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _into(found: Object, field: Field, wire: int, value: Any, depth: int) -> None:
    """Read one field into the object being made."""
    if field.form == "[]":
        items = found.setdefault(field.name, [])
        if field.type in ("i", "b") and wire == _BYTES:
            items += [_value(field.type, _VARINT, item, depth) for item in _numbers(value)]
        else:
            items.append(_value(field.type, wire, value, depth))
        return
    if field.form == "{}":
        entry = {number: (wire, item) for number, wire, item in _entries(_raw(value))}
        key = _text(_raw(entry[1][1])) if 1 in entry else ""
        found.setdefault(field.name, {})[key] = _value(field.type, *entry[2], depth) if 2 in entry else _nothing(field.type)
        return
    read = _value(field.type, wire, value, depth)
    if field.name == ".":
        found.update(read)
    elif read is not None and (read or field.counts):
        found[field.name] = read


def _nothing(type_: str) -> Any:
    """The value of a map entry that carries none."""
    return "" if type_ in "syq" else 0 if type_ in "in" else False if type_ == "b" else {}


def _message(name: str, data: bytes, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _Malformed(f"messages are nested more than {_DEEPEST} deep")
    known, found = fields_of(name), Object()
    for number, wire, value in _entries(data):
        field = known.get(number)
        if field is not None:
            _into(found, field, wire, value, depth)
    shown = _SHOWN.get(name)
    if shown:
        return shown(found)
    return found.get("=", []) if "=" in {field.name for field in known.values()} else found


def _one_of(other: str) -> Callable[[Object], Any]:
    """Schema unions: a schema, or something else; JSON shows only what is there."""
    return lambda found: found["schema"] if "schema" in found else found.get(other, [] if other != "allows" else False)


_SHOWN: Final[dict[str, Callable[[Object], Any]]] = {
    "extensions.JSONSchemaPropsOrArray": _one_of("jSONSchemas"),
    "extensions.JSONSchemaPropsOrBool": _one_of("allows"),
    "extensions.JSONSchemaPropsOrStringArray": _one_of("property"),
}


def _type_of(api_version: str, kind: str) -> str:
    """The message of a kind; 415 for one that has no protobuf form, as custom resources."""
    if kind == "DeleteOptions":
        return _META
    group = api_version.rpartition("/")[0]
    name = type_name(group, kind)
    if name not in _table():
        raise unsupported_media(f"{kind} of {api_version or 'no apiVersion'} cannot be sent as {MEDIA}: send application/json")
    return name


def parse(data: bytes) -> Object:
    """The object in a protobuf body; 400 when it cannot be read, 415 for a kind that has no protobuf form."""
    try:
        if not data.startswith(_MAGIC):
            raise _Malformed("it does not begin with k8s and a zero byte")
        envelope = _parts(data[len(_MAGIC) :])
        names = _parts(_raw(envelope.get(1, b"")))
        api_version, kind = _text(_raw(names.get(1, b""))), _text(_raw(names.get(2, b"")))
        found = _message(_type_of(api_version, kind), _raw(envelope.get(2, b"")), 0)
    except (_Malformed, ValueError, RecursionError) as error:
        raise bad_request(f"the request body is not readable as {MEDIA}: {error}") from None
    return {"apiVersion": api_version, "kind": kind, **found}
