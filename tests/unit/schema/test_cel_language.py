"""The language: what expressions give, and which are refused before they run. Facts of the published definition of CEL."""

import re
from typing import Any

import pytest

from holdfast.schema.cel.compile import compile_expression
from holdfast.schema.cel.errors import BudgetExceeded, CompileError, EvaluationError
from holdfast.schema.cel.types import DYN, INT, STRING, Type, list_of, map_of, type_of

LIST = list_of(INT)
VARIABLES = {"x": INT, "s": STRING, "l": LIST, "m": map_of(STRING, INT), "d": DYN}
VALUES: dict[str, Any] = {"x": 5, "s": "héllo", "l": [3, 1, 2], "m": {"a": 1, "b": 2}, "d": {"deep": [1, "two", 3.5]}}


def value(text: str, **more: Any) -> Any:
    return compile_expression(text, VARIABLES).evaluate({**VALUES, **more})


TRUE = """
1 + 2 * 3 == 7
(1 + 2) * 3 == 9
-7 / 2 == -3 && -7 % 2 == -1
7 / -2 == -3
2.5 * 2.0 == 5.0
1u + 2u == 3u
0x1F == 31
1e3 == 1000.0
.5 < 1.0
1 < 2u && 2 > 1.5
"a" + 'b' == "ab"
r'\\d' == '\\\\d'
"\\u00e9" == s.charAt(1)
'''line''' == "line"
b"abc" == bytes("abc")
"\\x41\\101" == "AA"
s.size() == 5 && size(s) == 5
s.startsWith("hé") && s.endsWith("o") && s.contains("ll")
s.matches("^h.l+o$")
x in [1, 5] && !(x in [])
"a" in m && m["a"] == 1 && m.b == 2
l[0] == 3 && l.size() == 3
[1, 2] + [3] == [1, 2, 3]
{"a": 1, 'b': [2]} == {"b": [2], "a": 1}
[1, 2].map(i, i * 2) == [2, 4]
[1, 2, 3].filter(i, i > 1) == [2, 3]
l.map(i, i > 1, i + 1) == [4, 3]
l.all(i, i > 0) && l.exists(i, i == 2) && l.exists_one(i, i == 3)
m.all(k, m[k] > 0) && m.exists(k, k == 'b')
l.all(i, v, v <= 3 && i < 3)
m.transformMap(k, v, v + 1) == {"a": 2, "b": 3}
l.transformList(i, v, i * v) == [0, 1, 4]
[[1], [2, 3]].exists(a, a.exists(b, b == 3))
true || 1 / 0 == 1
1 / 0 == 1 || true
!(false && 1 / 0 == 1) && !(1 / 0 == 1 && false)
[0, 1].exists(i, 1 / i == 1)
!([1, 0].all(i, 1 / i == 2))
x > 3 ? true : false
has(d.deep) && !has(d.other)
d.deep[1] == "two" && d.deep[2] == 3.5 && d.deep[0] == 1
dyn(1) == dyn(1.0) && dyn(1) != dyn(true) && dyn("1") != dyn(1)
int("12") == 12 && int(3.9) == 3 && string(12) == "12" && double("1.5") == 1.5 && string(2.0) == "2"
bool("true") && string(false) == "false"
type(1) == int && type("") == string && type([]) == list && type({}) == map && type(null) == null_type
timestamp("2026-01-31T12:30:05.5Z").getMinutes() == 30
timestamp("2026-01-31T23:30:00Z").getDate("+01:00") == 1 && timestamp("2026-01-31T23:30:00Z").getMonth("Europe/Berlin") == 1
timestamp("2026-01-02T00:00:00Z") - timestamp("2026-01-01T00:00:00Z") == duration("24h")
duration("1h30m") > duration("89m59s") && duration("90m").getHours() == 1 && string(duration("1.5s")) == "1.5s"
timestamp(string(timestamp("2026-01-31T12:30:05.25Z"))).getMilliseconds() == 250
optional.of(1).hasValue() && !optional.none().hasValue() && optional.of(2).or(optional.of(3)).value() == 2
optional.ofNonZeroValue("").orValue("x") == "x"
d.?other.orValue(7) == 7 && d.?deep[?9].orValue("none") == "none"
m[?"a"].optMap(v, v + 1).value() == 2 && !m[?"z"].optFlatMap(v, optional.of(v)).hasValue()
[?m[?"a"], ?m[?"z"]] == [1] && {?"k": m[?"z"]} == {}
// a comment is no part of it
1 == 1 // nor at the end
"""


@pytest.mark.parametrize("text", [line for line in TRUE.strip().splitlines() if not line.startswith("//")])
def test_it_is_true(text: str) -> None:
    assert value(text) is True


KUBERNETES = """
[1, 2, 2].isSorted() && ![2, 1].isSorted() && ['a', 'b'].isSorted()
l.sum() == 6 && [1.5, 2.5].sum() == 4.0 && l.min() == 1 && l.max() == 3
[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && l.indexOf(9) == -1
"abc 123 x4".find("[0-9]+") == "123" && "a1 b2".findAll("[0-9]") == ["1", "2"] && "a1 b2".findAll("[0-9]", 1) == ["1"]
isURL("https://u:p@h.example:8443/p/a?q=1") && !isURL("no url")
url("https://h.example:8443/p/a?q=1&q=2").getHost() == "h.example:8443"
url("https://h.example:8443/p/a?q=1&q=2").getQuery() == {"q": ["1", "2"]}
url("https://[::1]:80/").getHostname() == "::1" && url("/only/path").getEscapedPath() == "/only/path"
isQuantity("1.5Gi") && !isQuantity("1.5gib") && quantity("1Gi").asInteger() == 1073741824
quantity("500m").isLessThan(quantity("1")) && quantity("2").compareTo(quantity("2000m")) == 0 && quantity("-1").sign() == -1
quantity("1k").add(1).asInteger() == 1001 && quantity("1k").sub(quantity("1")).asApproximateFloat() == 999.0
isIP("::1") && !isIP("1.2.3") && ip("127.0.0.1").isLoopback()
ip("fe80::1").isLinkLocalUnicast() && ip("10.0.0.1").family() == 4
isCIDR("10.0.0.0/8") && cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !cidr("10.0.0.0/8").containsIP("11.0.0.1")
cidr("192.168.0.0/24").prefixLength() == 24 && ip.isCanonical("::1") && !ip.isCanonical("::0:1")
!format.dns1123Label().validate("good-name").hasValue() && format.dns1123Label().validate("Bad_Name").hasValue()
format.named("dns1123Subdomain").value().validate("..").value().size() == 1 && !format.named("unknown").hasValue()
"Hello".lowerAscii() == "hello" && "a,b,c".split(",") == ["a", "b", "c"] && ["a", "b"].join("-") == "a-b"
"tacocat".charAt(3) == "o" && "hello".substring(1, 3) == "el" && " x ".trim() == "x" && "aXbX".replace("X", "-", 1) == "a-bX"
"hello".indexOf("l") == 2 && "hello".lastIndexOf("l") == 3 && "abc".split("", 2) == ["a", "bc"]
"%s has %d of %.2f, %x and %s".format(["it", 3, 1.005, 255, [1, "a"]]) == "it has 3 of 1.00, ff and [1, a]"
sets.contains([1, 2, 3], [1, 3]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])
semver("1.2.3").isLessThan(semver("1.10.0")) && semver("1.0.0-rc.1").isLessThan(semver("1.0.0")) && semver("2.3.4").minor() == 3
"""


@pytest.mark.parametrize("text", KUBERNETES.strip().splitlines())
def test_what_kubernetes_adds_is_true(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nope", "undeclared reference to 'nope'"),
        ("nope(1)", "undeclared reference to 'nope'"),
        ("s.nope()", "undeclared reference to 'nope'"),
        ("x + s", "no matching overload for '_+_' applied to '(int, string)'"),
        ("x == s", "no matching overload"),
        ("s.startsWith(1)", "no matching overload for 'startsWith'"),
        ("x && true", "must be a bool"),
        ("l.all(i, i)", "wants a bool"),
        ("x.all(i, true)", "needs a list or a map"),
        ("l.map(1, 2)", "wants the name of a variable"),
        ("has(x)", "has() wants one field selection"),
        ("x.y", "does not support field selection"),
        ("1 +", "the end"),
        ("(1", "')'"),
        ("'open", "does not belong to the language"),
        ("9223372036854775808 > 1", "64 bits"),
        ("1 ? 2 : 3", "the condition must be a bool"),
        ("true ? 1 : 'a'", "both results must be of one type"),
        ("package == 1", "reserved word"),
        ("'\\q' == ''", "no escape sequence"),
        ("Message{a: 1} == 1", "message literals"),
        ("(" * 200 + "1" + ")" * 200, "nested deeper"),
        ("!" * 200 + "true", "nested deeper"),
    ],
)
def test_it_is_refused_before_it_runs(text: str, words: str) -> None:
    with pytest.raises(CompileError, match=r"column [0-9]+: ") as caught:
        compile_expression(text, VARIABLES)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / (x - 5) == 0", "division by zero"),
        ("l[7] == 1", "out of bounds"),
        ("m['z'] == 1", "no such key: z"),
        ("d.deep.no == 1", "no such overload"),
        ("d.deep[1] + 1 == 2", "no such overload"),
        ("9223372036854775807 + x > 0", "overflow"),
        ("int('ten') == 10", "no integer"),
        ("s.matches('(')", "regular expression"),
        ("timestamp('yesterday') == timestamp('today')", "not a time"),
        ("quantity('many').sign() == 0", "no quantity"),
        ("optional.none().value() == 1", "no value"),
        ("[].max() == 1", "empty list"),
        ("timestamp('2026-01-01T00:00:00Z').getHours('Mars/Olympus') == 1", "time zone"),
    ],
)
def test_it_has_no_value_for_this_input(text: str, words: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(words)):
        value(text)


def test_work_is_bounded_and_nothing_absorbs_that() -> None:
    numbers = list(range(2000))
    with pytest.raises(BudgetExceeded, match="steps"):
        value("l.all(a, l.all(b, a + b >= 0)) || true", l=numbers)


def test_names_of_fields_are_escaped_and_what_has_no_type_is_out_of_reach() -> None:
    kind = type_of(
        {
            "type": "object",
            "properties": {
                "a-b": {"type": "integer"},
                "c.d/e": {"type": "integer"},
                "x__y": {"type": "integer"},
                "namespace": {"type": "string"},
                "$bad": {"type": "integer"},
                "open": {"x-kubernetes-preserve-unknown-fields": True},
            },
        }
    )
    assert isinstance(kind, Type)
    held = {"a-b": 1, "c.d/e": 2, "x__y": 3, "namespace": "n"}
    text = "self.a__dash__b + self.c__dot__d__slash__e + self.x__underscores__y == 6 && self.__namespace__ == 'n'"
    assert compile_expression(text, {"self": kind}).evaluate({"self": held}) is True
    with pytest.raises(CompileError, match="undefined field 'open'"):
        compile_expression("has(self.open)", {"self": kind})
