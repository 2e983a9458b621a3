"""From a repository's error to a failure a user can act on: one table of reasons."""

from collections.abc import Sequence

from holdfast.core.report import Failure
from holdfast.movers.context import MoverError, stopped
from holdfast.repo import errors
from holdfast.repo.result import FileError

_REASONS: Sequence[tuple[type[errors.RepositoryError], str]] = (
    (errors.WrongPassword, "WrongPassword"),
    (errors.RepositoryLocked, "RepositoryLocked"),
    (errors.LockLost, "LockLost"),
    (errors.NoRepository, "NoRepository"),
    (errors.UnsupportedVersion, "UnsupportedVersion"),
    (errors.Damaged, "RepositoryDamaged"),
    (errors.SelfCheckFailed, "SelfCheckFailed"),
    (errors.NoSnapshot, "NoSnapshot"),
    (errors.SourceError, "SourceUnreadable"),
    (errors.MissingProgram, "MissingProgram"),
    (errors.PruneFailed, "PruneFailed"),
    (errors.AccessDenied, "AccessDenied"),
    (errors.BadCredentials, "BadCredentials"),
    (errors.NoBucket, "NoBucket"),
    (errors.StoreFull, "StoreFull"),
    (errors.BadLocation, "BadLocation"),
    (errors.ObjectRetained, "ObjectRetained"),
    (errors.StoreUnavailable, "StoreUnavailable"),
    (errors.StoreError, "StoreFailed"),
)


def failure_of(error: errors.RepositoryError) -> Failure:
    """Return reason and message for an error of a repository or its store; its text says what to do already."""
    if isinstance(error, errors.Stopped):
        return stopped().failure
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return Failure(reason, str(error))
    return Failure("RepositoryFailed", str(error))


def mover_error(error: errors.RepositoryError) -> MoverError:
    """Return the same as an exception."""
    found = failure_of(error)
    return MoverError(found.reason, found.message, found.hint)


def partial(reason: str, what: str, count: int, first: Sequence[FileError]) -> Failure:
    """Return the failure of a run that left files out; it names the first of them."""
    named = "; ".join(f"{fault.path}: {fault.message}" for fault in first[:3])
    more = f" and {count - 3} more" if count > 3 else ""
    return Failure(reason, f"{count} {what}: {named}{more}", "the log of the pod lists them; correct the cause and run again")
