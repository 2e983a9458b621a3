"""Values that a Backup or Restore passes to its action set: which are declared, and whether they are what the schema wants.

A value is text; it is read as the type that the schema declares (a list is split at commas) before it is judged. Jobs get the
text as it was given.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, strings, text
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.schema.errors import SchemaError
from holdfast.schema.structural import Schema

_TRUTH: Final = {"true": True, "false": False}
_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "integer": int,
    "number": float,
    "boolean": lambda value: _TRUTH[value.lower()],
}


def refusal(obj: Object, action_set: Object, section: str) -> Refusal | None:
    """Return what is wrong with the parameters of an object; `section` is `backup` or `restore`."""
    given = {text(entry, "name"): text(entry, "value") for entry in items(obj, "spec", "parameters")}
    if not given:
        return None
    declared = strings(action_set, "spec", section, "withParameters")
    schema = mapping(action_set, "spec", "parametersSchema", "openAPIV3Schema")
    where = f"ActionSet {name_of(action_set)}" if action_set else "a method without ActionSet"
    for name in given:
        if name not in declared or name not in mapping(schema, "properties"):
            return Refusal("UnknownParameter", f"{where} declares no parameter {name} for a {section}: leave it out")
    try:
        values = {name: _read(name, value, mapping(schema, "properties", name)) for name, value in given.items()}
        required = [key for key in strings(schema, "required") if key in declared]
        wrapped = {"type": "object", "properties": {"parameters": {**schema, "type": "object", "required": required}}}
        found = Schema.compile(wrapped).process({"parameters": values}).errors
    except (ValueError, SchemaError) as error:
        return Refusal("BadParameter", f"parameters of {where}: {error}")
    said = "; ".join(f"{error.path}: {error.detail}" for error in found)
    return Refusal("BadParameter", f"{where}: {said}") if said else None


def _read(name: str, value: str, schema: Object) -> Any:
    """Return a value as its schema's type."""
    kind = text(schema, "type", default="string")
    if kind == "array":
        return [_read(name, part.strip(), mapping(schema, "items")) for part in value.split(",")]
    try:
        return _READ.get(kind, str)(value)
    except (ValueError, KeyError):
        raise ValueError(f"{name} is {value!r}, which is no {kind}") from None
