"""Which entries of a snapshot a restore takes.

Everything, unless paths or include patterns name less; what an exclude pattern matches is left out, with all that is below it.
Paths are literal, patterns are those of `patterns`; the case-insensitive ones are compared without regard to case.
"""

from collections.abc import Iterable, Sequence

import msgspec

from holdfast.repo.patterns import Patterns, refuse_taking_back


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for, as given. All are about paths within the snapshot, absolute, with `/`."""

    paths: Sequence[str] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    iinclude: Sequence[str] = ()
    iexclude: Sequence[str] = ()


class Selector:
    """A compiled selection. Raises BadRequest for patterns that can't be read, or that choose by taking back."""

    def __init__(self, wanted: Selection) -> None:
        literal = [_literal(path) for path in wanted.paths]
        self._include = Patterns([*literal, *wanted.include], wanted.iinclude)
        refuse_taking_back(self._include)
        self._exclude = Patterns(wanted.exclude, wanted.iexclude)
        self.takes_all = self._include.empty
        """Whether no path and no include pattern narrows the restore."""
        self.trivial = self._include.empty and self._exclude.empty
        """Whether nothing has to be asked for any entry."""

    def excludes(self, path: str) -> bool:
        """Whether an entry is left out, with all below it."""
        return self._exclude.match(path)

    @property
    def has_excludes(self) -> bool:
        """Whether anything below a wanted folder may be left out."""
        return not self._exclude.empty

    def includes(self, path: str) -> bool:
        """Whether the entry itself is named: all below it is wanted too."""
        return self._include.match(path)

    def includes_below(self, path: str) -> bool:
        """Whether a folder has to be entered, since something below it could be named."""
        return self._include.match_below(path)


_SPECIAL = str.maketrans({char: f"\\{char}" for char in "*?[\\"})


def _literal(path: str) -> str:
    """A pattern that matches exactly this path."""
    return "/" + path.strip("/").translate(_SPECIAL)


def parts_of(paths: Iterable[str]) -> list[list[str]]:
    """The components of paths."""
    return [[part for part in path.split("/") if part] for path in paths]
