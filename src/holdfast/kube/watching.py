"""A watch as a stream of events: bytes in, decoded lines out.

The server is asked to end the watch after some minutes, at a random moment, so that a thousand watches do not return
at once. A line that stays silent past the read timeout counts as ended too: bookmarks come about once a minute, and
half-open connections are how caches grow stale without anyone noticing. A last line that is cut is dropped: its event
comes again after the reconnect.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

import aiohttp

from holdfast.kube.codec import CodecError, WatchEvent, decode_event
from holdfast.kube.errors import status_error, unreachable
from holdfast.kube.objects import Object
from holdfast.kube.resource import Resource
from holdfast.kube.transport import Call, Transport

SHORTEST: Final = 240
LONGEST: Final = 480
READ_TIMEOUT: Final = 120.0


async def watch_events(
    transport: Transport,
    res: Resource,
    path: str,
    query: Mapping[str, str],
    *,
    opened: Callable[[], None] | None = None,
    accept: str = "application/json",
) -> AsyncGenerator[WatchEvent, None]:
    """Yield the events of one watch request until it ends. Raises ApiError: Gone, Unavailable, Forbidden and the like."""
    seconds = str(random.randint(SHORTEST, LONGEST))
    full = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": seconds}
    call = Call(method="GET", path=path, query=full, accept=accept)
    response = await transport.stream(call, read_timeout=READ_TIMEOUT)
    try:
        if opened is not None:
            opened()
        tail = b""
        async for chunk in response.content.iter_any():
            *lines, tail = (tail + chunk).split(b"\n") if b"\n" in chunk else (tail + chunk,)
            for line in lines:
                if line:
                    yield _event(line, res, call)
            await asyncio.sleep(0)
    except TimeoutError:
        return
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(f"WATCH {path}", error) from error
    finally:
        response.release()


def _event(line: bytes, res: Resource, call: Call) -> WatchEvent:
    try:
        event = decode_event(line)
    except CodecError as error:
        raise unreachable(f"WATCH {call.path}", error) from None
    if event.type == "ERROR":
        raise status_error(event.object, f"WATCH {call.path}")
    _complete(event.object, res)
    return event


def _complete(obj: Object, res: Resource) -> None:
    if "kind" not in obj:
        obj["kind"] = res.kind
    if "apiVersion" not in obj:
        obj["apiVersion"] = res.api_version
