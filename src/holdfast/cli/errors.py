"""The error that a command shows without a traceback."""


class HoldfastError(Exception):
    """Something a user can put right. The message names the thing, what was wrong, and what to do."""
