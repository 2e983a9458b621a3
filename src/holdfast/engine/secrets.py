"""Secrets that pods need in another namespace: read by name, projected, never cached, never shown.

A copy carries our label and the version of its source; only such a Secret is ever overwritten. Values pass through one
function and are in no message, no log and no repr.
"""

import base64
import contextlib
from collections.abc import Sequence
from typing import Final

from holdfast.core.labels import OWNER, OWNER_UID, annotation
from holdfast.core.objects import Object, Ref, owner_reference, ref_of
from holdfast.core.plan import Recipe, SecretCopy, SecretHold
from holdfast.core.read import mapping, text
from holdfast.engine.grants import Grants
from holdfast.engine.jobs import marks_of, owner_name
from holdfast.kube.builtin import SECRETS
from holdfast.kube.client import Client
from holdfast.kube.errors import NotFound
from holdfast.kube.objects import labels_of

COPIED_FROM: Final = "holdfast.dev/copied-from"
"""Annotation on a copy: `namespace/name@version` of its source."""


class SecretRefused(Exception):
    """A Secret can't be projected. The text says which, and what to do; never a value."""


class SecretCopier:
    """Reads and writes Secrets through one client, each namespace's with a grant if that is needed."""

    def __init__(self, client: Client, grants: Grants | None = None) -> None:
        self._client, self._grants = client, grants or Grants(client)

    async def missing(self, copies: Sequence[SecretCopy]) -> str:
        """Return which sources are missing, as one sentence; empty when all are there."""
        sources = dict.fromkeys(copy.source for copy in copies if copy.source is not None and not copy.optional)
        absent = [str(source) for source in sources if await self._read(source) is None]
        if not absent:
            return ""
        return f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing: create what is named"

    async def copy(self, owner: Object, copy: SecretCopy) -> bool:
        """Bring one copy in line; return whether anything was written. Raises SecretRefused."""
        source = await self._read(copy.source) if copy.source is not None else {}
        if source is None:
            if copy.optional:
                return False
            raise SecretRefused(f"{copy.source} is missing: create it")
        target = await self._read(copy.target)
        if target is not None and copy.recipe is not None and copy.recipe.once:
            return False
        if target is not None and OWNER_UID not in labels_of(target):
            raise SecretRefused(f"{copy.target} exists and is not a copy made by Holdfast: rename or remove it")
        origin = _origin(copy, source)
        if target is not None and annotation(target, COPIED_FROM) == origin:
            return False
        await self.write(_projected(copy.owner or owner, copy, source, origin))
        return True

    async def entry(self, ref: Ref, key: str) -> str | None:
        """Return one entry of a Secret as text; None for one that is missing, or is no text."""
        source = await self._read(ref)
        value = text(source, "data", key) if source is not None else ""
        try:
            return base64.b64decode(value).decode() if value else None
        except ValueError:
            return None

    async def keep(self, owner: Object, secret: Object) -> None:
        """Write a Secret that belongs to `owner`. Raises SecretRefused when the name is taken by one that does not."""
        ref = ref_of(secret)
        there = await self._read(ref)
        if there is not None and labels_of(there).get(OWNER_UID) != owner["metadata"]["uid"]:
            raise SecretRefused(f"{ref} exists and does not belong to this object: rename or remove it")
        await self.write(owned_secret(owner, secret))

    async def hold(self, hold: SecretHold) -> None:
        """Put the finalizer of a hold on its Secret, or take it off. Raises SecretRefused when what shall stay is not there."""
        ref = hold.secret
        there = await self._read(ref)
        if there is None:
            if hold.held:
                raise SecretRefused(f"{ref} is missing: create it")
            return
        names: list[str] = there["metadata"].get("finalizers", [])
        if (hold.finalizer in names) == hold.held:
            return
        kept = [*names, hold.finalizer] if hold.held else [name for name in names if name != hold.finalizer]
        body: Object = {"metadata": {"finalizers": kept}}
        version = there["metadata"]["resourceVersion"]
        with contextlib.suppress(NotFound):
            await self._grants.call(
                ref.namespace,
                lambda: self._client.merge_patch(SECRETS, ref.name, ref.namespace, body, resource_version=version),
            )

    async def write(self, secret: Object) -> Object:
        """Apply a Secret and return it as it is stored."""
        return await self._grants.call(secret["metadata"]["namespace"], lambda: self._client.apply(SECRETS, secret))

    async def _read(self, ref: Ref) -> Object | None:
        try:
            return await self._grants.call(ref.namespace, lambda: self._client.get(SECRETS, ref.name, ref.namespace))
        except NotFound:
            return None


def owned_secret(owner: Object, secret: Object) -> Object:
    """Return a Secret with our marks, which goes when its owner goes."""
    own = {
        "labels": {**labels_of(secret), **marks_of(owner)},
        "annotations": {OWNER: owner_name(owner)},
        "ownerReferences": [owner_reference(owner, controller=False)],
    }
    return {**secret, "metadata": {**secret["metadata"], **own}}


def _origin(copy: SecretCopy, source: Object) -> str:
    """Return what the values of a copy depend on."""
    version = mapping(source, "metadata").get("resourceVersion", "")
    origin = f"{copy.source.namespace}/{copy.source.name}@{version}" if copy.source else "made"
    return f"{origin}+{copy.recipe.version}" if copy.recipe else origin


def _projected(holder: Object, copy: SecretCopy, source: Object, origin: str) -> Object:
    meta: Object = {"name": copy.target.name, "namespace": copy.target.namespace}
    if copy.recipe is None or not copy.recipe.once:
        meta["labels"] = marks_of(holder)
        meta["annotations"] = {COPIED_FROM: origin, OWNER: owner_name(holder)}
        if holder["metadata"].get("namespace", "") in ("", copy.target.namespace):
            meta["ownerReferences"] = [owner_reference(holder, controller=False)]
    data = mapping(source, "data")
    if copy.recipe is not None:
        data = _made(copy, copy.recipe, data)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": source.get("type", "Opaque"), "data": data}


def _made(copy: SecretCopy, recipe: Recipe, data: Object) -> Object:
    """Return the entries that a recipe makes. Raises SecretRefused, without a value."""
    given: dict[str, str] = {}
    for key, value in data.items():
        try:
            given[key] = base64.b64decode(value).decode()
        except ValueError:
            raise SecretRefused(f"{copy.source}: entry {key} is no text") from None
    try:
        made = recipe.make(given)
    except ValueError as error:
        raise SecretRefused(f"{copy.source or copy.target}: {error}") from None
    return {key: base64.b64encode(value.encode()).decode() for key, value in made.items()}
