"""SPDY frames: what the other side may send, what it gets back, and how it is turned away."""

import asyncio
import struct

import pytest

from holdfast.embedded import spdy
from holdfast.embedded.spdy import Session, SpdyError, Stream


class Pipe:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        pass


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body


def opening(number: int, block: bytes) -> bytes:
    return control(1, struct.pack(">IIH", number, 0, 0) + block)


async def serve(*frames: bytes, wanted: bool = True) -> tuple[list[Stream], Pipe]:
    """Feed frames, then the end, and return the streams that were opened."""
    reader, pipe, found = asyncio.StreamReader(), Pipe(), list[Stream]()

    def opened(stream: Stream) -> bool:
        found.append(stream)
        return wanted

    for frame in frames:
        reader.feed_data(frame)
    reader.feed_eof()
    await Session(reader, pipe, opened).run()  # pyright: ignore[reportArgumentType] - what is written is all that counts
    return found, pipe


def packed() -> bytes:
    return spdy._Packer().pack({"streamType": "data", "port": "80"})  # pyright: ignore[reportPrivateUsage] - no other packer is at hand


async def test_a_stream_brings_its_headers_its_data_and_its_end() -> None:
    found, pipe = await serve(opening(1, packed()), struct.pack(">II", 1, 3) + b"abc", struct.pack(">II", 1, 1 << 24))
    assert found[0].headers == {"streamtype": "data", "port": "80"}
    assert [await found[0].read(), await found[0].read(), await found[0].read()] == [b"abc", b"", b""]
    assert pipe.sent[:4] == struct.pack(">HH", 0x8003, 2)


async def test_a_stream_that_is_not_wanted_is_reset() -> None:
    _, pipe = await serve(opening(1, packed()), wanted=False)
    assert pipe.sent == control(3, struct.pack(">II", 1, 3))


async def test_a_ping_comes_back() -> None:
    _, pipe = await serve(control(6, struct.pack(">I", 7)))
    assert pipe.sent == control(6, struct.pack(">I", 7))


async def test_a_goodbye_ends_every_stream() -> None:
    found, _ = await serve(opening(1, packed()), control(7, struct.pack(">II", 1, 0)))
    assert await found[0].read() == b""


async def test_what_comes_in_pieces_is_the_same() -> None:
    whole = opening(1, packed()) + struct.pack(">II", 1, 3) + b"abc"
    found, _ = await serve(*(bytes([byte]) for byte in whole))
    assert await found[0].read() == b"abc"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (struct.pack(">HHI", 0x8002, 1, 0), "version 2"),
        (struct.pack(">HHI", 0x8003, 1, 0xFFFFFF), "longer than"),
        (opening(1, b"not zlib at all"), "can't be read"),
    ],
)
async def test_a_broken_frame_ends_the_connection(frame: bytes, why: str) -> None:
    with pytest.raises(SpdyError, match=why):
        await serve(frame)


async def test_data_for_nobody_and_streams_of_our_own_number_are_passed_over() -> None:
    found, pipe = await serve(struct.pack(">II", 9, 3) + b"abc", opening(2, packed()))
    assert (found, pipe.sent) == ([], control(3, struct.pack(">II", 2, 1)))


async def test_a_client_can_not_open_streams_without_end() -> None:
    packer = spdy._Packer()  # pyright: ignore[reportPrivateUsage] - one zlib stream for all of a connection's headers
    frames = [opening(2 * number + 1, packer.pack({"streamType": "data"})) for number in range(1100)]
    found, pipe = await serve(*frames)
    assert len(found) == 1024
    assert pipe.sent.endswith(control(3, struct.pack(">II", 2 * 1099 + 1, 3)))
