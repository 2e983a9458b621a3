"""Probes: whether a container has started, is ready, and still lives."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp

from holdfast.core.objects import Object
from holdfast.embedded.node import execution, grpchealth
from holdfast.embedded.node.process import Process
from holdfast.embedded.read import items

Check = Callable[[Mapping[str, Any]], Awaitable[str]]
"""Carries out one probe; returns what is wrong, or an empty text."""


async def run_probes(
    container: Object,
    process: Process,
    address: str,
    *,
    started: Callable[[], None],
    ready: Callable[[bool], None],
    sick: Callable[[str], Awaitable[None]],
) -> None:
    """Probe a running container until cancelled. `address` is the pod's.

    `started` is called once it has started up, `ready` is told every change, `sick` is called with why the container is to be
    restarted.
    """
    check = partial(_bounded, container, process, address)
    startup, readiness, liveness = (container.get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness"))
    if startup and not await _until_started(check, startup):
        await sick("startup probe failed")
        return
    started()
    if not readiness:
        ready(True)
    async with asyncio.TaskGroup() as group:
        if readiness:
            group.create_task(_watch(check, readiness, ready, None))
        if liveness:
            group.create_task(_watch(check, liveness, None, sick))


async def _until_started(check: Check, probe: Mapping[str, Any]) -> bool:
    await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
    for attempt in range(int(probe.get("failureThreshold") or 3)):
        if attempt:
            await asyncio.sleep(float(probe.get("periodSeconds") or 10))
        if not await check(probe):
            return True
    return False


async def _watch(
    check: Check,
    probe: Mapping[str, Any],
    ready: Callable[[bool], None] | None,
    sick: Callable[[str], Awaitable[None]] | None,
) -> None:
    good = bad = 0
    await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
    while True:
        problem = await check(probe)
        good, bad = (0, bad + 1) if problem else (good + 1, 0)
        if bad >= int(probe.get("failureThreshold") or 3):
            if sick is not None:
                await sick(f"liveness probe failed: {problem}")
                return
            if ready is not None:
                ready(False)
        if ready is not None and good >= int(probe.get("successThreshold") or 1):
            ready(True)
        await asyncio.sleep(float(probe.get("periodSeconds") or 10))


async def _bounded(container: Object, process: Process, address: str, probe: Mapping[str, Any]) -> str:
    """Probe once. Return what is wrong, or an empty text."""
    try:
        async with asyncio.timeout(float(probe.get("timeoutSeconds") or 1)):
            return await _check(container, process, address, probe)
    except TimeoutError:
        return "no answer in time"
    except (OSError, aiohttp.ClientError) as problem:
        return str(problem)


async def _check(container: Object, process: Process, address: str, probe: Mapping[str, Any]) -> str:
    if (action := probe.get("exec")) is not None:
        ended = await execution.run(process, items(action, "command"))
        return "" if ended.code == 0 else f"exit code {ended.code}"
    if (action := probe.get("httpGet")) is not None:
        return await get(action, address, port_of(container, action["port"]))
    if (action := probe.get("tcpSocket")) is not None:
        _, writer = await asyncio.open_connection(action.get("host") or address, port_of(container, action["port"]))
        writer.close()
        return ""
    if (action := probe.get("grpc")) is not None:
        return await grpchealth.check(address, int(action["port"]), str(action.get("service") or ""))
    return "the probe names neither exec, httpGet, tcpSocket nor grpc"


async def get(action: Mapping[str, Any], address: str, port: int) -> str:
    """Carry out an `httpGet`. Return what is wrong, or an empty text. Raises OSError and aiohttp's errors."""
    scheme = str(action.get("scheme") or "HTTP").lower()
    url = f"{scheme}://{action.get('host') or address}:{port}/{str(action.get('path') or '/').lstrip('/')}"
    headers = {each["name"]: each["value"] for each in items(action, "httpHeaders")}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer,
    ):
        return "" if 200 <= answer.status < 400 else f"HTTP status {answer.status}"


def port_of(container: Object, port: int | str) -> int:
    """Return a port by number or by its name among the container's ports."""
    for each in items(container, "ports"):
        if each.get("name") == port:
            return int(each["containerPort"])
    return int(port)
