"""JSON merge patch (RFC 7396) and JSON patch (RFC 6902). Both return a new document and leave the old one alone."""

import copy
from typing import Any, Final, cast

from holdfast.embedded.apiserver.errors import StatusError, bad_request
from holdfast.embedded.apiserver.objects import Object

_MOST_OPERATIONS: Final = 10_000


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(cast(Object, target)) if isinstance(target, dict) else {}
    for key, value in cast(Object, patch).items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(document: Object, patch: Any) -> Object:
    """RFC 6902. A failed `test` or a path that is not there is 422, a malformed patch 400."""
    if not isinstance(patch, list):
        raise bad_request("a JSON patch must be a list of operations")
    operations = cast(list[Any], patch)
    if len(operations) > _MOST_OPERATIONS:
        raise bad_request(f"a JSON patch may have at most {_MOST_OPERATIONS} operations")
    result: Any = copy.deepcopy(document)
    for index, operation in enumerate(operations):
        if not isinstance(operation, dict):
            raise bad_request(f"operation {index} of the JSON patch is not an object")
        result = _apply(result, cast(Object, operation))
    if not isinstance(result, dict):
        raise bad_request("the JSON patch leaves no object")
    return cast(Object, result)


def _failed(path: str, why: str) -> StatusError:
    return StatusError(422, "Invalid", f'the server rejected our request due to an error in our request: "{path}": {why}')


def _pointer(operation: Object, key: str) -> list[str]:
    text = operation.get(key)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise bad_request(f'JSON patch: "{key}" must be a JSON pointer such as /metadata/labels/a')
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]


def _step(parent: Any, step: str, path: str) -> Any:
    if isinstance(parent, dict) and step in parent:
        return cast(Object, parent)[step]
    if isinstance(parent, list):
        return cast(list[Any], parent)[_place(cast(list[Any], parent), step, path, new=False)]
    raise _failed(path, "the path does not exist")


def _place(items: list[Any], step: str, path: str, *, new: bool) -> int:
    if new and step == "-":
        return len(items)
    if not step.isdecimal() or int(step) >= len(items) + new:
        raise _failed(path, f'"{step}" is not an index of the list')
    return int(step)


def _get(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = _step(document, step, "/".join(["", *steps]))
    return document


def _add(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    path = "/".join(["", *steps])
    parent = _get(document, steps[:-1])
    if isinstance(parent, dict):
        cast(Object, parent)[steps[-1]] = value
    elif isinstance(parent, list):
        items = cast(list[Any], parent)
        items.insert(_place(items, steps[-1], path, new=True), value)
    else:
        raise _failed(path, "the parent is neither an object nor a list")
    return document


def _remove(document: Any, steps: list[str]) -> Any:
    path = "/".join(["", *steps])
    if not steps:
        raise _failed(path, "the whole document cannot be removed")
    _get(document, steps)
    parent = _get(document, steps[:-1])
    if isinstance(parent, dict):
        del cast(Object, parent)[steps[-1]]
    else:
        items = cast(list[Any], parent)
        del items[_place(items, steps[-1], path, new=False)]
    return document


def _replace(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    _get(document, steps)
    parent = _get(document, steps[:-1])
    if isinstance(parent, dict):
        cast(Object, parent)[steps[-1]] = value
    else:
        cast(list[Any], parent)[int(steps[-1])] = value
    return document


def _apply(document: Any, operation: Object) -> Any:
    steps = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            return _add(document, steps, copy.deepcopy(operation.get("value")))
        case "remove":
            return _remove(document, steps)
        case "replace":
            return _replace(document, steps, copy.deepcopy(operation.get("value")))
        case "move":
            source = _pointer(operation, "from")
            value = _get(document, source)
            return _add(_remove(document, source), steps, value)
        case "copy":
            return _add(document, steps, copy.deepcopy(_get(document, _pointer(operation, "from"))))
        case "test":
            if _get(document, steps) != operation.get("value"):
                raise _failed("/".join(["", *steps]), "testing the value failed")
            return document
        case other:
            raise bad_request(f"JSON patch: unknown operation {other!r}")
