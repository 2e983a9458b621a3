"""Repository URLs, written as the stock program writes them, and the stores behind them.

`/path` or `local:/path` is a directory, `s3:http://host:port/bucket/prefix` or `s3:host/bucket/prefix` a bucket. Credentials
come from the environment mapping that the caller hands in, never from the URL. The S3 client is loaded only when it is needed.
"""

from collections.abc import Mapping
from pathlib import Path

from holdfast.repo.errors import BadLocation
from holdfast.repo.local import LocalStore
from holdfast.repo.retry import RetryingStore
from holdfast.repo.store import Store


def open_store(url: str, env: Mapping[str, str]) -> Store:
    """The store that a URL names. Nothing is read or written yet. Raises BadLocation."""
    if url.startswith("s3:"):
        from holdfast.repo.s3 import open_s3

        return RetryingStore(open_s3(url, env))
    path = url.removeprefix("local:")
    if path.startswith(("/", "./", "../")):
        return LocalStore(Path(path))
    if not path or ":" in path:
        raise BadLocation(
            f"{url!r} is not a repository of a kind that is supported: use a path or s3:<endpoint>/<bucket>/<prefix>"
        )
    return LocalStore(Path(path))
