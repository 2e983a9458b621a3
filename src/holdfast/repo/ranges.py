"""Ranges from services that answer them with status 200.

Some S3 services (lakeFS, gofakes3 and with it `rclone serve s3`) send the right part of an object, but say `200` instead of
`206`, and obstore refuses such an answer. For them a range is fetched with a presigned URL over a plain connection, one per
thread and kept open, and taken by its Content-Range, or cut out when the service sent the whole object.
"""

import http.client
import ssl
import threading
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from holdfast.repo.errors import StoreError, StoreUnavailable

TIMEOUT_SECONDS = 60.0


class RangeReader:
    """Reads ranges; `sign` makes a presigned URL for a name, `ca` is a bundle in PEM that is trusted besides the system's."""

    def __init__(self, sign: Callable[[str], str], ca: bytes, *, insecure: bool = False) -> None:
        self._sign = sign
        self._context = ssl.create_default_context()
        if ca:
            self._context.load_verify_locations(cadata=ca.decode())
        if insecure:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._local = threading.local()

    def read(self, name: str, offset: int, length: int) -> bytes:
        """The bytes of a range. Raises StoreUnavailable for what may pass, StoreError for any other refusal."""
        parts = urlsplit(self._sign(name))
        try:
            return self._request(parts, offset, length)
        except (OSError, http.client.HTTPException) as error:
            self._local.connection = None
            raise StoreUnavailable(f"{parts.netloc}: {type(error).__name__}: {error}") from None

    def _request(self, parts: SplitResult, offset: int, length: int) -> bytes:
        connection = self._connection(parts)
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status not in (200, 206):
            kind = StoreUnavailable if answer.status >= 500 or answer.status == 429 else StoreError
            raise kind(f"{parts.netloc} answered {answer.status} {answer.reason}")
        whole = answer.status == 200 and answer.getheader("Content-Range") is None
        return data[offset : offset + length] if whole else data

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        held: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if held is None:
            if parts.scheme == "https":
                held = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_SECONDS, context=self._context)
            else:
                held = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
            self._local.connection = held
        return held
