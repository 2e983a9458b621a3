"""The kinds that are served now: the built-in table and what CustomResourceDefinitions add to it."""

from collections.abc import Iterable

from holdfast.embedded.apiserver.builtin import KINDS
from holdfast.embedded.apiserver.kinds import Kind


class Registry:
    """Finds a kind by URL or by name. `serial` changes with every change of what is served."""

    def __init__(self) -> None:
        self.serial = 0
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._custom: dict[str, list[Kind]] = {}
        for kind in KINDS:
            self._by_path[kind.group, kind.version, kind.plural] = kind

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind behind a URL, or None."""
        return self._by_path.get((group, version, plural))

    def all(self) -> Iterable[Kind]:
        """Every served version of every kind, built-in ones first."""
        return self._by_path.values()

    def named(self, group: str, kind: str) -> Kind | None:
        """Any served version of a kind by group and name, the storage version first."""
        found = [item for item in self._by_path.values() if item.group == group and item.kind == kind]
        return next((item for item in found if item.version == item.storage), found[0] if found else None)

    def of_resource(self, res: str) -> Kind | None:
        """Any served version of the kind whose objects are stored under `group/plural`."""
        group, _, plural = res.rpartition("/")
        found = [item for item in self._by_path.values() if item.group == group and item.plural == plural]
        return next((item for item in found if item.version == item.storage), found[0] if found else None)

    def install(self, crd: str, kinds: list[Kind]) -> None:
        """Serve the versions of a CustomResourceDefinition, in place of what it served before."""
        self.remove(crd)
        self._custom[crd] = kinds
        for kind in kinds:
            self._by_path[kind.group, kind.version, kind.plural] = kind
        self.serial += 1

    def remove(self, crd: str) -> None:
        """Stop serving a CustomResourceDefinition."""
        for kind in self._custom.pop(crd, []):
            self._by_path.pop((kind.group, kind.version, kind.plural), None)
        self.serial += 1
