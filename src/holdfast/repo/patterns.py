"""Patterns for paths: what a backup leaves out, what a restore takes.

A pattern is matched component by component: `*`, `?` and `[...]` stay within one component, `**` spans any number. A pattern
that begins with `/` is anchored at the root, any other may match at any depth. One that matches a folder takes all below.
Patterns compare letters exactly, or, in the second list, without regard to case.
"""

import re
from collections.abc import Iterable


class Patterns:
    """A compiled set of patterns. Empty patterns are ignored; paths are absolute, with `/`."""

    def __init__(self, patterns: Iterable[str], ignoring_case: Iterable[str] = ()) -> None:
        cleaned = [(pattern, 0) for pattern in patterns if pattern.strip("/")]
        cleaned += [(pattern, re.IGNORECASE) for pattern in ignoring_case if pattern.strip("/")]
        whole = "|".join(f"(?{'i' if flag else ''}:{_regex(text)})" for text, flag in cleaned)
        self._regex = re.compile(whole or r"(?!)", re.DOTALL)
        anchored = [(_parts(text), flag) for text, flag in cleaned if text.startswith("/") and "**" not in text]
        self._prefixes = [[re.compile(_component(part), re.DOTALL | flag) for part in parts] for parts, flag in anchored]
        self._floating = len(anchored) < len(cleaned)
        self.empty = not cleaned

    def match(self, path: str) -> bool:
        """Whether the path itself is matched, not one of its parents."""
        return self._regex.fullmatch(path) is not None

    def match_below(self, path: str) -> bool:
        """Whether something below the folder `path` could match, so that it has to be entered."""
        if self._floating:
            return True
        parts = _parts(path)
        return any(
            len(prefix) > len(parts) and all(r.fullmatch(p) for r, p in zip(prefix, parts, strict=False))
            for prefix in self._prefixes
        )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _regex(pattern: str) -> str:
    out = "" if pattern.startswith("/") else "(?:/[^/]+)*"
    for part in _parts(pattern):
        out += "(?:/[^/]+)*" if part == "**" else "/" + _component(part)
    return f"(?:{out})"


_TOKENS = re.compile(r"\*+|\?|\\.|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)


def _component(part: str) -> str:
    out = ""
    for token in _TOKENS.findall(part):
        if token[0] == "*":
            out += "[^/]*"
        elif token == "?":
            out += "[^/]"
        elif token[0] == "[" and len(token) > 2:
            inside = token[1:-1].replace("\\", "\\\\")
            negate = inside[0] in "!^"
            body = (inside[1:] if negate else inside).replace("[", "\\[").replace("]", "\\]")
            out += f"[^/{body}]" if negate else f"[{body}]"
        else:
            out += re.escape(token[1:] if len(token) > 1 else token)
    return out
