"""StorageProvider: how a kind of storage is reached, and whether this cluster can.

It is Ready when its templates can be read and its CSI driver, if it names one, is installed. A provider that is not Ready for
want of a driver still serves repositories with access method Tool, as its condition says.
"""

from datetime import datetime
from typing import Final

from holdfast.core.conditions import Condition, condition, is_true, remove, upsert
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import conditions_of, mapping, name_of, text
from holdfast.dialects.kubeblocks import parameters, rendering
from holdfast.dialects.kubeblocks.kinds import CSI_DRIVER, STORAGE_PROVIDER

INSTALLED: Final = "CSIDriverInstalled"
VALID: Final = "TemplatesValid"


class StorageProviderHandler:
    """Handles StorageProviders."""

    kind = STORAGE_PROVIDER
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge templates and schema of the parameters on their own."""
        found = [Problem(f"spec.{said.split(': ', 1)[-1].split(' ', 1)[0]}", said) for said in rendering.mistakes(obj)]
        if said := parameters.schema_problem(obj):
            found.append(Problem("spec.parametersSchema", said))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Look for the CSI driver; a repository does all the rest."""
        installed(obj, view)
        return self.validate(obj, None, view) or Desired()

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Say whether the storage can be reached."""
        conditions = conditions_of(obj)
        if outcome.problems is not None:
            judged = condition(VALID, False, "InvalidStorageProvider", str(outcome.problems))
            return {"phase": "NotReady", "conditions": upsert(conditions, judged, now)}
        conditions = upsert(remove(conditions, VALID), installed(obj, view), now)
        return {"phase": "Ready" if is_true(conditions, INSTALLED) else "NotReady", "conditions": conditions}


def installed(obj: Object, refs: Refs) -> Condition:
    """Return whether the CSI driver is there; one that is not named is not needed."""
    driver = text(obj, "spec", "csiDriverName")
    if not driver:
        return condition(INSTALLED, True, "NoCSIDriver", "this storage needs no CSI driver")
    if refs.get(CSI_DRIVER, "", driver) is not None:
        return condition(INSTALLED, True, "CSIDriverObjectFound", f"CSIDriver {driver} is installed")
    still = "; repositories with accessMethod Tool work without it" if rendering.has(obj, "datasafedConfigTemplate") else ""
    return condition(INSTALLED, None, "CheckCSIDriverFailed", f"CSIDriver {driver} is not installed: install it{still}")


def unusable(provider: Object, method: str, refs: Refs) -> tuple[str, str]:
    """Return why repositories with an access method can't use a provider, as (reason, message); both empty when they can."""
    name = f"StorageProvider {name_of(provider)}"
    mistakes = rendering.mistakes(provider)
    schema = parameters.schema_problem(provider)
    if mistakes or schema:
        return "InvalidStorageProvider", "; ".join([*mistakes, *([f"{name}: {schema}"] if schema else [])])
    if method == "Tool":
        if rendering.has(provider, "datasafedConfigTemplate"):
            return "", ""
        return "InvalidStorageProvider", f"{name} has no datasafedConfigTemplate: use accessMethod Mount"
    if not (mapping(provider, "spec") and _mountable(provider)):
        return "InvalidStorageProvider", f"{name} has no storageClassTemplate and no claim's template: use accessMethod Tool"
    driver = installed(provider, refs)
    return ("", "") if driver.status == "True" else ("StorageProviderNotReady", driver.message)


def _mountable(provider: Object) -> bool:
    return rendering.has(provider, "storageClassTemplate") or rendering.has(provider, "persistentVolumeClaimTemplate")
