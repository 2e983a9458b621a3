"""What the server knows of a kind: names, scope, subresources, printer columns, schema.

Built-in kinds are a table of these; a CustomResourceDefinition becomes one `Kind` per served version.
"""

import datetime as dt
from collections.abc import Callable

import msgspec

from holdfast.embedded.apiserver.objects import Object
from holdfast.schema.structural import Schema


class Column(msgspec.Struct, frozen=True):
    """One printer column: a JSONPath without braces, or a `cell` function. `priority` above 0 shows only in wide output."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""
    cell: Callable[[Object, dt.datetime], object] | None = None


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One served version of one kind. `storage` is the version whose apiVersion the stored bytes carry."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    storage: str = ""
    schema: Callable[[], Schema] | None = None
    openapi: Callable[[], Object] | None = None
    scale: Object | None = None
    custom: bool = False

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage_api_version(self) -> str:
        """The apiVersion that stored objects carry."""
        version = self.storage or self.version
        return f"{self.group}/{version}" if self.group else version

    @property
    def resource(self) -> str:
        """The key of this kind's objects in the store, the same for all its versions."""
        return f"{self.group}/{self.plural}"

    @property
    def list_name(self) -> str:
        """Kind of the list document."""
        return self.list_kind or f"{self.kind}List"

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own subresource only."""
        return "status" in self.subresources
