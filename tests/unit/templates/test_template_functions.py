"""The Sprig functions: each with what its documentation says it gives."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from holdfast.templates import Template, TemplateError, format_time

AT = datetime(2026, 3, 4, 5, 6, 7, 89000, UTC)


def rendered(text: str) -> str:
    return Template(f"{{{{ {text} }}}}").render({"at": AT, "none": None, "list": [3, 1, 2], "labels": {"b": 1, "a": {"x": 2}}})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('trim "  a "', "a"),
        ('trimAll "$" "$5$"', "5"),
        ('trimPrefix "-" "-a-"', "a-"),
        ('trimSuffix "-" "-a-"', "-a"),
        ('"a b" | upper', "A B"),
        ('title "hello world"', "Hello World"),
        ('repeat 3 "ab"', "ababab"),
        ('substr 0 5 "hello world"', "hello"),
        ('trunc 5 "hello world"', "hello"),
        ('trunc -5 "hello world"', "world"),
        ('abbrev 5 "hello world"', "he..."),
        ('contains "cat" "catch"', "true"),
        ('hasPrefix "cat" "catch"', "true"),
        ('quote "a" 1', '"a" "1"'),
        ('squote "a"', "'a'"),
        ('cat "a" 1 "b"', "a 1 b"),
        ('indent 2 "a\\nb"', "  a\n  b"),
        ('nindent 1 "a"', "\n a"),
        ('replace " " "-" "a b c"', "a-b-c"),
        ('plural "one" "many" 2', "many"),
        ('snakecase "FirstName"', "first_name"),
        ('camelcase "http_server"', "HttpServer"),
        ('kebabcase "FirstName"', "first-name"),
        ('join "_" (list 1 2)', "1_2"),
        ('splitList "$" "a$b"', "[a b]"),
        ('(split "$" "a$b")._1', "b"),
        ('regexMatch "^[a-z]+$" "abc"', "true"),
        ('regexFind "[0-9]+" "a12b"', "12"),
        ('regexFindAll "[0-9]" "1a2b3" 2', "[1 2]"),
        ('regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W"', "-W-xxW-"),
        ('regexReplaceAllLiteral "a" "aa" "$1"', "$1$1"),
        ('regexSplit "z+" "pizza" -1', "[pi a]"),
        ('default "x" ""', "x"),
        ('default "x" "y"', "y"),
        ("empty 0", "true"),
        ('coalesce 0 "" "a"', "a"),
        ('ternary "y" "n" true', "y"),
        ('all 1 "" ', "false"),
        ("any 0 1", "true"),
        ("first .list", "3"),
        ("rest .list", "[1 2]"),
        ("last .list", "2"),
        ("initial .list", "[3 1]"),
        ("append .list 4", "[3 1 2 4]"),
        ("prepend .list 4", "[4 3 1 2]"),
        ("concat .list (list 9)", "[3 1 2 9]"),
        ("reverse .list", "[2 1 3]"),
        ("uniq (list 1 1 2)", "[1 2]"),
        ("without .list 1", "[3 2]"),
        ("has 3 .list", "true"),
        ('compact (list 0 1 "")', "[1]"),
        ('sortAlpha (list "b" "a")', "[a b]"),
        ("until 3", "[0 1 2]"),
        ("untilStep 3 6 2", "[3 5]"),
        ("seq 3", "1 2 3"),
        ("seq 5 2 9", "5 7 9"),
        ("chunk 2 .list", "[[3 1] [2]]"),
        ('dict "a" 1 "b"', "map[a:1 b:]"),
        ('get .labels "b"', "1"),
        ('hasKey .labels "z"', "false"),
        ("keys .labels | sortAlpha", "[a b]"),
        ('pick .labels "b"', "map[b:1]"),
        ('omit .labels "b"', "map[a:map[x:2]]"),
        ('pluck "b" .labels', "[1]"),
        ('merge (dict "a" 1) (dict "a" 2 "b" 3)', "map[a:1 b:3]"),
        ('mergeOverwrite (dict "a" 1) (dict "a" 2)', "map[a:2]"),
        ('dig "a" "x" 9 .labels', "2"),
        ('dig "a" "y" 9 .labels', "9"),
        ('set (dict) "a" 1', "map[a:1]"),
        ('unset (dict "a" 1) "a"', "map[]"),
        ("add 1 2 3", "6"),
        ("sub 5 2", "3"),
        ("div -7 2", "-3"),
        ("mod 7 3", "1"),
        ("mul 2 3 4", "24"),
        ("max 1 5 3", "5"),
        ("floor 1.9", "1"),
        ("ceil 1.1", "2"),
        ("round 123.5555 3", "123.556"),
        ('int "12"', "12"),
        ("int64 3.9", "3"),
        ('add1 "4"', "5"),
        ('b64enc "hi"', "aGk="),
        ('b64dec "aGk="', "hi"),
        ('b32enc "hi"', "NBUQ===="),
        ("toJson .labels", '{"a":{"x":2},"b":1}'),
        ('toJson "<a>"', '"\\u003ca\\u003e"'),
        ('toRawJson "<a>"', '"<a>"'),
        ('(fromJson "{\\"a\\":[1,2.0]}").a', "[1 2]"),
        ('toYaml (dict "a" (list 1 "b"))', "a:\n- 1\n- b"),
        ('sha256sum "a"', "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ('adler32sum "a"', "6422626"),
        ('date "2006-01-02T15:04:05Z07:00" .at', "2026-03-04T05:06:07Z"),
        ('dateInZone "Jan _2 3:04PM" .at "America/New_York"', "Mar  4 12:06AM"),
        ('date "15:04" (dateModify "-1h30m" .at)', "03:36"),
        ("unixEpoch .at", "1772600767"),
        ("duration 3725", "1h2m5s"),
        ("kindOf .list", "slice"),
        ('kindIs "map" .labels', "true"),
        ('base "/a/b.c"', "b.c"),
        ('dir "/a/b.c"', "/a"),
        ('ext "/a/b.c"', ".c"),
        ('clean "/a//b/../c"', "/a/c"),
        ('required "needed" "v"', "v"),
        ("toString 5 | len", "1"),
    ],
)
def test_a_function_gives_what_its_page_says(text: str, result: str) -> None:
    assert rendered(text) == result


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('regexMatch "(a+)+$" "aaaa"', "could take for ever"),
        ('regexMatch "(?=a)" "a"', "RE2 does not have"),
        ('regexMatch "(" "a"', "is not a regular expression"),
        ("div 1 0", "division by zero"),
        ('b64dec "###"', "not base64"),
        ("until 99999999", "at most"),
        ('required "a bucket is needed" ""', "a bucket is needed"),
        ('dateInZone "2006" .at "Mars/North"', "is not known"),
        ("first 5", "wants a list, not a int"),
        ('getHostByName "x"', "may not ask the network"),
    ],
)
def test_what_can_not_be_done_says_why(text: str, cause: str) -> None:
    with pytest.raises(TemplateError, match=cause):
        rendered(text)


@pytest.mark.parametrize(
    ("layout", "result"),
    [
        ("2006-01-02 15:04:05.000", "2026-03-04 05:06:07.089"),
        ("2006-01-02T15:04:05.999999999Z07:00", "2026-03-04T05:06:07.089+05:30"),
        ("20060102150405", "20260304050607"),
        ("Mon, 02 Jan 2006 15:04:05 -0700", "Wed, 04 Mar 2026 05:06:07 +0530"),
        ("Monday January 2 3:04pm", "Wednesday March 4 5:06am"),
        ("002 06", "063 26"),
    ],
)
def test_a_time_is_written_in_a_go_layout(layout: str, result: str) -> None:
    assert format_time(AT.replace(tzinfo=timezone(timedelta(hours=5, minutes=30))), layout) == result
