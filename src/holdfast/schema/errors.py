"""What is wrong with an object or with a schema, in the words that kubectl users know.

An error names its field by path, so that the API server can put it into `details.causes` and a person can read it
as one line: `spec.sessions[0].retryConfig.maxRetry: Invalid value: 0: ... should be greater than or equal to 1`.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

Path: TypeAlias = "tuple[Path, str | int] | None"
"""A field's place as a linked list from the leaf to the root: cheap to extend, rendered only for an error."""

REQUIRED: Final = "Required value"
INVALID: Final = "Invalid value"
UNSUPPORTED: Final = "Unsupported value"
DUPLICATE: Final = "Duplicate value"
TOO_MANY: Final = "Too many"
TOO_LONG: Final = "Too long"
FORBIDDEN: Final = "Forbidden"

_JSON_NAMES: Final = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "str": "string",
    "list": "array",
    "dict": "object",
}
_WITHOUT_VALUE: Final = (REQUIRED, TOO_LONG, FORBIDDEN)


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one field; `value` is what stood there, `detail` the rest of the sentence."""

    path: str
    type: str
    value: Any = None
    detail: str = ""

    def __str__(self) -> str:
        """Read as the API server writes it: path, what is wrong, the value where it helps, the detail."""
        parts = [self.path, self.type] if self.path else [self.type]
        if self.type not in _WITHOUT_VALUE:
            parts.append(quote(self.value))
        if self.detail:
            parts.append(self.detail)
        return ": ".join(parts)


class SchemaError(ValueError):
    """A schema that cannot be served: not structural, or a default or pattern in it is wrong."""

    def __init__(self, problems: list[FieldError]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


class Trace:
    """Collects, during one walk, the errors and the paths of fields that the schema does not know."""

    __slots__ = ("errors", "unknown")

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.unknown: list[str] = []

    def invalid(self, path: Path, value: object, detail: str) -> None:
        """Record a wrong value; `detail` follows the words "<path> in body"."""
        where = dotted(path)
        self.errors.append(FieldError(where, INVALID, value, f"{where} in body {detail}"))

    def wrong_type(self, path: Path, value: object, expected: str) -> None:
        """Record a value of another JSON type than `expected`; the value itself is not repeated."""
        found = type_name(value)
        where = dotted(path)
        self.errors.append(FieldError(where, INVALID, found, f'{where} in body must be of type {expected}: "{found}"'))

    def add(self, path: Path, kind: str, value: object = None, detail: str = "") -> None:
        """Record any other error."""
        self.errors.append(FieldError(dotted(path), kind, value, detail))


def dotted(path: Path) -> str:
    """Render a path: `spec.sessions[0].name`; the root is empty."""
    parts: list[str] = []
    while path is not None:
        path, step = path
        parts.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(parts)).removeprefix(".")


def quote(value: object) -> str:
    """Show a value as JSON, cut to a readable length."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 256 else text[:253] + "..."


def type_name(value: object) -> str:
    """Name a decoded JSON value's type as OpenAPI does."""
    if value is None:
        return "null"
    found = type(value).__name__
    return _JSON_NAMES.get(found, found)
