"""Pipes and terminals read and written on the event loop, each at the pace of whoever is slower."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable

CHUNK = 65536


async def chunks(descriptor: int) -> AsyncGenerator[bytes]:
    """Yield what comes from a non-blocking descriptor until its end. A terminal that nobody holds any more has ended."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            await _ready(descriptor, loop.add_reader, loop.remove_reader)
            continue
        except OSError:
            return
        if not data:
            return
        yield data


async def pour(descriptor: int, data: bytes) -> None:
    """Write all of the data to a non-blocking descriptor. Raises BrokenPipeError when nobody reads it any more."""
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await _ready(descriptor, loop.add_writer, loop.remove_writer)


async def _ready(descriptor: int, watch: Callable[..., None], forget: Callable[[int], bool]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    watch(descriptor, wake)
    try:
        await ready
    finally:
        forget(descriptor)


def close(*descriptors: int) -> None:
    """Close descriptors; one that is closed already, or negative, is none of our business."""
    for descriptor in descriptors:
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)
