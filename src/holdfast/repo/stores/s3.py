"""A repository in a bucket of any S3-compatible service, through obstore.

Path-style requests by default, `http` and `https`, a CA of one's own, region us-east-1 unless told otherwise. An object of S3
appears whole or not at all; names are hashes of their content, so a repeated `put` of the same name writes the same bytes.
`config`, the only other name, is looked for before it is written. Credentials are handed over in memory and appear in no
message.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, TypedDict, cast
from urllib.parse import urlsplit

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from holdfast.repo.errors import (
    AccessDenied,
    BadCredentials,
    BadLocation,
    Damaged,
    NoBucket,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from holdfast.repo.store import CONFIG, Buffer, Entry, Kind, is_id
from holdfast.repo.stores.http import is_on, read_ca
from holdfast.repo.stores.ranges import RangeReader

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

DEFAULT_REGION = "us-east-1"
SIGNED_FOR = timedelta(minutes=10)
REQUEST_TIMEOUT = timedelta(minutes=5)
CONNECT_TIMEOUT = timedelta(seconds=10)

_ODD_RANGE = "non-partial response"
_CODE = re.compile(r"<Code>(\w+)</Code>")
_BAD_CREDENTIALS = {
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthorizationHeaderMalformed",
    "InvalidToken",
    "ExpiredToken",
}
_FULL = {"QuotaExceeded", "InsufficientStorage", "StorageFull", "XMinioStorageFull"}
_CHAIN = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_UNAVAILABLE = ("error sending request", "connection", "timed out", "timeout", "Server Error", "Too Many Requests", "SlowDown")


class _Meta(TypedDict):
    path: str
    size: int


_list_pages = cast("Callable[..., Iterable[Sequence[_Meta]]]", obstore.list)  # pyright: ignore[reportUnknownMemberType]


class S3Location(msgspec.Struct, frozen=True):
    """Where in S3: `endpoint` with scheme and port, bucket, prefix without slashes at its ends."""

    endpoint: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3:{self.endpoint}/{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def parse_s3(url: str) -> S3Location:
    """Read `s3:http://host:port/bucket/prefix`, `s3:host/bucket` or `s3://host/bucket`. Raises BadLocation."""
    rest = url.removeprefix("s3:").removeprefix("//")
    parts = urlsplit(rest if "://" in rest else f"https://{rest}")
    bucket, _, prefix = parts.path.strip("/").partition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not bucket:
        raise BadLocation(
            f"{_without_user(url)!r} is not an S3 repository: write s3:https://<host>[:<port>]/<bucket>[/<prefix>]"
        )
    if parts.username or parts.password or parts.query:
        raise BadLocation(f"{_without_user(url)!r}: credentials and queries don't belong into the URL: use the environment")
    return S3Location(f"{parts.scheme}://{parts.netloc}", bucket, prefix.strip("/"))


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", url)


def open_s3(url: str, env: Mapping[str, str], options: StoreOptions = StoreOptions()) -> "S3Bucket":
    """The store of an S3 URL. Raises BadLocation, BadCredentials.

    `env` holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and where needed AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, AWS_CA_BUNDLE
    (a file), AWS_S3_ADDRESSING_STYLE (`path` or `virtual`) and AWS_INSECURE_TLS (`true` accepts any certificate).
    """
    location = parse_s3(url)
    virtual = env.get("AWS_S3_ADDRESSING_STYLE", "path") == "virtual"
    scheme, _, host = location.endpoint.partition("://")
    config: S3Config = {
        "endpoint": f"{scheme}://{location.bucket}.{host}" if virtual else location.endpoint,
        "region": env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") or DEFAULT_REGION,
        "virtual_hosted_style_request": virtual,
        "disable_bulk_delete": True,
    }
    key, secret = env.get("AWS_ACCESS_KEY_ID", ""), env.get("AWS_SECRET_ACCESS_KEY", "")
    if key and secret:
        config["access_key_id"], config["secret_access_key"] = key, secret
        if token := env.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
    elif not any(env.get(name) for name in _CHAIN):
        raise BadCredentials(
            f"{location}: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set: check the storage secret"
        )
    options: ClientConfig = {
        "allow_http": scheme == "http",
        "timeout": REQUEST_TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
    }
    ca = read_ca(env)
    insecure = is_on(env, "AWS_INSECURE_TLS") or is_on(env, "RESTIC_INSECURE_TLS")
    if ca:
        options["root_certificate"] = ca
    if insecure:
        options["allow_invalid_certificates"] = True
    bucket = S3Store(location.bucket, config=config, client_options=options, retry_config={"max_retries": 0})
    return S3Bucket(bucket, location, ca, insecure=insecure)


class S3Bucket:
    """A store under a prefix of a bucket."""

    def __init__(self, bucket: S3Store, location: S3Location, ca: bytes = b"", *, insecure: bool = False) -> None:
        self._bucket, self._where = bucket, location
        self._odd_ranges = False
        self._ranges = RangeReader(lambda name: obstore.sign(bucket, "GET", name, SIGNED_FOR), ca, insecure=insecure)
        self._prefix = f"{location.prefix}/" if location.prefix else ""

    @property
    def location(self) -> str:
        """The URL, without credentials."""
        return str(self._where)

    def create(self) -> None:
        """Check that the bucket answers. Buckets are made by their owner, not by a backup."""
        for _ in self.list("keys"):
            return

    def put(self, path: str, data: Buffer) -> None:
        """One PUT request, never multipart: a pack is small enough for one."""
        if path == CONFIG and self._has(path):
            raise ObjectExists(f"{self.location}/{path} exists: nothing that exists is overwritten")
        try:
            obstore.put(self._bucket, self._prefix + path, data, use_multipart=False)
        except Exception as error:
            self._fail(error, f"write {path}")

    def _has(self, path: str) -> bool:
        try:
            self.size(path)
        except ObjectNotFound:
            return False
        return True

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """A whole object, or a range of it."""
        name = self._prefix + path
        try:
            if length is None and not offset:
                return obstore.get(self._bucket, name).bytes().to_bytes()
            if length is None:
                length = obstore.head(self._bucket, name)["size"] - offset
            data = self._range(name, offset, length)
        except StoreError as error:
            raise type(error)(f"{self.location}: read {path}: {error}") from None
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
            pages = _list_pages(self._bucket, f"{self._prefix}{kind}")
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
            return obstore.head(self._bucket, self._prefix + path)["size"]
        except Exception as error:
            self._fail(error, f"look at {path}")

    def delete(self, path: str) -> None:
        """Delete an object; S3 itself does not say whether there was one, so it is looked for first."""
        self.size(path)
        try:
            obstore.delete(self._bucket, self._prefix + path)
        except Exception as error:
            self._fail(error, f"delete {path}")

    def close(self) -> None:
        """Close the connections for ranges; the others are given back with the object."""
        self._ranges.close()

    def _fail(self, error: Exception, what: str) -> NoReturn:
        text = str(error)
        match = _CODE.search(text)
        code = match[1] if match else ""
        where = f"{self.location}: {what}"
        if code == "NoSuchBucket":
            raise NoBucket(
                f"{where}: the bucket {self._where.bucket!r} does not exist: create it or correct its name"
            ) from None
        if code in _BAD_CREDENTIALS or isinstance(error, UnauthenticatedError):
            raise BadCredentials(f"{where}: the service refuses the access key or its signature ({code or 'unauthenticated'}): "
                                 "check the storage secret") from None  # fmt: skip
        if code == "AccessDenied" or isinstance(error, PermissionDeniedError):
            raise AccessDenied(f"{where}: access denied: the key may not do this in bucket {self._where.bucket!r}") from None
        if isinstance(error, FileNotFoundError):
            raise ObjectNotFound(f"{where}: no such object") from None
        if code in _FULL:
            raise StoreFull(f"{where}: the service has no room left ({code})") from None
        if isinstance(error, AlreadyExistsError):
            raise ObjectExists(f"{where}: it exists") from None
        short = _shorten(text)
        if code in ("InternalError", "ServiceUnavailable", "SlowDown") or any(sign in text for sign in _UNAVAILABLE):
            raise StoreUnavailable(f"{where}: {short}") from None
        raise StoreError(f"{where}: {short}") from None


def _shorten(text: str) -> str:
    """The first sentence of an error; the library appends a debug dump that helps nobody and may hold headers."""
    return re.sub(r"\s+", " ", text.partition("Debug source")[0]).strip()[:300]
