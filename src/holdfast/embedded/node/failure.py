"""What keeps a container from starting, said the way `kubectl describe pod` shows it."""


class NotReady(Exception):
    """A container can't start now. `reason` is what its waiting state shows; `fatal` says that waiting won't help."""

    def __init__(self, reason: str, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.fatal = fatal


def config_error(message: str) -> NotReady:
    """Something that a container refers to is missing or wrong; it is looked up again later."""
    return NotReady("CreateContainerConfigError", message)
