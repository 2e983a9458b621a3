"""Names, times and patterns: the small languages of the format."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from holdfast.repo.errors import BadRequest
from holdfast.repo.names import json_name, json_text, unquote_name
from holdfast.repo.patterns import Patterns
from holdfast.repo.selection import Selection, Selector
from holdfast.repo.times import format_ns, format_time, parse_ns, parse_time

file_names = some.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 0x2F})


@given(file_names)
def test_any_file_name_comes_back_from_its_quoted_form(name: bytes) -> None:
    quoted = json.loads(f'"{json_name(os.fsdecode(name))}"')

    assert os.fsencode(unquote_name(quoted)) == name


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (b"plain-name_1.txt", "plain-name_1.txt"),
        (b"q\"uo'te", "q\\\\\\\"uo'te"),
        (b"back\\slash", "back\\\\\\\\slash"),
        (b"<&>", "\\u003c\\u0026\\u003e"),
        (b"new\nline\x7f\x01", "new\\\\nline\\\\x7f\\\\x01"),
        (b"bad\xff", "bad\\\\xff"),
        ("nbsp\u00a0".encode(), "nbsp\\\\u00a0"),
        ("\U0001f600\u00e9".encode(), "\U0001f600\u00e9"),
        ("\U000e0001".encode(), "\\\\U000e0001"),
    ],
)
def test_names_are_written_as_the_stock_program_writes_them(name: bytes, written: str) -> None:
    assert json_name(os.fsdecode(name)) == written


def test_link_targets_are_plain_json_with_a_mark_for_what_is_no_text() -> None:
    assert json_text(os.fsdecode(b"a\nb\x01\b\f\x7f<\xe2\x80\xa8\xff")) == "a\\nb\\u0001\\b\\f\x7f\\u003c\\u2028\\ufffd"


def test_times_are_written_without_trailing_zeros() -> None:
    assert format_ns(1_577_836_800_100_000_000) == "2020-01-01T00:00:00.1Z"
    assert format_ns(0) == "1970-01-01T00:00:00Z"
    assert format_ns(-1) == "1969-12-31T23:59:59.999999999Z"


def test_times_in_other_zones_are_understood() -> None:
    assert parse_time("2026-07-01T02:00:00.5+02:00") == datetime(2026, 7, 1, 0, 0, 0, 500000, UTC)
    assert parse_ns("1969-12-31T23:00:00-01:00") == 0
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_ns("yesterday")


def test_moments_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 20, 13, 43, 24, 1000, UTC)

    assert format_time(moment) == "2026-11-20T13:43:24.001Z"
    assert parse_time(format_time(moment)) - moment == timedelta()


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.log", "/var/app/x.log", True),
        ("*.log", "/var/app/x.log.gz", False),
        ("/var", "/var", True),
        ("/var", "/srv/var", False),
        ("cache/*", "/home/a/cache/b", True),
        ("cache/*", "/home/a/cache/b/c", False),
        ("/home/**/tmp", "/home/a/b/tmp", True),
        ("/home/**/tmp", "/home/tmp", True),
        ("file[0-3]", "/file2", True),
        ("file[^0-3]", "/file2", False),
        ("file[^0-3]", "/filex", True),
        ("[!a]", "/!", True),
        ("[!a]", "/b", False),
        ("[\\]]", "/]", True),
        ("[z-a]", "/m", False),
        ("./data/../tmp", "/srv/tmp", True),
        ("a?c", "/abc", True),
        ("a?c", "/a/c", False),
        ("]", "/]", True),
        ("\\!a", "/!a", True),
        ("\\*", "/*", True),
        ("\\*", "/a", False),
        ("a.b", "/axb", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert Patterns([pattern]).match(path) is matches


@pytest.mark.parametrize("pattern", ["[", "[]]", "[^]]", "[a-]", "[-a]", "a/[b/c]", "a\\", "![a"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(BadRequest, match="can't be read"):
        Patterns([pattern])


def test_the_last_pattern_that_matches_a_path_or_a_folder_above_decides() -> None:
    patterns = Patterns(["/data/*", "!/data/keep", "/data/keep/*.tmp"])

    left_out = {path: patterns.match(path) for path in ("/data/a", "/data/keep", "/data/keep/b", "/data/keep/b.tmp", "/srv")}

    assert left_out == {"/data/a": True, "/data/keep": False, "/data/keep/b": False, "/data/keep/b.tmp": True, "/srv": False}


def test_the_case_ignoring_patterns_decide_by_themselves() -> None:
    patterns = Patterns(["*.TXT"], ["!a.txt", "*.md", "!READ*"])

    assert [patterns.match(path) for path in ("/a.TXT", "/a.txt", "/b.MD", "/readme.md")] == [True, False, True, False]


def test_what_chooses_cannot_take_back() -> None:
    with pytest.raises(BadRequest, match="takes back"):
        Selector(Selection(include=["*.txt", "!b.txt"]))


def test_a_folder_is_entered_only_if_something_below_could_match() -> None:
    anchored = Patterns(["/data/keep/*.txt"])

    assert anchored.match_below("/data")
    assert not anchored.match_below("/other")
    assert Patterns(["*.txt"]).match_below("/other")
    assert Patterns(["", "/"]).empty
