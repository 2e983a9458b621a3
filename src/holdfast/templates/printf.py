"""`printf` with Go's verbs. A value that does not fit its verb shows as `%!d(string=x)`, as it does there: it never raises."""

import json
import re
from collections.abc import Sequence
from typing import Final, cast

from holdfast.templates.errors import TemplateError
from holdfast.templates.values import float_text, is_list, kind_of, text_of

_VERB: Final = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?(.)", re.DOTALL)
_HAS_POINT: Final = re.compile(r"%[-+# 0]*(?:\*|\d+)?\.")
_WIDEST: Final = 10_000


def printf(pattern: str, *values: object) -> str:
    """Format values by a pattern of Go's fmt package. Raises TemplateError for an absurd width."""
    left = list(values)
    parts: list[str] = []
    at = 0
    for match in _VERB.finditer(pattern):
        parts.append(pattern[at : match.start()])
        at = match.end()
        parts.append(_directive(match, left))
    rest = pattern[at:]
    parts.append(rest.replace("%", "%!(NOVERB)") if rest.endswith("%") else rest)
    if left:
        extra = ", ".join(f"{kind_of(value)}={text_of(value)}" for value in left)
        parts.append(f"%!(EXTRA {extra})")
    return "".join(parts)


def quoted(text: str) -> str:
    """Return a text in double quotes with escapes, as `%q` does."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")


def _directive(match: re.Match[str], left: list[object]) -> str:
    flags, width, precision, verb = match.groups()
    if verb == "%":
        return "%"
    wide = _number(width, left)
    exact = _number(precision, left) if precision else 0 if _HAS_POINT.match(match.group()) else None
    if not left:
        return f"%!{verb}(MISSING)"
    text = _value(verb, flags, exact, left.pop(0))
    if wide is None:
        return text
    if wide < 0 or "-" in flags:
        return text.ljust(abs(wide))
    if "0" in flags and verb in "dfeEgGxXob":
        sign = text[:1] if text[:1] in "+-" else ""
        return sign + text[len(sign) :].rjust(wide - len(sign), "0")
    return text.rjust(wide)


def _number(text: str | None, left: list[object]) -> int | None:
    if text is None:
        return None
    number = left.pop(0) if text == "*" and left else text
    if isinstance(number, str) and number.isdigit():
        number = int(number)
    if not isinstance(number, int) or abs(number) > _WIDEST:
        raise TemplateError(f"printf: {number!r} can't be a width (at most {_WIDEST})")
    return number


def _value(verb: str, flags: str, exact: int | None, value: object) -> str:
    if is_list(value) and verb not in "vT":
        items = cast(Sequence[object], value)
        return f"[{' '.join(_value(verb, flags, exact, item) for item in items)}]"
    kind = kind_of(value)
    if verb == "v" and not (kind == "float64" and exact is not None):
        return ("+" if "+" in flags and kind in ("int", "float64") and cast(float, value) >= 0 else "") + text_of(value)
    if verb == "T":
        return "<nil>" if value is None else {"map": "map[string]interface {}", "slice": "[]interface {}"}.get(kind, kind)
    if verb == "t" and kind == "bool":
        return text_of(value)
    if kind == "string":
        return _text(verb, exact, cast(str, value))
    if kind == "int":
        return _integer(verb, flags, exact, cast(int, value))
    if kind == "float64":
        return _float(verb, flags, exact, cast(float, value))
    return _unfit(verb, value)


def _text(verb: str, exact: int | None, value: str) -> str:
    cut = value if exact is None else value[:exact]
    if verb == "s":
        return cut
    if verb == "q":
        return quoted(cut)
    if verb in "xX":
        text = cut.encode().hex()
        return text.upper() if verb == "X" else text
    return _unfit(verb, value)


def _integer(verb: str, flags: str, exact: int | None, value: int) -> str:
    if verb in "cqU":
        if not 0 <= value <= 0x10FFFF:
            return "\ufffd"
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    if verb not in "dboxX":
        return _unfit(verb, value)
    digits = format(abs(value), verb)
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
    return _sign(flags, value < 0) + prefix + digits.rjust(exact or 0, "0")


def _float(verb: str, flags: str, exact: int | None, value: float) -> str:
    if verb in "gGv" and exact is None:
        text = float_text(abs(value))
    elif verb in "feEgGv":
        text = format(abs(value), f".{6 if exact is None else exact}{'g' if verb == 'v' else verb}")
    else:
        return _unfit(verb, value)
    return _sign(flags, value < 0) + text


def _sign(flags: str, negative: bool) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _unfit(verb: str, value: object) -> str:
    return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({kind_of(value)}={text_of(value)})"
