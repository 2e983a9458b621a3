"""What an operator puts into its API server before it starts: CRDs, and the built-in Addons, Functions and roles.

The CRDs come from the types of this very build, so that operator and schema can't differ. The other manifests lie in
`deploy/addons` and are part of the package. Everything is applied server-side: a second time changes nothing. The CRD of a
kind that only is referred to stays as it is when somebody else's operator has brought it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

import holdfast
from holdfast.cli.dialects import ALL_KINDS, KINDS, OWN_KINDS, resources
from holdfast.cli.errors import HoldfastError
from holdfast.core.objects import Object, kind_of
from holdfast.embedded.read import items
from holdfast.kube.builtin import CRDS
from holdfast.kube.client import Client
from holdfast.schema.emit import HOLDFAST, MANAGED_BY, crd


def deploy_dir() -> Path:
    """Return the folder of manifests: of the installed package, or of the source tree."""
    package = Path(holdfast.__file__).resolve().parent
    for folder in (package / "_deploy", package.parents[1] / "deploy"):
        if (folder / "addons").is_dir():
            return folder
    raise HoldfastError(f"the manifests of deploy/addons are neither in {package} nor beside it: install holdfast anew")


def addons(api: str = "") -> Sequence[Object]:
    """Return the built-in Addons, providers and ClusterRoles of movers: all, those of one API, or (`.`) those of none."""
    folders = [path for path in sorted((deploy_dir() / "addons").iterdir()) if path.is_dir()]
    chosen = [path for path in folders if api in ("", path.name) or (api == "." and path.name not in KINDS)]
    return [obj for folder in chosen for obj in manifests(folder)]


async def install(client: Client) -> None:
    """Install everything and return when the API server serves every kind."""
    present = {obj["metadata"]["name"]: obj for obj in (await client.list(CRDS)).items}
    specs = [spec for kinds in ALL_KINDS.values() for spec in kinds]
    crds = [crd(spec) for spec in specs if not spec.referenced or _ours(present.get(spec.crd_name))]
    for document in crds:
        await client.apply(CRDS, document)
    await _established(client, {document["metadata"]["name"] for document in crds})
    known = resources()
    for document in addons():
        if (kind := kind_of(document)) not in OWN_KINDS:
            await client.apply(known[kind], document)


async def supply(client: Client, apis: Sequence[str]) -> None:
    """Apply the built-in objects of these APIs' own kinds: an operator's start brings them to the version that it speaks."""
    known = resources()
    for document in (obj for api in apis for obj in addons(api)):
        if (kind := kind_of(document)) in OWN_KINDS:
            await client.apply(known[kind], document)


def _ours(present: Object | None) -> bool:
    """Whether a CRD that another operator may own is missing, or was made by us."""
    return present is None or present["metadata"].get("labels", {}).get(MANAGED_BY) == HOLDFAST


def manifests(folder: Path) -> Iterator[Object]:
    """Return every document of every YAML file below a folder, in the order of their names."""
    for path in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document:
                yield document


async def _established(client: Client, waiting: set[str]) -> None:
    listing = await client.list(CRDS)
    waiting -= {obj["metadata"]["name"] for obj in listing.items if _is_established(obj)}
    if not waiting:
        return
    async for event in client.watch(CRDS, resource_version=listing.resource_version):
        if _is_established(event.object):
            waiting.discard(event.object["metadata"]["name"])
        if not waiting:
            return


def _is_established(obj: Object) -> bool:
    return any(each["type"] == "Established" and each["status"] == "True" for each in items(obj, "status", "conditions"))
