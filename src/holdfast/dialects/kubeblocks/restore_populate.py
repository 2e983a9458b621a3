"""Claims whose data source is a Restore: they are filled from its Backup before anybody sees them."""

from datetime import datetime

from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Plan, Problem, Problems, RunKind
from holdfast.core.ports import View
from holdfast.core.read import flag, mapping, name_of, namespace_of, uid_of
from holdfast.dialects.kubeblocks import restore_plan, restore_sources
from holdfast.dialects.kubeblocks.kinds import JOB, RESTORE
from holdfast.dialects.kubeblocks.refusal import Refusal


class RestorePopulating:
    """Fills claims from Restores; see `core.populate`. `home` is the controller's namespace."""

    source = RESTORE

    def __init__(self, home: str) -> None:
        self._home = home

    def fill(self, claim: Object, source: Object, scratch: str, view: View, now: datetime) -> Desired | Problems:
        """Return the jobs that fill the scratch claim, one after the other."""
        wanted = mapping(source, "spec", "prepareDataConfig", "dataSourceRef")
        if not wanted:
            said = f"Restore {name_of(source)} is no data source: set its spec.prepareDataConfig.dataSourceRef"
            return Problems((Problem("spec.dataSourceRef", said),))
        begun = bool(view.list(JOB, label=(OWNER_UID, uid_of(claim))))
        found = restore_sources.sources(source, view, begun=begun)
        if isinstance(found, Refusal):
            return Problems((Problem("spec.dataSourceRef", found.message),))
        if any(flag(each.method, "snapshotVolumes") for each in found):
            said = f"Restore {name_of(source)} brings back a volume snapshot: name the claim in its volumeClaims instead"
            return Problems((Problem("spec.dataSourceRef", said),))
        prepared = restore_plan.prepared(_as_if_asked(claim, source, wanted, scratch), found, view, self._home)
        if isinstance(prepared, Refusal):
            return Problems((Problem("spec.dataSourceRef", prepared.message),))
        if not prepared.works:
            return Problems(
                (Problem("spec.dataSourceRef", "the backup's action set has no restore.prepareData: nothing fills it"),)
            )
        plan = Plan(name="prepare", kind=RunKind.RESTORE, steps=tuple(work.step for work in prepared.works))
        return Desired(children=prepared.children, secret_copies=prepared.copies, runs=(plan,))


def _as_if_asked(claim: Object, restore: Object, wanted: Object, scratch: str) -> Object:
    """Return the Restore as if it asked for the scratch claim, under the claim's uid: so names are the claim's own."""
    asked = {**wanted, "metadata": {"name": scratch}, "volumeClaimSpec": mapping(claim, "spec")}
    config = {key: value for key, value in mapping(restore, "spec", "prepareDataConfig").items() if key == "schedulingSpec"}
    meta = {**mapping(restore, "metadata"), "uid": uid_of(claim), "namespace": namespace_of(claim)}
    spec = {**mapping(restore, "spec"), "prepareDataConfig": {**config, "volumeClaims": [asked]}}
    return {**restore, "metadata": meta, "spec": spec}
