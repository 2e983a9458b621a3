"""A resource as REST knows it: group, version, plural and scope, and the URL path that follows from them."""

from urllib.parse import quote

import msgspec

from holdfast.kube.objects import Object


class Resource(msgspec.Struct, frozen=True):
    """The REST mapping of one kind."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` in the core group, `apps/v1` elsewhere."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        """As kubectl names it: `pods`, `jobs.batch`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Build the URL path of the collection, of one object, or of its subresource.

        A namespaced resource without a namespace means all namespaces, which only a collection can.
        """
        if self.namespaced and not namespace and name:
            raise ValueError(f"{self} {name}: a namespace is needed, since {self.kind} is namespaced")
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        tail = f"/{quote(name, safe='')}" if name else ""
        return f"{root}{scope}/{self.plural}{tail}" + (f"/{subresource}" if subresource else "")

    @classmethod
    def of_crd(cls, crd: Object, version: str = "") -> "Resource":
        """Read the mapping from a CustomResourceDefinition: the version asked for, else the storage version."""
        spec = crd["spec"]
        stored = next((item["name"] for item in spec["versions"] if item.get("storage")), "")
        names = spec["names"]
        return cls(spec["group"], version or stored, names["kind"], names["plural"], spec.get("scope") == "Namespaced")
