"""What goes wrong with a request, as an exception that says which status and which body it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.core.plan import Problem

Issues = Mapping[str, str | list[str]]

CODES: Final = (400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429, 500, 503)
"""Every status that an error may have."""


class RestError(Exception):
    """A refused request. `issues` names what is wrong by field; `headers` go into the reply."""

    def __init__(
        self, status: int, message: str, issues: Issues | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.issues = status, message, issues
        self.headers: Mapping[str, str] = headers or {}

    def body(self) -> dict[str, object]:
        """Return the error envelope."""
        found: dict[str, object] = {"_status": "ERR", "_error": {"code": self.status, "message": self.message}}
        return {**found, "_issues": dict(self.issues)} if self.issues else found


def invalid(problems: Sequence[Problem]) -> RestError:
    """Return the 422 of a document with these problems."""
    issues: dict[str, str | list[str]] = {}
    for problem in problems:
        present = issues.get(problem.field)
        if present is None:
            issues[problem.field] = problem.message
        else:
            issues[problem.field] = [*([present] if isinstance(present, str) else present), problem.message]
    count = len(problems)
    return RestError(422, f"Insertion failure: {count} issue(s) in the document" if count > 1 else _one(problems), issues)


def _one(problems: Sequence[Problem]) -> str:
    return "; ".join(str(problem) for problem in problems)


def not_found(plural: str, ident: str) -> RestError:
    """Return the 404 of a document."""
    return RestError(404, f"{plural}/{ident}: there is no such document")
