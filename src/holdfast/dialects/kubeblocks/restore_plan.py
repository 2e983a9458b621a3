"""The steps of a Restore: claims are filled set by set, then come the steps for the service that runs on them.

Jobs are `restore-preparedata-<uid8>-<backup>-<i>` and `restore-post-ready-<uid8>-<backup>-<step>-<i>`; a longer name keeps its
first 57 characters and its last five, as documented. With Serial a job and its claims come after the one before has ended well.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.core.objects import Object, bounded_name
from holdfast.core.plan import Child, Phase, SecretCopy, Step
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, number, strings, text
from holdfast.dialects.kubeblocks import hooks, names, repos, resources, restore_claims, restore_env, worker, workload
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.dialects.kubeblocks.repos import Reached
from holdfast.dialects.kubeblocks.restore_claims import Claim
from holdfast.dialects.kubeblocks.restore_sources import Source

EXTRAS: Final = "dataprotection.kubeblocks.io/extras"
_DOWNWARD: Final = "dp-downward"
_PLACING: Final = ("tolerations", "nodeSelector", "nodeName", "affinity", "topologySpreadConstraints", "schedulerName")


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One job of a Restore: what it restores, and the claims that must be there before it."""

    step: Step
    source: Source
    claims: tuple[Claim, ...] = ()

    @property
    def job(self) -> str:
        """The name of its Job."""
        return str(self.step.child["metadata"]["name"])


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a Restore that fills claims. `claims` are all of them, also where no job is needed."""

    works: tuple[Work, ...] = ()
    claims: tuple[Claim, ...] = ()
    children: tuple[Child, ...] = ()
    copies: tuple[SecretCopy, ...] = ()


def prepared(restore: Object, sources: Sequence[Source], view: View, home: str) -> Prepared | Refusal:
    """Return the jobs that fill the claims, in the order of the sources."""
    works: list[Work] = []
    claims: dict[str, Claim] = {}
    children: list[Child] = list(worker.children(namespace_of(restore)))
    copies: list[SecretCopy] = []
    before: tuple[str, ...] = ()
    serial = text(restore, "spec", "prepareDataConfig", "volumeClaimRestorePolicy") == "Serial"
    for source in sources:
        sets = restore_claims.sets(restore, source)
        if isinstance(sets, Refusal):
            return sets
        for each in [claim for one in sets for claim in one]:
            claims.setdefault(each.name, each)
        raw = mapping(source.section, "prepareData")
        if not raw or not sets:
            continue
        reached = reach(restore, source, view, home)
        if isinstance(reached, Refusal):
            return reached
        children += reached.children
        copies += reached.copies
        made: list[str] = []
        for index, one in enumerate(sets):
            policy = mapping(restore, "spec", "prepareDataConfig", "requiredPolicyForAllPodSelection")
            pod = saved_pod(policy, source, index)
            if isinstance(pod, Refusal):
                return pod
            step = _prepare(restore, source, raw, one, index, pod, reached)
            needs = (*before, *made[-1:]) if serial else before
            works.append(Work(step=msgspec.structs.replace(step, needs=needs), source=source, claims=tuple(one)))
            made.append(step.name)
        before = tuple(made)
    if resources.included(restore):
        work = _objects(restore, sources, [work.step.name for work in works], view, home)
        if isinstance(work, Refusal):
            return work
        works.append(work[0])
        children += [*work[1].children, *resources.access_to(restore, write=True)]
        copies += work[1].copies
    unique = {(child.object["kind"], name_of(child.object)): child for child in children}
    return Prepared(
        works=tuple(works),
        claims=tuple(claims.values()),
        children=tuple(unique.values()),
        copies=tuple({copy.target: copy for copy in copies}.values()),
    )


def _objects(
    restore: Object, sources: Sequence[Source], needs: Sequence[str], view: View, home: str
) -> tuple[Work, Access] | Refusal:
    """Return the job that makes objects again, once the claims are filled: they may hold what mounts them."""
    source = resources.source_of(restore, sources)
    if isinstance(source, Refusal):
        return source
    reached = reach(restore, source, view, home)
    if isinstance(reached, Refusal):
        return reached
    name = job_name("restore-objects", names.uid8(restore), name_of(source.backup))
    step = resources.restore_step(restore, source, name, labels(restore), reached, needs)
    return Work(step=step, source=source), reached


def reach(restore: Object, source: Source, view: View, home: str) -> Access | Refusal:
    """Return how the jobs of a Restore reach a Backup's data; nothing to reach when it has no files."""
    name = text(source.backup, "status", "backupRepoName")
    if not name:
        return Access()
    kopia = bool(text(source.backup, "status", "kopiaRepoPath"))
    found: Reached | Refusal = repos.reach(name, namespace_of(restore), view, home, kopia=kopia)
    return found if isinstance(found, Refusal) else found.access


def due_claims(found: Prepared, view: View) -> list[Claim]:
    """Return the claims that shall be there now: all of them, with Serial those of jobs whose turn it is."""
    namespaces = {work.step.name: (text(work.step.child, "metadata", "namespace"), work.job) for work in found.works}
    done = {name for name, place in namespaces.items() if view.step(*place).phase is Phase.SUCCEEDED}
    waiting = [work for work in found.works if not done.issuperset(work.step.needs)]
    held = {claim.name for work in waiting for claim in work.claims}
    turn = {claim.name for work in found.works if work not in waiting for claim in work.claims}
    return [claim for claim in found.claims if claim.name in turn or claim.name not in held]


def labels(restore: Object) -> Object:
    """Return the labels of a Restore's jobs."""
    return {names.RESTORE: bounded_name(name_of(restore)), names.MANAGED_BY: names.MANAGER}


def job_name(*parts: str) -> str:
    """Join a Job's name and cut it as documented: the first 57 characters, a dash, the last five."""
    name = "-".join(parts)
    return name if len(name) <= 63 else f"{name[:57]}-{name[-5:]}".replace("--", "-")


def backoff(restore: Object) -> int:
    """Return how often a job is tried again."""
    given = number(restore, "spec", "backoffLimit")
    return workload.BACKOFF if given is None else given


def command_of(
    restore: Object, source: Source, raw: Object, name: str, variables: Sequence[Object], mounts: Sequence[Object]
) -> workload.Command:
    """Return the container of a restoring job."""
    return workload.Command(
        name=name,
        image=text(raw, "image"),
        command=strings(raw, "command"),
        env=variables,
        env_from=items(source.action_set, "spec", "envFrom"),
        mounts=[*mounts, {"name": _DOWNWARD, "mountPath": "/dp_downward", "readOnly": True}],
        resources=mapping(restore, "spec", "containerResources"),
    )


def job_of(
    restore: Object,
    source: Source,
    name: str,
    command: workload.Command,
    access: Access,
    *,
    volumes: Sequence[Object] = (),
    placement: Object | None = None,
) -> Step:
    """Return the step around a restoring job: its pod has the extras of the Backup as a file."""
    extras = {"path": "status_extras", "fieldRef": {"fieldPath": f"metadata.annotations['{EXTRAS}']"}}
    spec, attendants = workload.pod(
        command,
        access,
        workload.attend(),
        storage_env=restore_env.storage(source),
        volumes=[*volumes, {"name": _DOWNWARD, "downwardAPI": {"items": [extras]}}],
        account=text(restore, "spec", "serviceAccountName", default=names.WORKER),
        placement=placement,
    )
    child = workload.job(name, namespace_of(restore), labels(restore), spec, backoff(restore))
    text_ = msgspec.json.encode(source.backup.get("status", {}).get("extras") or []).decode()
    child["spec"]["template"]["metadata"]["annotations"][EXTRAS] = text_
    return Step(name=name, child=child, attendants=attendants)


def _prepare(
    restore: Object, source: Source, raw: Object, claims: Sequence[Claim], index: int, pod: str, access: Access
) -> Step:
    name = job_name("restore-preparedata", names.uid8(restore), name_of(source.backup), str(index))
    mounted = [claim for claim in claims if claim.mount_path]
    variables = restore_env.of_source(restore, source, pod)
    command = command_of(restore, source, raw, "restore", variables, [claim.mount() for claim in mounted])
    config = mapping(restore, "spec", "prepareDataConfig", "schedulingSpec")
    placement = {key: config[key] for key in _PLACING if config.get(key)}
    volumes = [claim.volume() for claim in mounted]
    step = job_of(restore, source, name, command, access, volumes=volumes, placement=placement)
    return msgspec.structs.replace(step, on_error=hooks.on_error(raw))


def saved_pod(policy: Object, source: Source, index: int) -> str | Refusal:
    """Return the saved pod whose data a job gets: of several that of its number, or the one that the policy names."""
    if not source.target.takes_all:
        return ""
    saved = source.target.selected
    if text(policy, "dataRestorePolicy") == "OneToMany":
        named = text(policy, "sourceOfOneToMany", "targetPodName")
        if named not in saved:
            return Refusal(
                "NoSuchPod", f"Backup {name_of(source.backup)} has no data of pod {named}: it has {', '.join(saved)}"
            )
        return named
    if index < len(saved):
        return saved[index]
    return Refusal(
        "TooManyClaims",
        f"Backup {name_of(source.backup)} has data of {len(saved)} pods, and number {index} is one more: ask for fewer"
        " replicas, or use dataRestorePolicy OneToMany",
    )
