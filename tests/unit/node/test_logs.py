import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.embedded.node.logs import MAX_LINE, LogFile, Options, last_lines, read, rotated


async def text(path: Path, live: LogFile | None = None, **options: object) -> bytes:
    return b"".join([chunk async for chunk in read(path, Options(**options), live)])  # type: ignore[arg-type]


async def test_what_was_written_is_read_back_line_by_line_and_to_the_byte(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"other\n")
    log.write("stdout", b"o\n\nend")
    log.close()
    assert await text(log.path) == b"one\nother\ntwo\n\nend"
    assert last_lines(log.path, 2) == ["", "end"]


async def test_the_tail_counts_lines_and_a_long_line_is_one(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"first\n" + b"x" * (MAX_LINE * 2 + 5) + b"\nlast\n")
    assert await text(log.path, tail=1) == b"last\n"
    assert await text(log.path, tail=2) == b"x" * (MAX_LINE * 2 + 5) + b"\nlast\n"
    assert await text(log.path, tail=0) == b""
    assert (await text(log.path, tail=99)).startswith(b"first\n")


async def test_lines_are_stamped_and_cut_by_age_and_length(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"now\n")
    stamp, _, line = (await text(log.path, timestamps=True)).partition(b" ")
    assert (stamp[10:11], stamp[-1:], line) == (b"T", b"Z", b"now\n")
    assert await text(log.path, since=datetime.now(UTC) + timedelta(seconds=5)) == b""
    assert await text(log.path, since=datetime.now(UTC) - timedelta(seconds=5)) == b"now\n"
    assert await text(log.path, limit_bytes=2) == b"no"


async def test_a_follower_sees_every_line_once_and_ends_with_the_container(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"0\n")
    follower = asyncio.create_task(text(log.path, log, follow=True))
    for number in range(1, 50):
        await asyncio.sleep(0)
        log.write("stdout", b"%d\n" % number)
    log.write("stdout", b"the end")
    log.close()
    async with asyncio.timeout(5):
        assert await follower == b"".join(b"%d\n" % number for number in range(50)) + b"the end"


async def test_the_log_is_bounded_and_a_follower_crosses_the_turn(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", max_bytes=2000)
    log.write("stdout", b"first\n")
    follower = asyncio.create_task(text(log.path, log, follow=True))
    await asyncio.sleep(0)
    lines = [b"%04d%s\n" % (number, b"." * 46) for number in range(60)]
    for line in lines:
        log.write("stdout", line)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    log.close()
    async with asyncio.timeout(5):
        assert await follower == b"first\n" + b"".join(lines)
    assert log.path.stat().st_size + rotated(log.path).stat().st_size <= 4000
    assert (await text(log.path)).endswith(lines[-1])


async def test_a_log_of_a_container_that_never_ran_is_empty(tmp_path: Path) -> None:
    assert await text(tmp_path / "none.log") == b""
