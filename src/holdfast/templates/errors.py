"""What can be wrong with a template, always with its name and line."""


class TemplateError(ValueError):
    """A template can't be read or carried out. The text names the template, the line and the cause."""

    def __init__(self, cause: str, *, name: str = "", line: int = 0) -> None:
        """`cause` stands alone; name and line may be added later by `at`."""
        self.cause, self.name, self.line = cause, name, line
        place = f"template {name}" if name else "template"
        super().__init__(f"{place}, line {line}: {cause}" if line else f"{place}: {cause}")

    def at(self, name: str, line: int) -> "TemplateError":
        """Return the same error with its place, unless it knows one already."""
        return self if self.line else TemplateError(self.cause, name=name, line=line)
