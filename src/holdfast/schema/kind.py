"""One kind of an API as data: its names, its struct, and the columns that `kubectl get` prints."""

from __future__ import annotations

import msgspec

from holdfast.schema.fields import Wire


class Column(msgspec.Struct, frozen=True):
    """One printer column; `path` is a simple JSONPath below the object, such as `.status.phase`."""

    name: str
    path: str
    type: str = "string"


AGE = Column("Age", ".metadata.creationTimestamp", "date")


class KindSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A kind. `type` is the struct of the whole object, with fields `spec` and, where there is one, `status`.

    A `referenced` kind belongs to somebody else's operator: it is installed only where nobody has, and never replaced.
    """

    group: str
    version: str
    kind: str
    plural: str
    type: type[Wire]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    columns: tuple[Column, ...] = (AGE,)
    referenced: bool = False

    @property
    def api_version(self) -> str:
        """Group and version as objects carry them."""
        return f"{self.group}/{self.version}"

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"

    @property
    def status(self) -> bool:
        """Whether the kind has a status, which is then a subresource."""
        return "status" in self.type.__struct_fields__
