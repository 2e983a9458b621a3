"""Makes the copies that an objectstore lists known to this installation, so that they can be restored here.

What each copy holds lies in the store's own repository, encrypted, as one small file with a tag. Points that are known are left
alone; the clusters and definitions they came from need not exist here.
"""

import asyncio
import base64
import io
from typing import Any, Final, cast

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.core.objects import Object
from holdfast.core.read import flag, mapping, text
from holdfast.dialects.cloudcasa.catalog import FILE, FOLDER, TAG
from holdfast.dialects.cloudcasa.kinds import API_VERSION, BACKUPDEF, BACKUPINSTANCE, IDENT, OBJECTSTORE, secret_name
from holdfast.dialects.cloudcasa.stores import target_of, url_of
from holdfast.kube.builtin import SECRETS
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, Forbidden, NotFound
from holdfast.repo.browse import Trees
from holdfast.repo.dump import dump
from holdfast.repo.errors import RepositoryError
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from holdfast.rest.state import RESOURCES

_OPTIONS: Final = {"region": "AWS_DEFAULT_REGION", "insecure_tls": "AWS_INSECURE_TLS", "account": "AZURE_ACCOUNT_NAME"}


async def import_points(client: Client, organization: str, objectstore: str) -> list[str]:
    """Make the points of an objectstore and return the ids of those that were not known. Raises HoldfastError, ApiError.

    The Secret is read with the caller's own rights: a command never gives its caller more of them.
    """
    try:
        store = await client.get(RESOURCES[OBJECTSTORE], objectstore, organization)
        secret = await client.get(SECRETS, secret_name(objectstore), organization)
    except Forbidden as error:
        raise HoldfastError(f"{error}: run this as somebody who may read that Secret") from error
    except NotFound as error:
        raise HoldfastError(f"objectstore {objectstore}: {error}") from error
    data = {key: base64.b64decode(value).decode() for key, value in mapping(secret, "data").items()}
    try:
        found = await asyncio.to_thread(_listed, store, data)
    except RepositoryError as error:
        raise HoldfastError(f"objectstore {objectstore}: {error}") from error
    made: list[str] = []
    for document in found:
        point = _point(document, organization, store)
        try:
            await client.create(RESOURCES[BACKUPINSTANCE], point)
        except AlreadyExists:
            continue
        made.append(point["metadata"]["name"])
    return made


def _listed(store: Object, data: dict[str, str]) -> list[Object]:
    """Read every list of a copy in a store's repository."""
    spec = mapping(store, "spec")
    environment = {key: value for key, value in data.items() if key != "RESTIC_PASSWORD"}
    environment |= {_OPTIONS[name]: value for name, value in target_of(store).options.items() if name in _OPTIONS}
    if flag(spec, "skip_tls_certificate_validation"):
        environment["AWS_INSECURE_TLS"] = "true"
    with Repository.open(open_store(url_of(spec), environment), data.get("RESTIC_PASSWORD", "")) as repo:
        listed = [snapshot for snapshot in repo.snapshots() if TAG in snapshot.tags]
        return [document for snapshot in listed if (document := _document(repo, snapshot.id)) is not None]


def _document(repo: Repository, snapshot: str) -> Object | None:
    """Read one list; None for one that is none of ours."""
    out, trees = io.BytesIO(), Trees(repo)
    dump(repo, trees, repo.snapshot(snapshot).tree, f"{FOLDER}/{FILE}", out)
    found: Any = msgspec.json.decode(out.getvalue())
    document = cast(Object, found) if isinstance(found, dict) else {}
    return {**document, "_listed": snapshot} if IDENT.fullmatch(text(document, "_id")) else None


def _point(document: Object, organization: str, store: Object) -> Object:
    """Return the recovery point of a list, in this installation's objectstore."""
    spec = {key: value for key, value in document.items() if not key.startswith("_")}
    where = mapping(spec, "backup_location", "backup_location_info")
    spec["backup_location"] = {"backup_location_info": {**where, "catalog": [document["_listed"]]}}
    spec["objectstore"] = store["metadata"]["name"]
    meta: Object = {"name": document["_id"], "namespace": organization, "labels": {BACKUPDEF: text(spec, "backupdef")}}
    return {"apiVersion": API_VERSION, "kind": BACKUPINSTANCE.kind, "metadata": meta, "spec": spec}
