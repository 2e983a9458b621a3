"""Templates in the syntax of Go's text/template, with the functions that KubeBlocks' providers and KubeStash's hooks use.

    Template("{{ .name | upper }}", name="greeting").render({"name": "a"})

Rendering is pure: it reads nothing but its data, takes bounded time and memory, and gives the same text each time. Functions
that would break this (the environment, name look-ups, random texts, fresh keys) are refused by name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.templates.builtin import BUILTIN
from holdfast.templates.errors import TemplateError
from holdfast.templates.evaluate import Evaluation
from holdfast.templates.layout import format_time
from holdfast.templates.sprig import SPRIG
from holdfast.templates.syntax import Parser
from holdfast.templates.values import Strings

__all__ = ["Strings", "Template", "TemplateError", "format_time"]


class Template:
    """A parsed template."""

    def __init__(self, text: str, *, name: str = "", functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        """Parse it. `functions` are offered besides the known ones. Raises TemplateError with the line of a mistake."""
        self._functions = {**BUILTIN, **SPRIG, **(functions or {})}
        parser = Parser(text, name, {*self._functions, "include"})
        self.name = name
        self._nodes = parser.parse()
        self._defined = parser.defined

    def render(self, values: object, *, strict: bool = False) -> str:
        """Return the text for these values (plain data: mappings, lists, texts, numbers, times).

        A key that is not there prints as `<no value>`, and is an error when `strict`. Raises TemplateError.
        """
        return Evaluation(self.name, self._defined, self._functions, values, strict=strict).run(self._nodes)
