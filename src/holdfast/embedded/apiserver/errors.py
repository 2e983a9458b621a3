"""Refusals as the Kubernetes API words them: an HTTP code, a reason, and a message that names the object.

Handlers raise `StatusError`; only the outermost layer turns it into a response, so that every path answers alike.
"""

from collections.abc import Sequence
from http import HTTPStatus

from holdfast.embedded.apiserver.objects import Object


class StatusError(Exception):
    """A refusal that the caller is to see. `details` and `causes` follow metav1.Status."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    @property
    def retry_after(self) -> int:
        """Seconds after which another try makes sense; 0 when nothing says so."""
        return int(self.details.get("retryAfterSeconds") or 0)

    def status(self) -> Object:
        """The metav1.Status document of this refusal."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details or self.code == HTTPStatus.NOT_FOUND:  # `kubectl debug` breaks on a 404 without details
            body["details"] = self.details
        return body


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _details(resource: str, group: str, name: str) -> Object:
    found = {"name": name, "group": group, "kind": resource}
    return {key: value for key, value in found.items() if value}


def not_found(resource: str, group: str, name: str) -> StatusError:
    """The object does not exist (404)."""
    text = f'{_qualified(resource, group)} "{name}" not found'
    return StatusError(404, "NotFound", text, _details(resource, group, name))


def no_such_path() -> StatusError:
    """Nothing is served at that URL (404)."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: str, group: str, name: str) -> StatusError:
    """A create met an object of that name (409)."""
    text = f'{_qualified(resource, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, _details(resource, group, name))


def conflict(resource: str, group: str, name: str, why: str) -> StatusError:
    """The caller worked on an older state than the stored one (409)."""
    text = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return StatusError(409, "Conflict", text, _details(resource, group, name))


def stale(resource: str, group: str, name: str) -> StatusError:
    """The resourceVersion of the request is not the current one (409)."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, group, name, why)


def invalid(kind: str, group: str, name: str, causes: Sequence[tuple[str, str]]) -> StatusError:
    """The object breaks rules (422). `causes` are (field, message); the message already names the field."""
    listed = [message for _, message in causes]
    joined = listed[0] if len(listed) == 1 else "[" + ", ".join(listed) + "]"
    details: Object = {
        **_details(kind, group, name),
        "causes": [{"reason": "FieldValueInvalid", "message": _tail(text, field), "field": field} for field, text in causes],
    }
    return StatusError(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {joined}', details)


def _tail(message: str, field: str) -> str:
    return message.removeprefix(f"{field}: ") if field else message


def bad_request(message: str) -> StatusError:
    """The request cannot be understood (400)."""
    return StatusError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    """No valid credentials came with the request (401)."""
    return StatusError(401, "Unauthorized", message)


def forbidden(resource: str, group: str, name: str, why: str) -> StatusError:
    """The caller is known, the act is not allowed (403)."""
    text = f'{_qualified(resource, group)} "{name}" is forbidden: {why}'
    return StatusError(403, "Forbidden", text, _details(resource, group, name))


def denied(resource: str, group: str, name: str, why: str) -> StatusError:
    """The caller has no right to it (403); `resource` is empty for a URL that is none."""
    if not resource:
        return StatusError(403, "Forbidden", f"forbidden: {why}")
    text = f"{_qualified(resource, group)}" + (f' "{name}"' if name else "") + f" is forbidden: {why}"
    return StatusError(403, "Forbidden", text, _details(resource, group, name))


def method_not_allowed() -> StatusError:
    """The path exists, the verb does not (405)."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def gone(message: str) -> StatusError:
    """History before that point is no longer kept (410): list again."""
    return StatusError(410, "Expired", message)


def too_many(message: str, details: Object) -> StatusError:
    """Not now (429): the same request may succeed a little later."""
    return StatusError(429, "TooManyRequests", message, details)


def unsupported_media(message: str) -> StatusError:
    """The body's content type cannot be read here (415)."""
    return StatusError(415, "UnsupportedMediaType", message)


def too_new(asked: int, present: int) -> StatusError:
    """The caller has seen a revision that this server has not reached (504): its state was put back, or it is another."""
    details: Object = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return StatusError(504, "Timeout", f"Timeout: Too large resource version: {asked}, current: {present}", details)


def too_large(limit: int) -> StatusError:
    """The body is over the limit in bytes (413)."""
    return StatusError(413, "RequestEntityTooLarge", f"the request body is larger than {limit} bytes")


def timed_out(message: str) -> StatusError:
    """The caller was too slow (408)."""
    return StatusError(408, "Timeout", message)


def not_acceptable(accept: str) -> StatusError:
    """None of the forms that the caller accepts is produced here (406)."""
    return StatusError(406, "NotAcceptable", f"only application/json is answered here, the request accepts {accept}")
