"""What can go wrong: one class for people, one for a path that is not there."""


class DatasafedError(Exception):
    """Ends the command with exit code 1 and this sentence. Never holds a credential."""


class NotThere(DatasafedError):
    """The path names nothing."""
