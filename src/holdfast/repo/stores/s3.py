"""Repositories in buckets of any S3-compatible service: URL, environment and options.

Path-style requests by default, `http` and `https`, a CA of one's own, region us-east-1 unless told otherwise. Credentials are
handed over in memory and appear in no message.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from obstore.store import S3Store

from holdfast.repo.errors import BadCredentials, BadLocation
from holdfast.repo.store import Store
from holdfast.repo.stores.bucket import Bucket, Place
from holdfast.repo.stores.http import is_on, read_ca
from holdfast.repo.stores.options import StoreOptions

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

DEFAULT_REGION = "us-east-1"
REQUEST_TIMEOUT = timedelta(minutes=5)
CONNECT_TIMEOUT = timedelta(seconds=10)

_CHAIN = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


class S3Location(msgspec.Struct, frozen=True):
    """Where in S3: `endpoint` with scheme and port, bucket, prefix without slashes at its ends."""

    endpoint: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3:{self.endpoint}/{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def place(self) -> Place:
        """The same without the way to get there."""
        return Place(str(self), self.bucket, self.prefix)


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


def open_s3(url: str, env: Mapping[str, str], options: StoreOptions | None = None) -> Store:
    """The store of an S3 URL. Raises BadLocation, BadCredentials.

    `env` holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and where needed AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, AWS_CA_BUNDLE
    (a file), AWS_S3_ADDRESSING_STYLE (`path` or `virtual`) and AWS_INSECURE_TLS (`true` accepts any certificate).
    """
    location, wanted = parse_s3(url), options or StoreOptions()
    scheme = location.endpoint.partition("://")[0]
    client: ClientConfig = {
        "allow_http": scheme == "http",
        "timeout": REQUEST_TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
    }
    ca = read_ca(env)
    insecure = is_on(env, "AWS_INSECURE_TLS") or is_on(env, "RESTIC_INSECURE_TLS")
    if ca:
        client["root_certificate"] = ca
    if insecure:
        client["allow_invalid_certificates"] = True
    config = _config(location, env, wanted)
    bucket = S3Store(location.bucket, config=config, client_options=client, retry_config={"max_retries": 0})
    store = Bucket(bucket, location.place, ca, insecure=insecure, storage_class=wanted.storage_class)
    if wanted.object_lock is None:
        return store
    from holdfast.repo.stores.objectlock import open_locked

    return open_locked(store, location.place, location.endpoint, env, wanted)


def _config(location: S3Location, env: Mapping[str, str], options: StoreOptions) -> "S3Config":
    scheme, _, host = location.endpoint.partition("://")
    virtual = env.get("AWS_S3_ADDRESSING_STYLE", "path") == "virtual"
    config: S3Config = {
        "endpoint": f"{scheme}://{location.bucket}.{host}" if virtual else location.endpoint,
        "region": region(env),
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
    if options.encryption:
        config["server_side_encryption"] = options.encryption
    if options.kms_key_id:
        config["sse_kms_key_id"] = options.kms_key_id
    return config


def region(env: Mapping[str, str]) -> str:
    """The region to sign for."""
    return env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") or DEFAULT_REGION
