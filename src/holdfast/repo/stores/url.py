"""Repository URLs, written as the stock program writes them, and the stores behind them.

| URL | store |
| --- | --- |
| `/path`, `local:/path` | a directory |
| `s3:https://host:port/bucket/prefix`, `s3:host/bucket/prefix` | a bucket |
| `rest:https://host:port/path/`, `rest:http+unix:///socket:/path/` | a REST server |
| `azure:container:/path` | a container |
| `sftp:` `gs:` `b2:` `swift:` `rclone:` | whatever rclone reaches, see `remotes` |

Credentials come from the environment mapping that the caller hands in, never from the URL. Clients are loaded at need.
"""

from collections.abc import Mapping
from pathlib import Path

from holdfast.repo.errors import BadLocation
from holdfast.repo.store import Store
from holdfast.repo.stores.limits import ConcurrencyLimitedStore, Rate, RateLimitedStore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.stores.metrics import MeasuredStore
from holdfast.repo.stores.options import StoreOptions
from holdfast.repo.stores.retry import RetryingStore

SCHEMES = ("local", "s3", "azure", "rest", "sftp", "gs", "b2", "swift", "rclone")


def open_store(url: str, env: Mapping[str, str], options: StoreOptions | None = None) -> Store:
    """The store that a URL names. Nothing is read, written or started yet. Raises BadLocation, BadCredentials.

    Remote stores try again what failed for a passing reason, and count what they do; see `StoreOptions` for limits.
    """
    scheme, colon, _ = url.partition(":")
    wanted = options or StoreOptions()
    if not colon or url.startswith(("/", "./", "../")):
        return _limited(_directory(url), wanted)
    if scheme == "local":
        return _limited(_directory(url.removeprefix("local:")), wanted)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}:" for name in SCHEMES)
        raise BadLocation(
            f"{_without_user(url)!r} is not a repository of a kind that is supported: use a path or one of {known}"
        )
    return RetryingStore(_limited(MeasuredStore(_remote(scheme, url, env, wanted)), wanted))


def _remote(scheme: str, url: str, env: Mapping[str, str], options: StoreOptions) -> Store:
    if scheme == "s3":
        from holdfast.repo.stores.s3 import open_s3

        return open_s3(url, env, options)
    if scheme == "azure":
        from holdfast.repo.stores.azure import open_azure

        return open_azure(url, env)
    if scheme == "rest":
        from holdfast.repo.stores.rest import open_rest

        return open_rest(url, env)
    from holdfast.repo.stores.rclone import RcloneStore
    from holdfast.repo.stores.remotes import find_remote

    return RcloneStore(find_remote(url, env), env)


def _limited(store: Store, options: StoreOptions) -> Store:
    if options.upload_rate or options.download_rate:
        upload = Rate(options.upload_rate) if options.upload_rate else None
        download = Rate(options.download_rate) if options.download_rate else None
        store = RateLimitedStore(store, upload=upload, download=download)
    return ConcurrencyLimitedStore(store, options.connections) if options.connections else store


def _directory(path: str) -> Store:
    if not path:
        raise BadLocation("the repository's URL is empty: use a path, or a URL such as s3:https://<host>/<bucket>/<prefix>")
    return LocalStore(Path(path))


def _without_user(url: str) -> str:
    before, at, after = url.rpartition("@")
    return f"{before.partition('//')[0]}//...@{after}" if at else url
