"""From the text of a template to tokens: literal text, and what stands between `{{` and `}}`.

The syntax is that of Go's text/template as its documentation describes it: trim markers `{{-` and `-}}` take the white space
beside them away, comments are `{{/* ... */}}`, and a field that touches what stands before it belongs to it (`$x.name`).
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from holdfast.templates.errors import TemplateError

_SPACE: Final = " \t\r\n"

_PARTS: Final = re.compile(
    r"""
      (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<raw>`[^`]*`)
    | (?P<char>'(?:[^'\\\n]|\\.)+')
    | (?P<number>[+-]?(?:
          0[xX][0-9a-fA-F_]+ | 0[bB][01_]+ | 0[oO][0-7_]+
        | (?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?
      ))
    | (?P<variable>\$\w*)
    | (?P<field>\.[^\W\d]\w*)
    | (?P<dot>\.)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>:=|[=|(),])
    """,
    re.VERBOSE,
)

_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))")


class Token(msgspec.Struct, frozen=True):
    """One token. `kind`: text, open, close, or a group of the pattern above. `joined`: it touches the one before it."""

    kind: str
    text: str
    line: int
    joined: bool = False


def tokens_of(source: str, name: str) -> Iterator[Token]:
    """Yield the tokens of a template. Raises TemplateError for an action that does not end and for a stray character."""
    at, trim = 0, False
    while at < len(source):
        start = source.find("{{", at)
        text = source[at:] if start < 0 else source[at:start]
        line = source.count("\n", 0, at) + 1
        if trim:
            text = text.lstrip(_SPACE)
        if start < 0:
            if text:
                yield Token("text", text, line)
            return
        inside = start + 2
        if source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in tuple(_SPACE):
            inside += 1
            text = text.rstrip(_SPACE)
        if text:
            yield Token("text", text, line)
        action = _Action(source, name, inside, source.count("\n", 0, start) + 1)
        yield from action.tokens()
        at, trim = action.end, action.trims


class _Action:
    """The inside of one pair of braces."""

    def __init__(self, source: str, name: str, start: int, line: int) -> None:
        self._source, self._name, self._start, self._line = source, name, start, line
        self.end, self.trims = start, False

    def tokens(self) -> Iterator[Token]:
        """Yield what stands inside, between `open` and `close`; nothing for a comment."""
        source, at = self._source, self._start
        first = re.compile(r"\s*").match(source, at)
        if first and source.startswith("/*", first.end()):
            self._comment(first.end())
            return
        yield Token("open", "{{", self._line)
        joined = False
        while True:
            if source.startswith("}}", at) or (source.startswith("-}}", at) and source[at - 1] in _SPACE):
                self.trims = source[at] == "-"
                self.end = at + 2 + self.trims
                yield Token("close", "}}", self._lines_to(at))
                return
            if at >= len(source):
                raise TemplateError("an action that begins with {{ has no }}", name=self._name, line=self._line)
            if source[at] in _SPACE:
                at, joined = at + 1, False
                continue
            part = _PARTS.match(source, at)
            if part is None:
                raise TemplateError(
                    f"unexpected character {source[at]!r} in an action", name=self._name, line=self._lines_to(at)
                )
            yield Token(part.lastgroup or "", part.group(), self._lines_to(at), joined)
            at, joined = part.end(), True

    def _comment(self, at: int) -> None:
        end = self._source.find("*/", at + 2)
        closing = re.compile(r"\*/(\s+-)?\}\}").match(self._source, end) if end >= 0 else None
        if closing is None:
            raise TemplateError("a comment must end with */}}", name=self._name, line=self._line)
        self.end, self.trims = closing.end(), bool(closing.group(1))

    def _lines_to(self, at: int) -> int:
        return self._source.count("\n", 0, at) + 1


def unquoted(token: Token, name: str) -> str | int:
    """Return the value of a string or character token, in Go's spelling."""
    if token.kind == "raw":
        return token.text[1:-1]
    body = token.text[1:-1]

    def plain(match: re.Match[str]) -> str:
        two, four, eight, octal, single = match.groups()
        if octal:
            return chr(int(octal, 8))
        if code := two or four or eight:
            return chr(int(code, 16))
        if single not in _ESCAPES:
            raise TemplateError(f"unknown escape \\{single} in {token.text}", name=name, line=token.line)
        return _ESCAPES[single]

    text = _ESCAPE.sub(plain, body)
    if token.kind == "string":
        return text
    if len(text) != 1:
        raise TemplateError(f"{token.text} must hold one character", name=name, line=token.line)
    return ord(text)
