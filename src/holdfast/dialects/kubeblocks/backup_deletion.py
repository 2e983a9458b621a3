"""The end of a Backup: its data goes with it or stays, never under somebody who needs it.

In order: what builds on it must be gone, or going (then it waits, so that a chain asked for as a whole goes from its end); no
Restore may read it; its jobs are stopped; with deletionPolicy Retain it then goes, and data and snapshots stay. Otherwise the
snapshots go, the action set's preDelete job runs, and the files are deleted. What fails is told and tried again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import DatasafedDelete
from holdfast.core.conditions import is_true
from holdfast.core.objects import Object, Ref, bounded_name, ref_of
from holdfast.core.plan import Desired, Doomed, Note, Phase, Plan, RunKind, SecretCopy, Step
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, items, mapping, name_of, namespace_of, phase_of, strings, text, uid_of
from holdfast.dialects.kubeblocks import (
    backup_context,
    backup_env,
    chains,
    continuous,
    env,
    names,
    notes,
    paths,
    repos,
    stuck,
    worker,
    workload,
)
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.kinds import BACKUP, JOB, POD, RESTORE, STATEFUL_SET, VOLUME_SNAPSHOT
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.dialects.kubeblocks.repos import Reached

RUN: Final = "deletion"
AGAIN: Final = timedelta(minutes=5)
"""How long after a failed attempt the next one begins."""

_DELETE_DEADLINE: Final = timedelta(hours=6)


def desired(obj: Object, view: View, home: str, now: datetime) -> Desired:
    """Say what the deletion needs next; at last its release."""
    if obstacle(obj, view):
        return Desired()
    if (runner := view.get(STATEFUL_SET, namespace_of(obj), continuous.runner_name(obj))) is not None:
        return Desired(doomed=(Doomed(ref_of(runner), "its Backup is deleted"),))
    if jobs := _jobs(obj, view):
        return Desired(doomed=tuple(Doomed(Ref(JOB, namespace_of(job), name_of(job)), "its Backup is deleted") for job in jobs))
    if _pods(obj, view):
        return Desired()
    if text(obj, "spec", "deletionPolicy") == "Retain":
        stay = [
            text(obj, "status", "path"),
            *(f"VolumeSnapshot {namespace}/{name}" for namespace, name in _snapshots(obj, view)),
        ]
        said = ", ".join(filter(None, stay)) or "there is none"
        return Desired(release=True, notes=(Note("Retained", f"data and snapshots of this Backup stay: {said}"),))
    if snapshots := _snapshots(obj, view):
        return Desired(doomed=tuple(Doomed(Ref(VOLUME_SNAPSHOT, *place), "its Backup is deleted") for place in snapshots))
    reached = _reach(obj, view, home)
    if isinstance(reached, Refusal):
        return Desired(release=True, notes=(Note("DataLeft", f"no data is deleted: {reached.message}", warning=True),))
    if reached is None:
        return Desired(release=True)
    steps, copies = _steps(obj, reached, view, home)
    states = [view.step(step.child["metadata"]["namespace"], step.child["metadata"]["name"]) for step in steps]
    if all(state.phase is Phase.SUCCEEDED for state in states):
        return Desired(release=True)
    ended = max((state.finished for state in states if state.phase is Phase.FAILED and state.finished), default=None)
    if ended is not None and now >= ended + AGAIN:
        failed = [step for step, state in zip(steps, states, strict=True) if state.phase is Phase.FAILED]
        refs = [Ref(JOB, step.child["metadata"]["namespace"], step.child["metadata"]["name"]) for step in failed]
        return Desired(doomed=tuple(Doomed(ref, "it has failed and is tried again") for ref in refs))
    plan = Plan(name=RUN, kind=RunKind.WIPE, steps=tuple(steps))
    return Desired(
        children=(*worker.children(namespace_of(obj)), *reached.access.children),
        secret_copies=copies,
        runs=(plan,),
        notes=notes.waits(plan.steps, view),
        wake_at=min([*([ended + AGAIN] if ended else []), *stuck.due(plan.steps, view, now)], default=None),
    )


def status(obj: Object, view: View, home: str, outcome: Outcome, now: datetime) -> Object:
    """Return the status of a Backup that is being deleted: what holds it up, if anything."""
    found: Object = {**mapping(obj, "status"), "phase": "Deleting"}
    run = outcome.runs.get(RUN)
    why = obstacle(obj, view)
    if not why and run is not None:
        failed = [state.message or state.reason for state in run.steps.values() if state.phase is Phase.FAILED]
        why = next(iter(failed), "") or _stuck(obj, view, home, now)
    if why:
        found["deletionFailureReason"] = why
    elif run is None or run.phase is not Phase.RUNNING:
        found.pop("deletionFailureReason", None)
    return found


def _stuck(obj: Object, view: View, home: str, now: datetime) -> str:
    """Return what keeps a job of the deletion from its start for too long: it goes on by itself once that is mended."""
    reached = _reach(obj, view, home)
    steps = _steps(obj, reached, view, home)[0] if isinstance(reached, Reached) else []
    return next(iter(stuck.reasons(steps, view, now).values()), "")


def obstacle(obj: Object, refs: Refs) -> str:
    """Return why a Backup can't go yet: others build on it, or a Restore reads it."""
    children = sorted(chains.children(obj, refs), key=name_of)
    living = [name_of(child) for child in children if not deleting(child)]
    if living:
        return f"Backup {', '.join(living)} builds on it: delete that as well, or keep this one"
    if children:
        return f"waits until Backup {', '.join(map(name_of, children))}, which builds on it, is gone"
    if readers := sorted(_readers(obj, refs)):
        return f"waits until Restore {', '.join(readers)} has ended, which reads it"
    return ""


def _readers(obj: Object, refs: Refs) -> list[str]:
    """Return the Restores under way whose data comes from this Backup."""
    found: list[str] = []
    for restore in refs.list(RESTORE):
        if not _reads(restore, refs):
            continue
        named = {(text(restore, "spec", "backup", "namespace"), text(restore, "spec", "backup", "name"))}
        actions = [*items(restore, "status", "actions", "prepareData"), *items(restore, "status", "actions", "postReady")]
        named |= {(text(restore, "spec", "backup", "namespace"), text(action, "backupName")) for action in actions}
        if (namespace_of(obj), name_of(obj)) in named or _builds_on(restore, obj, refs):
            found.append(f"{namespace_of(restore)}/{name_of(restore)}")
    return found


def _reads(restore: Object, refs: Refs) -> bool:
    """Whether a Restore is under way; one that is a data source is while Jobs fill a claim from it."""
    if phase_of(restore) != "AsDataSource":
        return phase_of(restore) in ("", "Running") and not deleting(restore)
    jobs = refs.list(JOB, namespace_of(restore), label=(names.RESTORE, bounded_name(name_of(restore))))
    return any(not is_true(items(job, "status", "conditions"), "Failed") for job in jobs)


def _builds_on(restore: Object, obj: Object, refs: Refs) -> bool:
    source = refs.get(BACKUP, text(restore, "spec", "backup", "namespace"), text(restore, "spec", "backup", "name"))
    line = chains.ancestors(source, refs) if source is not None else []
    return not isinstance(line, Refusal) and any(uid_of(each) == uid_of(obj) for each in line)


def _jobs(obj: Object, view: View) -> Sequence[Object]:
    """Return the Jobs of the Backup itself, not those of its deletion."""
    return [job for job in view.list(JOB, owner=uid_of(obj)) if not name_of(job).startswith(_own(obj))]


def _pods(obj: Object, view: View) -> Sequence[Object]:
    """Return the pods of the Backup itself that may still write."""
    label = (names.BACKUP_NAME, bounded_name(name_of(obj)))
    pods = [pod for pod in view.list(POD, namespace_of(obj), label=label) if not name_of(pod).startswith(_own(obj))]
    return [pod for pod in pods if phase_of(pod) not in ("Succeeded", "Failed")]


def _own(obj: Object) -> tuple[str, str]:
    return f"{names.uid8(obj)}-delete-", f"{names.uid8(obj)}-predelete-"


def _snapshots(obj: Object, view: View) -> list[tuple[str, str]]:
    places = [(namespace_of(obj), text(entry, "name")) for entry in items(obj, "status", "volumeSnapshots")]
    return [place for place in places if view.get(VOLUME_SNAPSHOT, *place) is not None]


def _reach(obj: Object, refs: Refs, home: str) -> Reached | Refusal | None:
    """Return how to reach the files of a Backup; None when it has none."""
    name = text(obj, "status", "backupRepoName")
    if not name or name_of(obj) not in text(obj, "status", "path").split("/"):
        return None
    return repos.reach(name, namespace_of(obj), refs, home, kopia=bool(text(obj, "status", "kopiaRepoPath")))


def _steps(obj: Object, reached: Reached, view: View, home: str) -> tuple[list[Step], tuple[SecretCopy, ...]]:
    context = backup_context.resume(obj, view, home)
    if isinstance(context, Refusal):
        context = Context(
            obj=obj,
            policy={},
            method=mapping(obj, "status", "backupMethod"),
            action_set={},
            targets=(),
            repo=reached.repo,
            access=reached.access,
            path=text(obj, "status", "path"),
            kopia=text(obj, "status", "kopiaRepoPath"),
            encryption=mapping(obj, "status", "encryptionConfig"),
        )
    steps = _before(context)
    steps.append(_files(context, tuple(step.name for step in steps)))
    return steps, reached.access.copies


def _before(context: Context) -> list[Step]:
    """Return the preDelete jobs: one, or one for each target. They get none of the action set's variables."""
    raw = mapping(context.action_set, "spec", "backup", "preDelete")
    if not raw:
        return []
    found: list[Step] = []
    for index, picked in enumerate(context.targets):
        middle = f"{index}-{picked.target.name}-" if picked.target.name else ""
        name = names.job(f"{names.uid8(context.obj)}-predelete-{middle}{name_of(context.obj)}")
        pod = next((pod for pod in picked.pods if pod is not None), None)
        variables = env.merge(
            env.literals(
                {
                    "DP_BACKUP_NAME": name_of(context.obj),
                    "DP_BACKUP_BASE_PATH": paths.base(context.path, picked.target, picked.names[0] if picked.names else ""),
                    "DP_DATASAFED_BIN_PATH": env.BIN,
                }
            ),
            env.database(picked.target, pod) if pod is not None else (),
            backup_env.storage(context),
            items(context.method, "env"),
        )
        command = workload.Command(name="predelete", image=text(raw, "image"), command=strings(raw, "command"), env=variables)
        spec, attendants = workload.pod(
            command,
            context.access,
            workload.attend(),
            storage_env=backup_env.storage(context),
            account=picked.target.account or names.WORKER,
        )
        child = workload.job(name, context.namespace, _labels(context), spec, workload.BACKOFF)
        found.append(Step(name=f"predelete-{index}", child=child, attendants=attendants))
    return found


def _files(context: Context, needs: tuple[str, ...]) -> Step:
    name = names.job(f"{names.uid8(context.obj)}-delete-{name_of(context.obj)}")
    container: Object = {
        "name": "delete",
        "env": env.merge(context.access.env, backup_env.storage(context)),
        "volumeMounts": list(context.access.mounts),
        "securityContext": dict(workload.ATTENDANT_CONTEXT),
    }
    spec: Object = {"restartPolicy": "Never", "containers": [container], "volumes": list(context.access.volumes)}
    child = workload.job(name, context.namespace, _labels(context), spec, workload.BACKOFF)
    child["spec"]["template"]["metadata"].pop("annotations", None)
    call = DatasafedDelete(path=context.path, name=name_of(context.obj)).call()
    return Step(name="delete", child=child, mover=call, needs=needs, deadline=_DELETE_DEADLINE)


def _labels(context: Context) -> Object:
    return {names.BACKUP_NAME: bounded_name(name_of(context.obj)), names.MANAGED_BY: names.MANAGER}
