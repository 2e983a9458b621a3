"""The places a repository can live in: directories, S3, REST servers, and all that rclone reaches; see `docs/stores.md`."""

from holdfast.repo.stores.options import ObjectLock, StoreOptions
from holdfast.repo.stores.url import open_store

__all__ = ["ObjectLock", "StoreOptions", "open_store"]
