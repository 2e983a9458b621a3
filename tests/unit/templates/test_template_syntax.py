"""The language itself: what Go's text/template documents, and what a mistake says."""

from typing import Any

import pytest

from holdfast.templates import Strings, Template, TemplateError

DATA: dict[str, Any] = {
    "name": "nightly",
    "count": 3,
    "empty": "",
    "list": ["a", "b", "c"],
    "labels": {"tier": "db", "app": "pg"},
    "deep": {"er": {"est": "bottom"}},
    "parameters": Strings(bucket="b1"),
}


def rendered(text: str, values: Any = DATA) -> str:
    return Template(text, name="t").render(values)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("{{ .name }}", "nightly"),
        ("{{.deep.er.est}}", "bottom"),
        ("{{ $.deep.er.est }}", "bottom"),
        ("a {{- .name -}} b", "anightlyb"),
        ("a {{/* a comment */}} b", "a  b"),
        ("a {{- /* a comment */ -}} b", "ab"),
        ("{{ .nothing }}", "<no value>"),
        ("{{ .count }} {{ 1.5 }} {{ 1000000.0 }} {{ 0x10 }} {{ 017 }} {{ -3 }}", "3 1.5 1e+06 16 15 -3"),
        ("{{ true }} {{ 'a' }} {{ `raw\\n` }} {{ \"x\\ty\\u00e9\" }}", "true 97 raw\\n x\tyé"),
        ("{{ .list }} {{ .labels }}", "[a b c] map[app:pg tier:db]"),
        ("{{ if .empty }}yes{{ else }}no{{ end }}", "no"),
        ("{{ if .empty }}1{{ else if eq .count 3 }}2{{ else }}3{{ end }}", "2"),
        ("{{ with .deep.er }}{{ .est }}{{ else }}none{{ end }}", "bottom"),
        ("{{ with .empty }}{{ . }}{{ else }}none{{ end }}", "none"),
        ("{{ range .list }}<{{ . }}>{{ end }}", "<a><b><c>"),
        ("{{ range $i, $x := .list }}{{ $i }}{{ $x }}{{ end }}", "0a1b2c"),
        ("{{ range $k, $v := .labels }}{{ $k }}={{ $v }};{{ end }}", "app=pg;tier=db;"),
        ('{{ range .empty | splitList "," }}{{ . }}x{{ end }}', "x"),
        ("{{ range .nothing }}x{{ else }}none{{ end }}", "none"),
        ('{{ range .list }}{{ if eq . "b" }}{{ continue }}{{ end }}{{ . }}{{ end }}', "ac"),
        ('{{ range .list }}{{ if eq . "b" }}{{ break }}{{ end }}{{ . }}{{ end }}', "a"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21"),
        ("{{ if $x := .name }}{{ $x }}{{ end }}", "nightly"),
        ("{{ range .list }}{{ $.name }}{{ end }}", "nightlynightlynightly"),
        ('{{ (index .list 1) | printf "%s-%s" "x" }}', "x-b"),
        ('{{ (dict "a" "b").a }}', "b"),
        ('{{ index .parameters "bucket" }}{{ index .parameters "none" }}', "b1"),
        ("{{ .parameters.none }}", ""),
        ('{{ define "one" }}<{{ . }}>{{ end }}{{ template "one" .name }}', "<nightly>"),
        ('{{ define "one" }}<{{ . }}>{{ end }}{{ include "one" .name | upper }}', "<NIGHTLY>"),
        ('{{ block "one" .count }}[{{ . }}]{{ end }}', "[3]"),
        ("{{ and .name .empty }}|{{ or .empty .name }}|{{ not .empty }}", "|nightly|true"),
        ('{{ and .empty (fail "never looked at") }}', ""),
        ('{{ eq .count 1 2 3 }} {{ ne 1 2 }} {{ lt 1 2.5 }} {{ ge "b" "a" }}', "true true true true"),
        ('{{ len .list }} {{ len "é" }} {{ slice .list 1 2 }} {{ slice "abc" 1 }}', "3 2 [b] bc"),
        ('{{ print 1 2 "a" 3 }}', "1 2a3"),
        (
            '{{ printf "%05d|%-4s|%q|%v|%x|%.2f|%t|%%" 42 "ab" "q\\"" .list 255 1.5 true }}',
            '00042|ab  |"q\\""|[a b c]|ff|1.50|true|%',
        ),
        ('{{ printf "%d" "x" }} {{ printf "%s" }} {{ printf "a" 1 }}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"),
        ('{{ html "<a>" }} {{ urlquery "a b" }}', "&lt;a&gt; a+b"),
    ],
)
def test_it_writes_what_go_writes(text: str, result: str) -> None:
    assert rendered(text) == result


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("a\n{{ .name", 2, "has no }}"),
        ("{{ if .name }}x", 1, "{{ end }} is missing"),
        ("{{ end }}", 1, "without a beginning"),
        ("{{ nosuch .name }}", 1, "function 'nosuch' is not known"),
        ("{{ $x }}", 1, "variable $x is not declared"),
        ("{{ $x = 1 }}", 1, "variable $x is not declared"),
        ("{{ .name | 5 }}", 1, "after | a function must stand"),
        ("{{ .name .count }}", 1, "only a function can be given arguments"),
        ('{{ "a\\z" }}', 1, "unknown escape"),
        ("{{ break }}", 1, "outside of a range"),
        ("{{ (.name }}", 1, "parenthesis is not closed"),
        ("{{ ; }}", 1, "unexpected character ';'"),
        ("{{/* open", 1, "must end with */}}"),
        ('{{ define "a" }}{{ end }}{{ define "a" }}{{ end }}', 1, "defined twice"),
        ("\n\n{{ .name.x }}", 3, "a string has no field .x"),
        ("\n{{ .nothing.x }}", 2, "nothing is there to take .x of"),
        ("{{ index .list 7 }}", 1, "position 7 is out of range: there are 3"),
        ("{{ upper 5 }}", 1, "wants a string, not a int"),
        ("{{ upper }}", 1, "upper:"),
        ('{{ lt 1 "a" }}', 1, "have no order"),
        ('{{ template "none" }}', 1, "is not defined"),
        ('{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}', 1, "more than 50 deep"),
        ("{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}", 1, "does not end within"),
        ('{{ range 50 }}{{ repeat 1000000 "x" }}{{ end }}', 1, "writes more than"),
        ('{{ repeat 100000000 "x" }}', 1, "at most"),
        ('{{ env "HOME" }}', 1, "env: is not offered"),
        ("{{ uuidv4 }}", 1, "the text must be the same each time"),
        ('{{ fail "no bucket" }}', 1, "no bucket"),
    ],
)
def test_a_mistake_names_the_template_the_line_and_the_cause(text: str, line: int, cause: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(text)
    assert cause in str(caught.value)
    assert str(caught.value).startswith(f"template t, line {line}: ")


def test_a_strict_rendering_refuses_a_missing_key() -> None:
    with pytest.raises(TemplateError, match="there is no 'bukket'"):
        Template("{{ .bukket }}").render({"bucket": "b"}, strict=True)


def test_a_template_deep_in_itself_is_an_error_and_no_crash() -> None:
    for text in ("{{ if true }}" * 5000 + "{{ end }}" * 5000, "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"):
        with pytest.raises(TemplateError, match="nested"):
            rendered(text)
