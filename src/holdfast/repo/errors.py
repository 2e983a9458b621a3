"""What can go wrong with a repository, in words a person can act on.

Every error names the thing, what was wrong with it, and what to do next. None of them ever holds a password or a
key: they end up in reports, conditions and logs.
"""


class RepositoryError(Exception):
    """The base of all errors of this package: catch it where a failure ends in a report."""


class NoRepository(RepositoryError):
    """The store answers, but there is no repository in it."""


class RepositoryExists(RepositoryError):
    """`init` found a repository where it was to make one."""


class UnsupportedVersion(RepositoryError):
    """The repository has a format version that this program does not write."""


class WrongPassword(RepositoryError):
    """No key of the repository opens with this password."""


class NoKey(RepositoryError):
    """No key answers to the given id, or it must not be removed."""


class RepositoryLocked(RepositoryError):
    """Somebody holds a lock that excludes what was asked."""


class LockLost(RepositoryError):
    """Our own lock vanished or grew too old: writing on could harm a concurrent prune, so the writer stops."""


class Damaged(RepositoryError):
    """Something in the repository is not what its name or its seal says it is."""


class SelfCheckFailed(RepositoryError):
    """A sealed blob did not open to what went in: bad memory, or a fault of ours. Nothing of it was stored."""


class NoSnapshot(RepositoryError):
    """No snapshot, or more than one, answers to the given id."""


class SourceError(RepositoryError):
    """The path to back up is missing or can't be read at all."""


class TargetFull(RepositoryError):
    """What is restored does not fit where it is restored to; the restore stopped there."""


class Stopped(RepositoryError):
    """The caller asked to stop before the end. The repository is consistent, the work is not finished."""


class MissingProgram(RepositoryError):
    """A program that does part of the work is not installed."""


class PruneFailed(RepositoryError):
    """Stock restic's prune ended with an error. It removes nothing that is needed before what replaces it is stored."""


class StoreError(RepositoryError):
    """The store refused or failed an operation. The subclasses say which way."""


class ObjectNotFound(StoreError):
    """The store has no object of this name."""


class ObjectExists(StoreError):
    """An object of this name exists already; nothing that exists is ever overwritten."""


class AccessDenied(StoreError):
    """The store knows us, and refuses."""


class ObjectRetained(StoreError):
    """An object lock of the bucket keeps the object until a date; nobody's mistake, and nothing to try again before."""


class BadCredentials(StoreError):
    """The store does not accept the access key or the signature made with the secret key."""


class NoBucket(StoreError):
    """The bucket does not exist."""


class StoreFull(StoreError):
    """No space, or no quota, is left."""


class StoreUnavailable(StoreError):
    """A fault that may pass: connection refused or cut, a timeout, a 5xx answer. Worth a retry.

    `retry_after` is what the service asked for, in seconds; None when it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadLocation(StoreError):
    """The repository URL is malformed or names a kind of store that is not supported."""


class NoSuchPath(RepositoryError):
    """The snapshot has nothing at this path, or not what was asked for."""


class NoObject(RepositoryError):
    """No object of the repository, or more than one, answers to the given id."""


class BadRequest(RepositoryError):
    """What was asked for does not go together, or would do harm; nothing was done."""
