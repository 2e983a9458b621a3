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
    """One served version of one kind. `storage` is the version whose apiVersion the stored bytes carry.

    `selectable` are the paths that a field selector may name beside those of the metadata. The last four fields follow from
    the others: `v1` or `group/version`, the same of the stored bytes, the key of the kind's objects in the store (the same
    for all its versions), and whether status is written through its own subresource only.
    """

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
    selectable: tuple[str, ...] = ()
    custom: bool = False
    api_version: str = ""
    storage_api_version: str = ""
    resource: str = ""
    has_status: bool = False

    def __post_init__(self) -> None:
        """Spell once what every request asks for."""
        head = f"{self.group}/" if self.group else ""
        msgspec.structs.force_setattr(self, "api_version", f"{head}{self.version}")
        msgspec.structs.force_setattr(self, "storage_api_version", f"{head}{self.storage or self.version}")
        msgspec.structs.force_setattr(self, "resource", f"{self.group}/{self.plural}")
        msgspec.structs.force_setattr(self, "has_status", "status" in self.subresources)

    @property
    def list_name(self) -> str:
        """Kind of the list document."""
        return self.list_kind or f"{self.kind}List"
