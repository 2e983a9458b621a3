"""Variables in Functions, HookTemplates, volumes and blueprints: `${x}`, with a default `${x:=d}`, `${x:-d}` or `${x=d}`.

The tree is walked and each string filled in by itself, so a value never becomes structure. Unlike in a shell, a variable that
is known and empty stays empty: the default is for those that nobody knows.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from holdfast.core.objects import Object
from holdfast.core.read import text

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.-]*?)(?:(:=|:-|=)([^}]*))?\}")


class UnknownVariable(Exception):
    """A variable that nobody knows and that has no default. Its text is the name."""


def expand(value: Any, values: Mapping[str, str], *, lenient: bool = False) -> Any:
    """Return JSON with the variables of every string filled in, keys included.

    Raises UnknownVariable; when lenient, an unknown one stays as it is written, for text that a shell reads later.
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value(match, values, lenient), value)
    if isinstance(value, list):
        return [expand(entry, values, lenient=lenient) for entry in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            expand(key, values, lenient=lenient): expand(entry, values, lenient=lenient)
            for key, entry in cast("dict[str, Any]", value).items()
        }
    return value


def plain_values(variables: list[Object]) -> dict[str, str]:
    """Return the variables that carry their value with them, by name."""
    return {text(entry, "name"): text(entry, "value") for entry in variables if "valueFrom" not in entry}


def referring(variables: list[Object]) -> list[Object]:
    """Return the variables whose value lies elsewhere, such as in a Secret: only a container's environment can hold them."""
    return [entry for entry in variables if "valueFrom" in entry]


def _value(match: re.Match[str], values: Mapping[str, str], lenient: bool) -> str:
    name, operator, default = match.group(1), match.group(2), match.group(3)
    if name in values:
        return values[name]
    if operator:
        return default
    if lenient:
        return match.group(0)
    raise UnknownVariable(name)
