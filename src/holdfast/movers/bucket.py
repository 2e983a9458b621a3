"""Documents in a bucket of S3, or in a container of Azure.

A bucket of S3 is made when it is missing and the key may do so. The client library makes no buckets, but it signs: a signed PUT
of the bucket's own address makes one.
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
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, S3Store

from holdfast.core.calls import StorageTarget
from holdfast.movers.context import MoverError
from holdfast.movers.stores import credentials, environment
from holdfast.repo.stores.azure import service_principal

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, RetryConfig, S3Config

DEFAULT_REGION = "us-east-1"
_TIMEOUT = 30
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=_TIMEOUT)}
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")
_REASONS = {
    "NoSuchBucket": ("NoBucket", "create the bucket, or allow the access key to create it"),
    "ContainerNotFound": ("NoBucket", "create the container"),
    "InvalidAccessKeyId": ("BadCredentials", "check AWS_ACCESS_KEY_ID in the storage's Secret"),
    "SignatureDoesNotMatch": ("BadCredentials", "check AWS_SECRET_ACCESS_KEY in the storage's Secret"),
    "InvalidToken": ("BadCredentials", "check AWS_SESSION_TOKEN in the storage's Secret"),
    "ExpiredToken": ("BadCredentials", "renew AWS_SESSION_TOKEN in the storage's Secret"),
    "AuthenticationFailed": ("BadCredentials", "check AZURE_ACCOUNT_KEY in the storage's Secret, and storageAccount"),
    "AccessDenied": ("AccessDenied", "allow the access key to read, write, list and delete in the bucket"),
    "AuthorizationFailure": ("AccessDenied", "allow the key to read, write, list and delete in the container"),
    "QuotaExceeded": ("StoreFull", "raise the quota of the bucket"),
    "InsufficientStorage": ("StoreFull", "enlarge the storage of the server"),
}
T = TypeVar("T")


def open_bucket(target: StorageTarget) -> "Bucket":
    """Open the bucket of a URL: `s3:<scheme>://<endpoint>/<bucket>/<path>` or `azure:<container>:/<path>`.

    Raises MoverError for another form and for a Secret without the keys.
    """
    return _open_s3(target) if target.url.startswith("s3:") else _open_azure(target)


def _open_s3(target: StorageTarget) -> "Bucket":
    url = urlsplit(target.url.removeprefix("s3:"))
    bucket, _, prefix = url.path.strip("/").partition("/")
    if url.scheme not in ("http", "https") or not url.netloc or not bucket:
        raise MoverError(
            "BadLocation", f"{target.url} is not s3:<scheme>://<endpoint>/<bucket>/<path>", "check the BackupStorage"
        )
    keys, endpoint = credentials(target), f"{url.scheme}://{url.netloc}"
    insecure = target.options.get("insecure_tls") == "true"
    client: ClientConfig = {"allow_http": url.scheme == "http", "allow_invalid_certificates": insecure}
    if authority := keys.get("CA_CERT_DATA"):
        client["root_certificate"] = authority
    config: S3Config = {"endpoint": endpoint, "region": target.options.get("region") or DEFAULT_REGION}
    store = S3Store(bucket, config=_with_keys(config, keys), client_options=client, retry_config=_RETRY)
    place = f"{endpoint}/{bucket}"
    return Bucket(store, place, prefix, lambda missing: _make(store, place, _tls(keys, insecure=insecure), missing))


def _open_azure(target: StorageTarget) -> "Bucket":
    container, _, path = target.url.removeprefix("azure:").partition(":")
    env = environment(target)
    if not container or "/" in container or not env.get("AZURE_ACCOUNT_NAME"):
        raise MoverError(
            "BadLocation", f"{target.url} is not azure:<container>:/<path> of an account", "check the BackupStorage"
        )
    try:
        return Bucket(_azure(container, env), f"azure:{container}", path.strip("/"))
    except BaseError as error:
        said = str(error).partition("\n")[0][:200]
        raise MoverError("BadCredentials", f"azure:{container}: {said}", "check the storage's Secret") from error


def _azure(container: str, env: dict[str, str]) -> AzureStore:
    config: AzureConfig = {"account_name": env["AZURE_ACCOUNT_NAME"]}
    if key := env.get("AZURE_ACCOUNT_KEY"):
        config["account_key"] = key
    else:
        config |= service_principal(env)
    endpoint = env.get("AZURE_ENDPOINT", "")
    if endpoint:
        config["endpoint"] = endpoint
    plain = endpoint.startswith("http:")
    return AzureStore(container, config=config, client_options={"allow_http": plain}, retry_config=_RETRY)


class Bucket:
    """Documents below a prefix of a bucket. `make` makes the bucket when there is none, or raises what it is given."""

    def __init__(
        self,
        store: S3Store | AzureStore,
        place: str,
        prefix: str,
        make: Callable[[MoverError], None] | None = None,
    ) -> None:
        self._store, self._place, self._make = store, place, make
        self._prefix = f"{prefix}/" if prefix else ""

    def create(self) -> None:
        """Make the bucket when there is none."""
        try:
            self._do("list", "", lambda: next(self._pages(), None))
        except MoverError as error:
            if error.failure.reason != "NoBucket" or self._make is None:
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

    def folder(self, name: str) -> list[str]:
        """List the objects whose keys begin with a folder's name and have no further slash."""
        below = f"{self._prefix}{name}/"
        found = self._do("list", name, lambda: [path for page in self._pages(below) for path in page])
        return [path.removeprefix(self._prefix) for path in found if "/" not in path.removeprefix(below)]

    def wipe(self) -> int:
        """Delete every object below the prefix."""
        if not self._prefix:
            raise MoverError("RefusedToWipe", f"{self._place} is a whole bucket, not the folder of a Repository", "name a path")
        names = [self._prefix + name for name in self.names()]
        for start in range(0, len(names), 1000):
            self._do("delete", "", lambda start=start: obstore.delete(self._store, names[start : start + 1000]))
        return len(names)

    def _pages(self, prefix: str = "") -> Iterator[list[str]]:
        for page in obstore.list(self._store, prefix or self._prefix):  # pyright: ignore[reportUnknownMemberType]
            yield [entry["path"] for entry in page]

    def _do(self, verb: str, name: str, action: Callable[[], T]) -> T:
        where = f"{self._place}/{self._prefix}{name}".rstrip("/")
        try:
            return action()
        except (BaseError, OSError) as error:
            raise _translated(error, f"can't {verb} {where}") from error


def _make(store: S3Store, place: str, tls: ssl.SSLContext, missing: MoverError) -> None:
    """Make a bucket of S3, or raise why it is missing and could not be made."""
    address = obstore.sign(store, "PUT", "", timedelta(minutes=5))
    request = urllib.request.Request(address, data=b"", method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=tls):
            return
    except urllib.error.HTTPError as error:
        raise missing from error
    except OSError as error:
        raise MoverError("StoreUnavailable", f"{place}: {error}", "check the endpoint") from error


def _tls(keys: dict[str, str], *, insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=keys.get("CA_CERT_DATA"))
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


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
    if isinstance(error, UnauthenticatedError):
        return MoverError("BadCredentials", f"{what}: the server knows no such key", "check the storage's Secret")
    if isinstance(error, PermissionDeniedError | PermissionError):
        return MoverError(*("AccessDenied", f"{what}: the server refuses {code}".rstrip(), _REASONS["AccessDenied"][1]))
    cause = code or str(error).partition("\n")[0][:200]
    return MoverError("StoreUnavailable", f"{what}: {cause}", "check endpoint, network and TLS settings of the BackupStorage")
