"""The words in which a dialect writes its types: a struct per object, one documented line per field.

    class Backend(Wire):
        "One storage to write to."
        storage_ref: Annotated[Ref, doc("BackupStorage to use.")]
        name: Annotated[str, doc("Identifier within this object.")] = ""
        retention_policy: Maybe[Annotated[Ref, doc("What to keep.")]] = UNSET

A field without default is required, a default is written into the CRD, and UNSET means absent, never null. Names become
camelCase. A struct is never written back whole, since that would drop what it does not model.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, UnsetType

T = TypeVar("T")
Maybe: TypeAlias = T | UnsetType
"""A field that may be absent."""

Opaque: TypeAlias = dict[str, Any]
"""An object that is kept as it is given."""

Time: TypeAlias = Annotated[str, Meta(title="time", extra_json_schema={"format": "date-time"})]
"""An instant in RFC 3339."""

Duration: TypeAlias = Annotated[str, Meta(title="duration")]
"""A span such as `90s` or `1h30m`. Not checked by the schema: a blueprint may hold `${variable}` here."""


class Wire(msgspec.Struct, rename="camel"):
    """Base of all objects in an API. A subclass that sets OPEN keeps fields that it does not name."""

    OPEN: ClassVar[bool] = False


def doc(
    description: str,
    *,
    key: str = "",
    ge: int | None = None,
    le: int | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
) -> Meta:
    """Describe a field in one sentence, with its bounds; `key` makes a list a map whose entries differ in that field."""
    limits: dict[str, Any] = {"ge": ge, "le": le, "min_length": min_length, "max_length": max_length, "pattern": pattern}
    if key:
        limits["extra_json_schema"] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return Meta(description=description, **limits)
