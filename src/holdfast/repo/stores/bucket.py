"""Objects below a prefix of a bucket of S3 or a container of Azure, through obstore.

An object appears whole or not at all; names are hashes of their content, so a repeated `put` of the same name writes the same
bytes. `config`, the only other name, is looked for before it is written, and the service is asked to refuse if it came to be
meanwhile, which those that know conditional writes do. What a service answers is told apart by its own error codes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, TypedDict, cast

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, S3Store

from holdfast.repo.errors import (
    AccessDenied,
    BadCredentials,
    Damaged,
    NoBucket,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from holdfast.repo.store import CONFIG, Buffer, Entry, Kind, is_id
from holdfast.repo.stores.ranges import RangeReader

if TYPE_CHECKING:
    from obstore import Attributes

SIGNED_FOR = timedelta(minutes=10)

_ODD_RANGE = "non-partial response"
_CODE = re.compile(r"<Code>(\w+)</Code>")
_BAD_CREDENTIALS = {
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthorizationHeaderMalformed",
    "InvalidToken",
    "ExpiredToken",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "Unauthenticated",
    "401",
}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_DENIED = {"AccessDenied", "AuthorizationFailure", "AuthorizationPermissionMismatch", "403"}
_MISSING = {"NoSuchKey", "BlobNotFound", "NoSuchVersion", "404"}
_EXISTS = {"PreconditionFailed", "BlobAlreadyExists", "412"}
_PASSING = {
    "InternalError",
    "ServiceUnavailable",
    "SlowDown",
    "RequestTimeout",
    "OperationAborted",
    "ConditionalRequestConflict",
}
_CODES_OF_CLASSES: dict[type[Exception], str] = {
    UnauthenticatedError: "Unauthenticated",
    PermissionDeniedError: "AccessDenied",
    FileNotFoundError: "NoSuchKey",
    AlreadyExistsError: "PreconditionFailed",
}
"""What the client library has read out of a status already."""
_FULL = {"QuotaExceeded", "InsufficientStorage", "StorageFull", "XMinioStorageFull"}
_UNAVAILABLE = (
    "error sending request",
    "connection",
    "timed out",
    "timeout",
    "body error",
    "Server Error",
    "Too Many Requests",
    "SlowDown",
)


class _Meta(TypedDict):
    path: str
    size: int


_list_pages = cast("Callable[..., Iterable[Sequence[_Meta]]]", obstore.list)  # pyright: ignore[reportUnknownMemberType]


class Place(msgspec.Struct, frozen=True):
    """A folder in a bucket: `text` is the URL without credentials, `prefix` has no slashes at its ends and may be empty."""

    text: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return self.text

    def key(self, path: str) -> str:
        """The key of an object of the repository."""
        return f"{self.prefix}/{path}" if self.prefix else path


class Bucket:
    """A store under a prefix of a bucket."""

    def __init__(
        self, bucket: S3Store | AzureStore, where: Place, ca: bytes = b"", *, insecure: bool = False, storage_class: str = ""
    ) -> None:
        self._bucket, self._where = bucket, where
        self._pack_attributes: Attributes = {"Storage-Class": storage_class} if storage_class else {}
        self._odd_ranges = False
        self._ranges = RangeReader(lambda name: obstore.sign(bucket, "GET", name, SIGNED_FOR), ca, insecure=insecure)

    @property
    def location(self) -> str:
        """The URL, without credentials."""
        return str(self._where)

    def create(self) -> None:
        """Check that the bucket answers. Buckets are made by their owner, not by a backup."""
        for _ in self.list("keys"):
            return

    def put(self, path: str, data: Buffer) -> None:
        """One PUT request, never multipart: a pack is small enough for one. Packs get the storage class that was asked for."""
        if path == CONFIG:
            self._put_config(data)
            return
        attributes = self._pack_attributes if path.startswith("data/") else None
        try:
            obstore.put(self._bucket, self._where.key(path), data, attributes=attributes, use_multipart=False)
        except Exception as error:
            self._fail(error, f"write {path}")

    def _put_config(self, data: Buffer) -> None:
        if self._has(CONFIG):
            raise ObjectExists(f"{self.location}/{CONFIG} exists: nothing that exists is overwritten")
        name = self._where.key(CONFIG)
        try:
            obstore.put(self._bucket, name, data, mode="create", use_multipart=False)
        except NotImplementedError:
            obstore.put(self._bucket, name, data, use_multipart=False)
        except Exception as error:
            self._fail(error, f"write {CONFIG}")

    def _has(self, path: str) -> bool:
        try:
            self.size(path)
        except ObjectNotFound:
            return False
        return True

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """A whole object, or a range of it."""
        name = self._where.key(path)
        try:
            if length is None and not offset:
                return obstore.get(self._bucket, name).bytes().to_bytes()
            if length is None:
                length = obstore.head(self._bucket, name)["size"] - offset
            data = self._range(name, offset, length)
        except StoreError as error:
            error.args = (f"{self.location}: read {path}: {error}",)
            raise
        except Exception as error:
            self._fail(error, f"read {path}")
        if len(data) != length:
            raise Damaged(
                f"{self.location}/{path} gave {len(data)} bytes from {offset}, {length} were expected: it was cut short"
            )
        return data

    def _range(self, name: str, offset: int, length: int) -> bytes:
        if not self._odd_ranges:
            try:
                return obstore.get_range(self._bucket, name, start=offset, length=length).to_bytes()
            except BaseError as error:
                if _ODD_RANGE not in str(error):
                    raise
                self._odd_ranges = True
        return self._ranges.read(name, offset, length)

    def list(self, kind: Kind) -> Iterator[Entry]:
        """All objects of a folder, page by page."""
        try:
            pages = _list_pages(self._bucket, self._where.key(kind))
            for page in pages:
                for meta in page:
                    name = meta["path"].rpartition("/")[2]
                    if is_id(name):
                        yield Entry(name, meta["size"])
        except BaseError as error:
            self._fail(error, f"list {kind}")

    def size(self, path: str) -> int:
        """A HEAD request."""
        try:
            return obstore.head(self._bucket, self._where.key(path))["size"]
        except Exception as error:
            self._fail(error, f"look at {path}")

    def delete(self, path: str) -> None:
        """Delete an object; S3 itself does not say whether there was one, so it is looked for first."""
        self.size(path)
        try:
            obstore.delete(self._bucket, self._where.key(path))
        except Exception as error:
            self._fail(error, f"delete {path}")

    def close(self) -> None:
        """Close the connections for ranges; the others are given back with the object."""
        self._ranges.close()

    def _fail(self, error: Exception, what: str) -> NoReturn:
        text = str(error)
        match = _CODE.search(text)
        code = match[1] if match else _CODES_OF_CLASSES.get(type(error), "")
        raise refusal(self._where, what, code, _shorten(text)) from None


def refusal(where: Place, what: str, code: str, text: str) -> StoreError:
    """The error for a code of S3 or Azure, or for a fault without one, which `text` describes. `what` was being done."""
    place = f"{where}: {what}"
    if code in _NO_BUCKET:
        return NoBucket(f"{place}: the bucket or container {where.bucket!r} does not exist: create it or correct its name")
    if code in _BAD_CREDENTIALS:
        return BadCredentials(
            f"{place}: the service refuses the access key or its signature ({code}): check the storage secret"
        )
    if code in _DENIED:
        return AccessDenied(f"{place}: access denied: the key may not do this in bucket {where.bucket!r}")
    if code in _MISSING:
        return ObjectNotFound(f"{place}: no such object")
    if code in _FULL:
        return StoreFull(f"{place}: the service has no room left ({code})")
    if code in _EXISTS:
        return ObjectExists(f"{place}: it exists: nothing that exists is overwritten")
    if code in _PASSING or any(sign in text for sign in _UNAVAILABLE):
        return StoreUnavailable(f"{place}: {text}")
    return StoreError(f"{place}: {text}")


def _shorten(text: str) -> str:
    """The first sentence of an error; the library appends a debug dump that helps nobody and may hold headers."""
    return re.sub(r"\s+", " ", text.partition("Debug source")[0]).strip()[:300]
