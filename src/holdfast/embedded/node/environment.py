"""A container's environment and its command line: envFrom, env, references, and `$(NAME)`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.objects import Object
from holdfast.embedded.node import downward
from holdfast.embedded.node.sources import Sources, key_of
from holdfast.embedded.read import items

_REFERENCE = re.compile(r"\$\$|\$\(([^()$]*)\)")
_NAME = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")


async def environment(
    pod: Object,
    container: Object,
    sources: Sources,
    *,
    base: Mapping[str, str],
    capacity: Mapping[str, str],
) -> dict[str, str]:
    """Return all variables of a container; later ones win, as in Kubernetes. Raises NotReady for what is missing."""
    found = dict(base)
    for each in items(container, "envFrom"):
        found |= await _imported(each, sources)
    for each in items(container, "env"):
        if each.get("valueFrom") is None:
            found[each["name"]] = expand(each.get("value") or "", found)
            continue
        value = await _value(pod, container["name"], each["valueFrom"], sources, capacity)
        if value is not None:
            found[each["name"]] = value
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value. An unknown name stays as it is, and `$$` is a plain dollar sign."""

    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return variables.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replace, text)


def expand_all(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Expand each word of a command."""
    return [expand(word, variables) for word in words]


async def _imported(each: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    prefix = each.get("prefix") or ""
    if (reference := each.get("secretRef")) is not None:
        data = await sources.secret(reference["name"], optional=bool(reference.get("optional")))
    elif (reference := each.get("configMapRef")) is not None:
        data = await sources.config_map(reference["name"], optional=bool(reference.get("optional")))
    else:
        data = None
    named = {prefix + key: value for key, value in (data or {}).items()}
    return {key: value.decode(errors="surrogateescape") for key, value in named.items() if _NAME.fullmatch(key)}


async def _value(
    pod: Object, container: str, source: Mapping[str, Any], sources: Sources, capacity: Mapping[str, str]
) -> str | None:
    if (reference := source.get("secretKeyRef")) is not None:
        return await _key("secret", reference, sources)
    if (reference := source.get("configMapKeyRef")) is not None:
        return await _key("configmap", reference, sources)
    if (reference := source.get("fieldRef")) is not None:
        return downward.field(pod, reference["fieldPath"])
    if (reference := source.get("resourceFieldRef")) is not None:
        return downward.resource(pod, container, reference, capacity)
    return None


async def _key(kind: str, reference: Mapping[str, Any], sources: Sources) -> str | None:
    optional = bool(reference.get("optional"))
    read = sources.secret if kind == "secret" else sources.config_map
    data = await read(reference["name"], optional=optional)
    if data is None:
        return None
    value = key_of(kind, reference["name"], data, reference["key"], optional=optional)
    return None if value is None else value.decode(errors="surrogateescape")
