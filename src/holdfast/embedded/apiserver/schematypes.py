"""Whether a CustomResourceDefinition's schema is built of the types that a schema is built of, before anyone reads it.

The types of the keywords come from the table of protobuf messages, which knows `JSONSchemaProps` field by field. What the
keywords mean, and whether they fit together, is for `schema.structural`.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.protobuf import fields_of

_SCHEMA: Final = "extensions.JSONSchemaProps"
_DEEPEST: Final = 100


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_SCALARS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "s": ("string", lambda value: isinstance(value, str)),
    "b": ("boolean", lambda value: isinstance(value, bool)),
    "i": ("integer", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "n": ("number", _is_number),
    "r": ("value", lambda value: True),
}
_UNIONS: Final[dict[str, str]] = {
    f"{_SCHEMA}OrBool": "b",
    f"{_SCHEMA}OrArray": f"[]{_SCHEMA}",
    f"{_SCHEMA}OrStringArray": "[]s",
}
"""What may stand in place of a schema."""


def problems(schema: Any, field: str) -> list[Cause]:
    """What has the wrong type, as (field, message); empty for a schema that can be read."""
    return _check(schema, _SCHEMA, field, 0)


def _wrong(field: str, wanted: str) -> list[Cause]:
    return [(field, f"{field}: Invalid value: must be of type {wanted}")]


def _check(value: Any, type_: str, field: str, depth: int) -> list[Cause]:
    if depth > _DEEPEST:
        return [(field, f"{field}: Invalid value: schemas are nested more than {_DEEPEST} deep")]
    if type_ in _UNIONS:
        type_ = _SCHEMA if isinstance(value, dict) else _UNIONS[type_]
    if type_ in _SCALARS:
        name, fits = _SCALARS[type_]
        return [] if fits(value) else _wrong(field, name)
    if type_.startswith("[]"):
        if not isinstance(value, list):
            return _wrong(field, "array")
        items = enumerate(cast(list[Any], value))
        return [cause for at, item in items for cause in _check(item, type_[2:], f"{field}[{at}]", depth + 1)]
    if not isinstance(value, dict):
        return _wrong(field, "object")
    members = cast(Object, value)
    if type_.startswith("{}"):
        return [cause for key, item in members.items() for cause in _check(item, type_[2:], f"{field}.{key}", depth + 1)]
    known = {found.name: found.form + found.type for found in fields_of(type_).values()}
    return [
        cause
        for key, item in members.items()
        if key in known and item is not None
        for cause in _check(item, known[key], f"{field}.{key}", depth + 1)
    ]
