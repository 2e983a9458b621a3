"""Regular expressions. Only what can be matched in reasonable time is taken: no repetition of a repetition, no look-around.

Templates are written for RE2, which has neither back-references nor look-around; Python's engine has, and may run for ever
on some patterns, so those are refused by shape.
"""

import re
from collections.abc import Callable, Mapping
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from typing import Any, Final, cast

from holdfast.templates.errors import TemplateError
from holdfast.templates.sprig.arguments import bounded, text

_LONGEST_INPUT: Final = 1 << 16
_MANY: Final = 50
_GROUP: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+)|(\$))")
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_FOREIGN: Final = ("ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "ATOMIC_GROUP", "POSSESSIVE_REPEAT")


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern ready to match. Raises TemplateError for a bad one and for one that could take for ever."""
    try:
        tree = parser.parse(text(pattern).replace(r"\z", r"\Z"), re.ASCII)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        _judge(cast(Any, tree), pattern, repeated=False)
        return re.compile(pattern.replace(r"\z", r"\Z"), re.ASCII)
    except re.error as error:
        raise TemplateError(f"{pattern!r} is not a regular expression: {error}") from error


def _judge(tree: Any, pattern: str, *, repeated: bool) -> None:
    for operation, argument in tree:
        name = str(operation)
        if name in _FOREIGN:
            raise TemplateError(f"{pattern!r} uses back-references or look-around, which RE2 does not have")
        if name in _REPEATS:
            many = argument[1] > _MANY
            if many and repeated:
                raise TemplateError(f"{pattern!r} repeats a repetition: matching could take for ever")
            _judge(argument[2], pattern, repeated=repeated or many)
        elif name == "SUBPATTERN":
            _judge(argument[3], pattern, repeated=repeated)
        elif name == "BRANCH":
            for branch in argument[1]:
                _judge(branch, pattern, repeated=repeated)


def _input(value: str) -> str:
    if len(text(value)) > _LONGEST_INPUT:
        raise TemplateError(f"the text has {len(value)} characters (at most {_LONGEST_INPUT})")
    return value


def _match(pattern: str, value: str) -> bool:
    return compiled(pattern).search(_input(value)) is not None


def _find(pattern: str, value: str) -> str:
    found = compiled(pattern).search(_input(value))
    return found.group() if found else ""


def _find_all(pattern: str, value: str, count: int) -> list[str]:
    found = [match.group() for match in compiled(pattern).finditer(_input(value))]
    return found if count < 0 else found[:count]


def _replace_all(pattern: str, value: str, replacement: str) -> str:
    def filled(match: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            if reference.group(3):
                return "$"
            name = reference.group(1) or reference.group(2)
            try:
                return match.group(int(name) if name.isdigit() else name) or ""
            except IndexError:
                return ""

        return _GROUP.sub(group, text(replacement))

    return _whole(compiled(pattern).sub(filled, _input(value)))


def _replace_literal(pattern: str, value: str, replacement: str) -> str:
    return _whole(compiled(pattern).sub(lambda _: text(replacement), _input(value)))


def _whole(value: str) -> str:
    bounded(len(value))
    return value


def _split(pattern: str, value: str, count: int) -> list[str]:
    if count == 0:
        return []
    parts: list[str] = []
    at, value = 0, _input(value)
    for match in compiled(pattern).finditer(value):
        if len(parts) + 1 == count:
            break
        if match.end() == 0:
            continue
        parts.append(value[at : match.start()])
        at = match.end()
    return [*parts, value[at:]]


PATTERNS: Final[Mapping[str, Callable[..., Any]]] = {
    "regexMatch": _match,
    "mustRegexMatch": _match,
    "regexFind": _find,
    "mustRegexFind": _find,
    "regexFindAll": _find_all,
    "regexReplaceAll": _replace_all,
    "mustRegexReplaceAll": _replace_all,
    "regexReplaceAllLiteral": _replace_literal,
    "regexSplit": _split,
    "regexQuoteMeta": re.escape,
}
