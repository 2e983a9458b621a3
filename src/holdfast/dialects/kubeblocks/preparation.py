"""The documented steps by which a BackupRepo is prepared, each with a condition; the first one that fails stops the rest.

Pure: the conditions that hold now, and what shall exist when all do. The check itself comes after them.
"""

from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition
from holdfast.core.objects import Object
from holdfast.core.plan import Child, SecretCopy
from holdfast.core.ports import Refs
from holdfast.core.read import text
from holdfast.dialects.kubeblocks import names, parameters, rendering, storage_provider
from holdfast.dialects.kubeblocks.kinds import STORAGE_PROVIDER

PROVIDER_READY: Final = "StorageProviderReady"
PARAMETERS: Final = "ParametersChecked"
CLASS_CREATED: Final = "StorageClassCreated"
CLAIM_CHECKED: Final = "PVCTemplateChecked"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """How far the preparation gets. `provider` is None while a step fails; else children and Secrets shall exist."""

    conditions: tuple[Condition, ...]
    provider: Object | None = None
    digest: str = ""
    children: tuple[Child, ...] = ()
    copies: tuple[SecretCopy, ...] = ()


def method_of(repo: Object) -> str:
    """Return the access method, Mount or Tool."""
    return text(repo, "spec", "accessMethod", default="Mount")


def prepare(repo: Object, refs: Refs, home: str) -> Prepared:
    """Go through the steps."""
    name = text(repo, "spec", "storageProviderRef")
    provider = refs.get(STORAGE_PROVIDER, "", name)
    if provider is None:
        return _failed((), PROVIDER_READY, "StorageProviderNotFound", f"StorageProvider {name} not found: create it")
    reason, message = storage_provider.unusable(provider, method_of(repo), refs)
    if reason:
        return _failed((), PROVIDER_READY, reason, message)
    done = (condition(PROVIDER_READY, True, "StorageProviderReady", f"StorageProvider {name} can be used"),)
    if wrong := parameters.problems(repo, provider):
        return _failed(done, PARAMETERS, "ParametersInvalid", "; ".join(str(item) for item in wrong))
    done += (condition(PARAMETERS, True, "ParametersChecked", "the parameters are complete"),)
    tool = method_of(repo) == "Tool"
    return _tool(repo, provider, home, done) if tool else _mount(repo, provider, home, done)


def _tool(repo: Object, provider: Object, home: str, done: tuple[Condition, ...]) -> Prepared:
    try:
        rendering.try_all(repo, provider, home)
    except rendering.BadTemplate as error:
        return _failed(done[1:], PROVIDER_READY, "InvalidStorageProvider", str(error))
    skipped = "accessMethod Tool needs none"
    return Prepared(
        conditions=(
            *done,
            condition(CLASS_CREATED, True, "Skipped", skipped),
            condition(CLAIM_CHECKED, True, "Skipped", skipped),
        ),
        provider=provider,
        digest=rendering.digest(repo, provider),
        copies=(rendering.tool_config(repo, provider, home),),
    )


def _mount(repo: Object, provider: Object, home: str, done: tuple[Condition, ...]) -> Prepared:
    try:
        rendering.try_all(repo, provider, home)
        secret = rendering.csi_secret(repo, provider, home)
    except rendering.BadTemplate as error:
        return _failed(done, CLASS_CREATED, "PrepareCSISecretFailed", str(error))
    try:
        made = rendering.storage_class(repo, provider, home)
    except rendering.BadTemplate as error:
        return _failed(done, CLASS_CREATED, "PrepareStorageClassFailed", str(error))
    said = f"StorageClass {names.storage_class(repo)}" if made else "the claim names a StorageClass that exists"
    done += (condition(CLASS_CREATED, True, "StorageClassCreated" if made else "Skipped", said),)
    try:
        rendering.claim(repo, provider, home, home, names.claim(repo))
    except rendering.BadTemplate as error:
        return _failed(done, CLAIM_CHECKED, "BadPVCTemplate", str(error))
    return Prepared(
        conditions=(*done, condition(CLAIM_CHECKED, True, "PVCTemplateChecked", "the claim can be made")),
        provider=provider,
        digest=rendering.digest(repo, provider),
        children=(Child(made, create_only=True),) if made else (),
        copies=(secret,) if secret else (),
    )


def _failed(done: tuple[Condition, ...], type_: str, reason: str, message: str) -> Prepared:
    return Prepared(conditions=(*done, condition(type_, False, reason, message)))
