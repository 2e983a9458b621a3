"""Lifecycle hooks of a container: what runs in it right after its start, and before it is told to end."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from holdfast.core.objects import Object
from holdfast.embedded.node import execution, probes
from holdfast.embedded.node.process import Process
from holdfast.embedded.read import items, mapping


async def run_hook(container: Object, name: str, process: Process, address: str, wrapper: Sequence[str] = ()) -> str:
    """Carry out `postStart` or `preStop`; return what went wrong, or an empty text. Nothing happens without such a hook.

    `address` is the pod's, `wrapper` what puts a command below the container's memory limit.
    """
    hook: Mapping[str, Any] = mapping(container, "lifecycle", name)
    try:
        if (action := hook.get("exec")) is not None:
            ended = await execution.run(process, items(action, "command"), wrapper)
            return "" if ended.code == 0 else f"its command ended with exit code {ended.code}"
        if (action := hook.get("httpGet")) is not None:
            return await probes.get(action, address, probes.port_of(container, action["port"]))
        if (action := hook.get("sleep")) is not None:
            await asyncio.sleep(float(action.get("seconds") or 0))
    except (OSError, ValueError, aiohttp.ClientError) as problem:
        return str(problem) or type(problem).__name__
    return ""
