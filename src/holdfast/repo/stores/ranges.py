"""Ranges from services that answer them with status 200.

Some S3 services (lakeFS, gofakes3 and with it `rclone serve s3`) send the right part of an object, but say `200` instead of
`206`, and obstore refuses such an answer. For them a range is fetched with a presigned URL over a plain connection, and taken
by its Content-Range, or cut out when the service sent the whole object.
"""

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from holdfast.repo.errors import ObjectNotFound, StoreError, StoreUnavailable
from holdfast.repo.stores.http import Connections, dial, tls_context


class RangeReader:
    """Reads ranges; `sign` makes a presigned URL for a name, `ca` is a bundle in PEM that is trusted besides the system's."""

    def __init__(self, sign: Callable[[str], str], ca: bytes, *, insecure: bool = False) -> None:
        self._sign, self._ca, self._insecure = sign, ca, insecure
        self._guard = threading.Lock()
        self._connections: Connections | None = None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """The bytes of a range. Raises ObjectNotFound, StoreUnavailable for what may pass, StoreError for any other refusal."""
        parts = urlsplit(self._sign(name))
        connections = self._open(parts.scheme, parts.netloc)
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = connections.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        if answer.status not in (200, 206):
            if answer.status == 404:
                raise ObjectNotFound("no such object")
            said = f"{parts.netloc} answered {answer.status} {answer.reason}"
            if answer.status >= 500 or answer.status == 429:
                raise StoreUnavailable(said, retry_after=answer.retry_after)
            raise StoreError(said)
        whole = answer.status == 200 and "content-range" not in answer.headers
        return answer.body[offset : offset + length] if whole else answer.body

    def _open(self, scheme: str, netloc: str) -> Connections:
        with self._guard:
            if self._connections is None:
                context = tls_context(self._ca, insecure=self._insecure)
                self._connections = Connections(netloc, lambda: dial(scheme, netloc, context))
            return self._connections

    def close(self) -> None:
        """Close the connections."""
        if self._connections is not None:
            self._connections.close()
