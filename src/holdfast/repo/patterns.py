"""Patterns for paths: what a backup leaves out, what a restore takes.

A pattern is matched component by component: `*`, `?` and `[...]` stay within one component, `**` spans any number. Within
brackets stand letters and ranges, `^` in front turns them round; `\\` takes the sign after it as it is. A pattern that begins
with `/` is anchored at the root, any other may match at any depth. One that matches a folder takes all below. One that begins
with `!` takes back what those before it matched, so the last pattern that matches a path or a folder above it decides.
Patterns compare letters exactly, or, in the second list, without regard to case; each list decides by itself, either suffices.
These are the rules of restic's excludes, which the tests hold them against.
"""

import posixpath
import re
from collections.abc import Iterable

import msgspec

from holdfast.repo.errors import BadRequest


class _Pattern(msgspec.Struct, frozen=True):
    """A pattern taken apart. Empty components there are none of; `flag` is of `re`."""

    parts: tuple[str, ...]
    anchored: bool
    back: bool
    flag: int

    @property
    def regex(self) -> str:
        out = "" if self.anchored else "(?:/[^/]+)*"
        for part in self.parts:
            out += "(?:/[^/]+)*" if part == "**" else "/" + _component(part)
        return f"(?{'i' if self.flag else ''}:{out})"


class Patterns:
    """A compiled set of patterns. Those that name nothing, such as `/`, are ignored; paths are absolute, with `/`.

    Raises BadRequest for a pattern that can't be read.
    """

    def __init__(self, patterns: Iterable[str], ignoring_case: Iterable[str] = ()) -> None:
        lists = [_read(patterns, 0), _read(ignoring_case, re.IGNORECASE)]
        self.takes_back = any(pattern.back for each in lists for pattern in each)
        """Whether a pattern begins with `!`."""
        plain = [pattern for each in lists for pattern in each if not any(other.back for other in each)]
        self._regex = re.compile("|".join(pattern.regex for pattern in plain) or r"(?!)", re.DOTALL)
        self._ordered = [
            [(re.compile(pattern.regex + "(?:/.*)?", re.DOTALL), pattern.back) for pattern in reversed(each)]
            for each in lists
            if any(pattern.back for pattern in each)
        ]
        every = [pattern for each in lists for pattern in each]
        anchored = [pattern for pattern in every if pattern.anchored and "**" not in pattern.parts]
        self._prefixes = [[re.compile(_component(part), re.DOTALL | found.flag) for part in found.parts] for found in anchored]
        self._floating = len(anchored) < len(every)
        self.empty = not every

    def match(self, path: str) -> bool:
        """Whether the path itself is matched. One of its parents may be, which is for the caller to have asked before."""
        if self._regex.fullmatch(path) is not None:
            return True
        return any(_last_decides(each, path) for each in self._ordered)

    def match_with_parents(self, path: str) -> bool:
        """Whether the path is matched, by itself or with a folder above it."""
        if any(_last_decides(each, path) for each in self._ordered):
            return True
        return any(self._regex.fullmatch(path[:end]) for end in range(1, len(path) + 1) if path[end : end + 1] in ("", "/"))

    def match_below(self, path: str) -> bool:
        """Whether something below the folder `path` could match, so that it has to be entered."""
        if self._floating:
            return True
        parts = [part for part in path.split("/") if part]
        return any(
            len(prefix) > len(parts) and all(r.fullmatch(p) for r, p in zip(prefix, parts, strict=False))
            for prefix in self._prefixes
        )


def refuse_taking_back(patterns: Patterns) -> None:
    """Raise BadRequest for a pattern with `!` where patterns choose: there nothing is matched that it could take back."""
    if patterns.takes_back:
        raise BadRequest("a pattern that begins with ! takes back an exclude, and chooses nothing: for a name, write \\!")


def _last_decides(newest_first: list[tuple[re.Pattern[str], bool]], path: str) -> bool:
    return next((not back for regex, back in newest_first if regex.fullmatch(path)), False)


def _read(patterns: Iterable[str], flag: int) -> list[_Pattern]:
    found: list[_Pattern] = []
    for text in patterns:
        back = text.startswith("!")
        bare = text[1:] if back else text
        parts = tuple(part for part in posixpath.normpath(bare).split("/") if part) if bare else ()
        if not parts:
            continue
        pattern = _Pattern(parts, bare.startswith("/"), back, flag)
        try:
            re.compile(pattern.regex)
        except ValueError as error:
            raise BadRequest(f"the pattern {text!r} can't be read: {error}") from None
        found.append(pattern)
    return found


_LETTER = r"(?:\\.|[^\\\]-])"
_RANGE = re.compile(rf"({_LETTER})(?:-({_LETTER}))?", re.DOTALL)
_TOKEN = re.compile(rf"(\*+)|(\?)|\[(\^?+)((?:{_LETTER}(?:-{_LETTER})?)+)\]|(\\.|[^\\\[])", re.DOTALL)


def _component(part: str) -> str:
    """The regular expression of a component. Raises ValueError."""
    out, place = "", 0
    while place < len(part):
        token = _TOKEN.match(part, place)
        if token is None:
            raise ValueError(f"{part[place:]!r} is no list of characters in brackets; \\ before a sign takes it as it is")
        stars, one, turned, ranges, letter = token.groups()
        if stars:
            out += "[^/]*"
        elif one:
            out += "[^/]"
        elif letter:
            out += re.escape(letter[-1])
        else:
            out += _brackets(ranges, turned=bool(turned))
        place = token.end()
    return out


def _brackets(ranges: str, *, turned: bool) -> str:
    """A range that runs backwards holds nothing."""
    pairs = [(low[-1], (high or low)[-1]) for low, high in _RANGE.findall(ranges)]
    inside = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in pairs if low <= high)
    if turned:
        return f"[^/{inside}]"
    return f"[{inside}]" if inside else r"(?!)"
