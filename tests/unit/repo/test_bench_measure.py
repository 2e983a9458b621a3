"""What the benchmark says of a program is that program's own, not that of the process which started it."""

import os
import sys

import pytest
from benchmarks.repository.measure import run


def test_the_memory_of_the_caller_is_not_counted_as_the_program_s() -> None:
    ballast = bytearray(os.urandom(1) * (96 << 20))

    assert run(["/bin/true"], os.environ).rss < 48
    assert run([sys.executable, "-c", "bytearray(b'x' * (64 << 20))"], os.environ).rss > 64
    assert len(ballast) == 96 << 20


def test_another_program_s_output_is_the_input_and_only_one_of_them_is_accounted() -> None:
    feed = [sys.executable, "-c", "print('x' * (64 << 20))"]

    assert run(["sh", "-c", "test $(wc -c) -gt 67108864"], os.environ, feed=feed).rss < 48


@pytest.mark.parametrize(
    ("argv", "words"), [(["no-such-program"], "No such file"), (["sh", "-c", "echo why >&2; exit 3"], "why")]
)
def test_a_run_that_fails_is_no_figure(argv: list[str], words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        run(argv, os.environ)
