"""Documents in an S3 bucket; the bucket is made when it is missing and the key may do so.

The client library makes no buckets, but it signs: a signed PUT of the bucket's own address makes one.
"""

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import S3Store

from holdfast.core.calls import StorageTarget
from holdfast.movers.context import MoverError
from holdfast.movers.stores import credentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

DEFAULT_REGION = "us-east-1"
_TIMEOUT = 30
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")
_REASONS = {
    "NoSuchBucket": ("NoBucket", "create the bucket, or allow the access key to create it"),
    "InvalidAccessKeyId": ("BadCredentials", "check AWS_ACCESS_KEY_ID in the storage's Secret"),
    "SignatureDoesNotMatch": ("BadCredentials", "check AWS_SECRET_ACCESS_KEY in the storage's Secret"),
    "InvalidToken": ("BadCredentials", "check AWS_SESSION_TOKEN in the storage's Secret"),
    "ExpiredToken": ("BadCredentials", "renew AWS_SESSION_TOKEN in the storage's Secret"),
    "AccessDenied": ("AccessDenied", "allow the access key to read, write, list and delete in the bucket"),
    "QuotaExceeded": ("StoreFull", "raise the quota of the bucket"),
    "InsufficientStorage": ("StoreFull", "enlarge the storage of the server"),
}
T = TypeVar("T")


def open_bucket(target: StorageTarget) -> "Bucket":
    """Open the bucket of a URL `s3:<scheme>://<endpoint>/<bucket>/<path>`. Raises MoverError for another form."""
    url = urlsplit(target.url.removeprefix("s3:"))
    bucket, _, prefix = url.path.strip("/").partition("/")
    if url.scheme not in ("http", "https") or not url.netloc or not bucket:
        raise MoverError(
            "BadLocation", f"{target.url} is not s3:<scheme>://<endpoint>/<bucket>/<path>", "check the BackupStorage"
        )
    return Bucket(target, f"{url.scheme}://{url.netloc}", bucket, prefix)


class Bucket:
    """Documents below a prefix of a bucket."""

    def __init__(self, target: StorageTarget, endpoint: str, bucket: str, prefix: str) -> None:
        self._keys = credentials(target)
        self._insecure = target.options.get("insecure_tls") == "true"
        self._place = f"{endpoint}/{bucket}"
        self._prefix = f"{prefix}/" if prefix else ""
        options: ClientConfig = {"allow_http": endpoint.startswith("http:"), "allow_invalid_certificates": self._insecure}
        if authority := self._keys.get("CA_CERT_DATA"):
            options["root_certificate"] = authority
        config: S3Config = {"endpoint": endpoint, "region": target.options.get("region") or DEFAULT_REGION}
        self._store = S3Store(
            bucket,
            config=_with_keys(config, self._keys),
            client_options=options,
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_TIMEOUT)},
        )

    def create(self) -> None:
        """Make the bucket when there is none."""
        try:
            self._do("list", "", lambda: next(self._pages(), None))
        except MoverError as error:
            if error.failure.reason != "NoBucket":
                raise
            self._make(error)

    def read(self, name: str) -> bytes | None:
        """Read an object; None when there is none."""
        try:
            return self._do("read", name, lambda: bytes(obstore.get(self._store, self._prefix + name).bytes()))
        except MoverError as error:
            if error.failure.reason == "NoObject":
                return None
            raise

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        self._do("write", name, lambda: obstore.put(self._store, self._prefix + name, data))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._do("delete", name, lambda: obstore.delete(self._store, self._prefix + name))

    def names(self) -> Iterator[str]:
        """List every object below the prefix."""
        for page in self._do("list", "", lambda: list(self._pages())):
            for path in page:
                yield path.removeprefix(self._prefix)

    def wipe(self) -> int:
        """Delete every object below the prefix."""
        if not self._prefix:
            raise MoverError("RefusedToWipe", f"{self._place} is a whole bucket, not the folder of a Repository", "name a path")
        names = [self._prefix + name for name in self.names()]
        for start in range(0, len(names), 1000):
            self._do("delete", "", lambda start=start: obstore.delete(self._store, names[start : start + 1000]))
        return len(names)

    def _pages(self) -> Iterator[list[str]]:
        for page in obstore.list(self._store, self._prefix):  # pyright: ignore[reportUnknownMemberType]
            yield [entry["path"] for entry in page]

    def _make(self, missing: MoverError) -> None:
        """Make the bucket, or raise why it is missing and could not be made."""
        address = obstore.sign(self._store, "PUT", "", timedelta(minutes=5))
        request = urllib.request.Request(address, data=b"", method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=self._tls()):
                return
        except urllib.error.HTTPError as error:
            raise missing from error
        except OSError as error:
            raise MoverError("StoreUnavailable", f"{self._place}: {error}", "check the endpoint") from error

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._keys.get("CA_CERT_DATA"))
        if self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _do(self, verb: str, name: str, action: Callable[[], T]) -> T:
        where = f"{self._place}/{self._prefix}{name}".rstrip("/")
        try:
            return action()
        except (BaseError, OSError) as error:
            raise _translated(error, f"can't {verb} {where}") from error


def _with_keys(config: "S3Config", keys: dict[str, str]) -> "S3Config":
    if keys.get("AWS_ACCESS_KEY_ID"):
        config["access_key_id"] = keys["AWS_ACCESS_KEY_ID"]
        config["secret_access_key"] = keys["AWS_SECRET_ACCESS_KEY"]
    if keys.get("AWS_SESSION_TOKEN"):
        config["session_token"] = keys["AWS_SESSION_TOKEN"]
    return config


def _translated(error: Exception, what: str) -> MoverError:
    """Return what the server said, in its own code; the text of the library is long and may quote the request."""
    found = _CODE.search(str(error))
    code = found.group(1) if found else ""
    if code in _REASONS:
        reason, hint = _REASONS[code]
        return MoverError(reason, f"{what}: the server answers {code}", hint)
    if isinstance(error, FileNotFoundError):
        return MoverError("NoObject", f"{what}: there is none")
    if isinstance(error, PermissionDeniedError | PermissionError):
        return MoverError(*("AccessDenied", f"{what}: the server refuses {code}".rstrip(), _REASONS["AccessDenied"][1]))
    cause = code or str(error).partition("\n")[0][:200]
    return MoverError("StoreUnavailable", f"{what}: {cause}", "check endpoint, network and TLS settings of the BackupStorage")
