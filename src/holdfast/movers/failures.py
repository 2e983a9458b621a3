"""From a repository's error to a failure a user can act on: one table of reasons and next steps."""

from collections.abc import Sequence

from holdfast.core.report import Failure
from holdfast.movers.context import MoverError, stopped
from holdfast.repo import errors
from holdfast.repo.result import FileError

_REASONS: Sequence[tuple[type[errors.RepositoryError], str, str]] = (
    (errors.WrongPassword, "WrongPassword", "the encryption Secret must hold the RESTIC_PASSWORD the repository was made with"),
    (errors.RepositoryLocked, "RepositoryLocked", "wait until the other run has ended; `restic list locks` shows who holds it"),
    (errors.LockLost, "LockLost", "run it again; somebody removed the lock while we wrote"),
    (errors.NoRepository, "NoRepository", "check the storage and the directory of the Repository"),
    (errors.UnsupportedVersion, "UnsupportedVersion", "upgrade the repository to format version 2"),
    (errors.Damaged, "RepositoryDamaged", "run `restic check` and restore from another repository meanwhile"),
    (errors.SelfCheckFailed, "SelfCheckFailed", "test the memory of the node"),
    (errors.NoSnapshot, "NoSnapshot", "list what is there with `restic snapshots`"),
    (errors.SourceError, "SourceUnreadable", "check the paths of the task and the volumes that are mounted"),
    (errors.AccessDenied, "AccessDenied", "check the rights of the access key, or owner and mode of the folder"),
    (errors.BadCredentials, "BadCredentials", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the storage's Secret"),
    (errors.NoBucket, "NoBucket", "create the bucket, or allow the access key to create it"),
    (errors.StoreFull, "StoreFull", "free space or enlarge the storage; what is stored already stays good"),
    (errors.BadLocation, "BadLocation", "check endpoint, bucket and prefix of the BackupStorage"),
    (errors.StoreUnavailable, "StoreUnavailable", "check the endpoint and the network; the run can be repeated"),
    (errors.StoreError, "StoreFailed", "look at the storage"),
)


def failure_of(error: errors.RepositoryError) -> Failure:
    """Return reason, message and hint for an error of a repository or its store."""
    if isinstance(error, errors.Stopped):
        return stopped().failure
    for kind, reason, hint in _REASONS:
        if isinstance(error, kind):
            return Failure(reason, str(error), hint)
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
