"""The two ways in which an expression fails: when it is compiled, and when it runs."""


class CompileError(ValueError):
    """An expression that can't be used; `column` is where, counted from 1."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(f"column {column}: {text}")
        self.column = column


class EvaluationError(Exception):
    """An expression that has no value for this input: a missing key, an overflow, a division by zero."""


class BudgetExceeded(Exception):
    """An expression that did more work than one evaluation may do. Nothing in an expression can absorb it."""
