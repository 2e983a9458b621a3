"""What an API server answers when it does not do what was asked, as exceptions a caller can tell apart.

The class follows from the Status that came back: its reason where two errors share a code (409), its code elsewhere.
No server at all is an answer too: Unavailable.
"""

from holdfast.kube.codec import CodecError, decode
from holdfast.kube.objects import Object


class ApiError(Exception):
    """The API server refused or failed. `str()` is what it said, preceded by what was asked of it."""

    def __init__(
        self, status: int, reason: str, message: str, details: Object | None = None, *, retry_after: float | None = None
    ):
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Object = details or {}
        self.retry_after = retry_after
        self.repeated = False
        """Whether an earlier attempt of the same request got lost, and so may have done what this one was refused."""

    @property
    def causes(self) -> list[Object]:
        """The single faults behind an Invalid or a conflict: field, reason and message of each."""
        return self.details.get("causes") or []


class Unauthorized(ApiError):
    """401: the token or certificate is missing, wrong or expired."""


class Forbidden(ApiError):
    """403: known, and not allowed."""


class NotFound(ApiError):
    """404: no such object, or no such resource."""


class Conflict(ApiError):
    """409: the object has changed since it was read, or a precondition does not hold. Read again."""


class AlreadyExists(ApiError):
    """409: an object of this name is there already."""


class Gone(ApiError):
    """410: the resourceVersion or the continue token is too old. List again."""


class Invalid(ApiError):
    """422: the object breaks its schema or a rule."""


class TooManyRequests(ApiError):
    """429: not now; `retry_after` says when, in seconds."""


class Unavailable(ApiError):
    """No usable answer: refused, reset, timed out (status 0) or a 5xx. The write may or may not have happened."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(status: int, body: bytes, asked: str, *, retry_after: float | None = None) -> ApiError:
    """Build the exception for an answer of `status`; `asked` says what was asked, such as `GET /api/v1/pods`."""
    try:
        answer = decode(body)
    except CodecError:
        answer = {}
    if answer.get("kind") == "Status":
        return status_error({"code": status, **answer}, asked, retry_after=retry_after)
    text = body[:300].decode("utf-8", "replace").strip() or "no message"
    return _class_of(status, "")(status, "", f"{asked}: {status}: {text}", retry_after=retry_after)


def status_error(answer: Object, asked: str, *, retry_after: float | None = None) -> ApiError:
    """Build the exception for a Status object, as a body or as the object of a watch's ERROR event."""
    status = answer.get("code") or 500
    reason = answer.get("reason") or ""
    message = answer.get("message") or reason or "no message"
    details: Object = answer.get("details") or {}
    after = retry_after if retry_after is not None else details.get("retryAfterSeconds")
    return _class_of(status, reason)(status, reason, f"{asked}: {message}", details, retry_after=after)


def unreachable(asked: str, why: BaseException) -> Unavailable:
    """Build the exception for a request that got no answer."""
    text = str(why) or type(why).__name__
    return Unavailable(0, "Unreachable", f"{asked}: no answer from the API server: {text}")


def _class_of(status: int, reason: str) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if status >= 500:
        return Unavailable
    return _BY_STATUS.get(status, ApiError)
