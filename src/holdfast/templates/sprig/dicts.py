"""Sprig's functions on mappings. `set`, `unset` and `merge` change their first argument, as they do there."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from holdfast.templates.errors import TemplateError
from holdfast.templates.sprig.arguments import mapping, text
from holdfast.templates.values import text_of, true


def _dict(*pairs: Any) -> dict[str, Any]:
    return {text_of(key): pairs[at + 1] if at + 1 < len(pairs) else "" for at, key in enumerate(pairs) if at % 2 == 0}


def _get(value: object, key: str) -> Any:
    return mapping(value).get(text(key), "")


def _set(value: object, key: str, item: Any) -> dict[str, Any]:
    mapping(value)[text(key)] = item
    return mapping(value)


def _unset(value: object, key: str) -> dict[str, Any]:
    mapping(value).pop(text(key), None)
    return mapping(value)


def _has_key(value: object, key: str) -> bool:
    return text(key) in mapping(value)


def _pluck(key: str, *values: object) -> list[Any]:
    return [mapping(value)[key] for value in values if key in mapping(value)]


def _keys(*values: object) -> list[str]:
    return [key for value in values for key in mapping(value)]


def _values(value: object) -> list[Any]:
    return list(mapping(value).values())


def _pick(value: object, *keys: str) -> dict[str, Any]:
    return {key: item for key, item in mapping(value).items() if key in keys}


def _omit(value: object, *keys: str) -> dict[str, Any]:
    return {key: item for key, item in mapping(value).items() if key not in keys}


def _merge(into: object, *others: object) -> dict[str, Any]:
    """What the first has already stays, unless it is empty."""
    result = mapping(into)
    for other in others:
        for key, item in mapping(other).items():
            mine = result.get(key)
            if isinstance(mine, dict) and isinstance(item, Mapping):
                _merge(cast(Any, mine), cast(Any, item))
            elif not true(cast(object, mine)):
                result[key] = item
    return result


def _merge_overwrite(into: object, *others: object) -> dict[str, Any]:
    """What comes later wins, unless it is empty."""
    result = mapping(into)
    for other in others:
        for key, item in mapping(other).items():
            mine = result.get(key)
            if isinstance(mine, dict) and isinstance(item, Mapping):
                _merge_overwrite(cast(Any, mine), cast(Any, item))
            elif true(item) or key not in result:
                result[key] = item
    return result


def _dig(*arguments: Any) -> Any:
    """`dig "a" "b" default value`: the value below these keys, or the default."""
    if len(arguments) < 3:
        raise TemplateError("wants keys, a default and a dict")
    *keys, default, value = arguments
    for key in keys:
        found = mapping(value)
        if text(key) not in found:
            return default
        value = found[key]
    return value


DICTS: Final[Mapping[str, Callable[..., Any]]] = {
    "deepCopy": copy.deepcopy,
    "dict": _dict,
    "dig": _dig,
    "get": _get,
    "hasKey": _has_key,
    "keys": _keys,
    "merge": _merge,
    "mergeOverwrite": _merge_overwrite,
    "omit": _omit,
    "pick": _pick,
    "pluck": _pluck,
    "set": _set,
    "unset": _unset,
    "values": _values,
}
