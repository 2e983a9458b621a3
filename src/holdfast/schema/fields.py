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

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, UnsetType

from holdfast.schema.wellformed import VALIDATIONS

T = TypeVar("T")
Maybe: TypeAlias = T | UnsetType
"""A field that may be absent."""

Opaque: TypeAlias = dict[str, Any]
"""An object that is kept as it is given."""

Time: TypeAlias = Annotated[str, Meta(title="time", extra_json_schema={"format": "date-time"})]
"""An instant in RFC 3339."""

Duration: TypeAlias = Annotated[str, Meta(title="duration")]
"""A span such as `90s` or `1h30m`. Not checked by the schema: a blueprint may hold `${variable}` here."""


class Rule(msgspec.Struct, frozen=True):
    """A rule in CEL that the API server holds every write against, and what it says to one that breaks it.

    A rule that names `oldSelf` judges updates alone, and only where the value is there before and after.
    """

    expression: str
    message: str

    def node(self) -> dict[str, str]:
        """As a schema holds it."""
        return {"rule": self.expression, "message": self.message}


class Wire(msgspec.Struct, rename="camel"):
    """Base of all objects in an API. A subclass that sets OPEN keeps fields that it does not name; RULES judge it whole."""

    OPEN: ClassVar[bool] = False
    RULES: ClassVar[tuple[Rule, ...]] = ()


def doc(
    description: str,
    *,
    key: str = "",
    ge: int | None = None,
    le: int | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    default: str | None = None,
    int32: bool = False,
    rules: Sequence[Rule] = (),
) -> Meta:
    """Describe a field in one sentence, with its bounds; `key` makes a list a map whose entries differ in that field.

    `default` is for a required field: the server fills it in, and nothing may take it away. `int32` bounds the integer.
    """
    limits: dict[str, Any] = {"ge": ge, "le": le, "min_length": min_length, "max_length": max_length, "pattern": pattern}
    extra: dict[str, Any] = {}
    if key:
        extra |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    if default is not None:
        extra["default"] = default
    if int32:
        extra["format"] = "int32"
    if rules:
        extra[VALIDATIONS] = [rule.node() for rule in rules]
    return Meta(description=description, **limits, extra_json_schema=extra or None)


IMMUTABLE: Final = Rule("self == oldSelf", "can't be changed")
"""A value that stays as it was first given; it may be given late, and be taken away."""
