"""What a Backup refers to, found or refused: policy, method, action set, repository, targets with their pods, parent.

`gather` is for a Backup that has not begun: it looks at what exists now. `resume` is for one that has: what was picked stands
in its status and is not picked again, whatever became of the policy.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.ports import Refs
from holdfast.core.read import deleting, flag, mapping, name_of, namespace_of, phase_of, text
from holdfast.core.times import parse_time
from holdfast.dialects.kubeblocks import action_parameters, backup_policy, chains, names, paths, repos, targets
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.kinds import ACTION_SET, BACKUP_POLICY, POD
from holdfast.dialects.kubeblocks.refusal import Refusal, Wait
from holdfast.dialects.kubeblocks.targets import Target

REPO_PATIENCE: Final = timedelta(minutes=15)
"""How long a Backup waits for its repository to be checked."""

TOGETHER: Final = timedelta(seconds=30)
"""How long a Backup waits for an ActionSet that its policy names: what is applied together may come in any order."""

_LATE: Final = frozenset({"PolicyUnavailable", "ActionSetNotFound", "ActionSetUnavailable"})
"""The reasons that may be gone once all of that is there."""

POD_PATIENCE: Final = timedelta(minutes=10)
"""How long a Backup waits for a pod of its target: it may be applied together with the database."""


class TargetPods(msgspec.Struct, frozen=True):
    """A target with its pods. A pod that is gone is None; `names` are those that were picked."""

    target: Target
    names: tuple[str, ...]
    pods: tuple[Object | None, ...]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run of a Backup is made of. `action_set` is empty for plain volume snapshots; `policy` may be gone later."""

    obj: Object
    policy: Object
    method: Object
    action_set: Object
    targets: tuple[TargetPods, ...]
    repo: Object | None = None
    access: Access = Access()
    path: str = ""
    kopia: str = ""
    encryption: Object = {}
    parent: str = ""
    base: str = ""

    @property
    def namespace(self) -> str:
        """Where all of it happens."""
        return namespace_of(self.obj)

    @property
    def backup_type(self) -> str:
        """Full, Incremental, Differential or Continuous."""
        return text(self.action_set, "spec", "backupType", default="Full")

    @property
    def objects(self) -> bool:
        """Whether Kubernetes objects are saved: with each backup that ends, so not with a continuous one."""
        return self.backup_type != "Continuous" and any(picked.target.saves_objects for picked in self.targets)

    @property
    def snapshots(self) -> bool:
        """Whether volumes are snapshotted."""
        return flag(self.method, "snapshotVolumes")


def gather(obj: Object, refs: Refs, home: str, now: datetime) -> Context | Refusal | Wait:
    """Find everything that a new Backup needs."""
    found = _gathered(obj, refs, home, now)
    until = _born(obj) + TOGETHER
    if isinstance(found, Refusal) and found.reason in _LATE and now < until:
        return Wait(found.message, found.reason, until)
    return found


def _gathered(obj: Object, refs: Refs, home: str, now: datetime) -> Context | Refusal | Wait:
    namespace, policy_name = namespace_of(obj), text(obj, "spec", "backupPolicyName")
    policy = refs.get(BACKUP_POLICY, namespace, policy_name)
    if policy is None or deleting(policy):
        return Refusal("PolicyNotFound", f"BackupPolicy {namespace}/{policy_name} does not exist: create it, then a new Backup")
    wanted = text(obj, "spec", "backupMethod")
    why = backup_policy.hindrances(policy, wanted, refs) if phase_of(policy) == "Unavailable" else None
    if why is not None:
        return Refusal("PolicyUnavailable", f"BackupPolicy {namespace}/{policy_name} is Unavailable: {why}")
    method = backup_policy.method(policy, wanted)
    if method is None:
        return Refusal("MethodNotFound", f"BackupPolicy {namespace}/{policy_name} has no method {wanted}: use one that it has")
    action_set = _action_set(method, refs)
    if isinstance(action_set, Refusal):
        return action_set
    if (unfit := action_parameters.refusal(obj, action_set, "backup")) is not None:
        return unfit
    picked = _pick(obj, method, policy, refs)
    if isinstance(picked, Refusal):
        until = _born(obj) + POD_PATIENCE
        waits = picked.reason == targets.NO_PODS and now < until
        return Wait(picked.message, picked.reason, until) if waits else picked
    context = Context(
        obj=obj,
        policy=policy,
        method=method,
        action_set=action_set,
        targets=picked,
        encryption=mapping(policy, "spec", "encryptionConfig"),
    )
    found = context if stores_nothing(context) else _with_repo(context, refs, home, now)
    return chains.with_parent(found, refs) if isinstance(found, Context) else found


def stores_nothing(context: Context) -> bool:
    """Whether a backup consists of volume snapshots only, so that it needs no repository."""
    files = mapping(context.action_set, "spec", "backup", "backupData") or context.objects
    return context.snapshots and not files


def resume(obj: Object, refs: Refs, home: str) -> Context | Refusal:
    """Find again what a running Backup works on."""
    namespace, status = namespace_of(obj), mapping(obj, "status")
    method = mapping(status, "backupMethod")
    action_set = _action_set(method, refs)
    if isinstance(action_set, Refusal):
        return action_set
    context = Context(
        obj=obj,
        policy=refs.get(BACKUP_POLICY, namespace, text(obj, "spec", "backupPolicyName")) or {},
        method=method,
        action_set=action_set,
        targets=tuple(_found(target, namespace, refs) for target in targets.recorded(status)),
        path=text(status, "path"),
        kopia=text(status, "kopiaRepoPath"),
        encryption=mapping(status, "encryptionConfig"),
        parent=text(status, "parentBackupName"),
        base=text(status, "baseBackupName"),
    )
    if not text(status, "backupRepoName"):
        return context
    reached = repos.reach(text(status, "backupRepoName"), namespace, refs, home, kopia=bool(context.kopia))
    if isinstance(reached, Refusal):
        return reached
    return msgspec.structs.replace(context, repo=reached.repo, access=reached.access)


def type_of(obj: Object, refs: Refs) -> str:
    """Return the backup type of what a Backup's policy and method name now; empty when they name nothing."""
    policy = refs.get(BACKUP_POLICY, namespace_of(obj), text(obj, "spec", "backupPolicyName"))
    method = backup_policy.method(policy, text(obj, "spec", "backupMethod")) if policy is not None else None
    found = refs.get(ACTION_SET, "", text(method, "actionSetName")) if method is not None else None
    return text(found, "spec", "backupType", default="Full") if found is not None else ""


def _action_set(method: Object, refs: Refs) -> Object | Refusal:
    """Return the action set of a method; empty when plain snapshots need none."""
    name = text(method, "actionSetName")
    if not name:
        if flag(method, "snapshotVolumes"):
            return {}
        said = f"method {text(method, 'name')} has neither snapshotVolumes nor actionSetName: set one of them"
        return Refusal("NothingToDo", said)
    found = refs.get(ACTION_SET, "", name)
    if found is None:
        return Refusal("ActionSetNotFound", f"ActionSet {name} of method {text(method, 'name')} does not exist: create it")
    if phase_of(found) == "Unavailable":
        return Refusal("ActionSetUnavailable", f"ActionSet {name} is Unavailable: {text(found, 'status', 'message')}")
    if not flag(method, "snapshotVolumes") and not mapping(found, "spec", "backup", "backupData"):
        return Refusal("NothingToDo", f"ActionSet {name} has no backup.backupData, and the method takes no snapshots")
    return found


def _pick(obj: Object, method: Object, policy: Object, refs: Refs) -> tuple[TargetPods, ...] | Refusal:
    chosen = targets.targets_of(method, policy)
    if not chosen:
        return Refusal("NoTarget", f"neither BackupPolicy {name_of(policy)} nor its method {text(method, 'name')} has a target")
    found: list[TargetPods] = []
    for target in chosen:
        pods = targets.pick(target, namespace_of(obj), refs)
        if isinstance(pods, Refusal):
            return pods
        found.append(TargetPods(target, tuple(name_of(pod) for pod in pods), tuple(pods)))
    return tuple(found)


def _found(target: Target, namespace: str, refs: Refs) -> TargetPods:
    return TargetPods(target, target.selected, tuple(refs.get(POD, namespace, name) for name in target.selected))


def _with_repo(context: Context, refs: Refs, home: str, now: datetime) -> Context | Refusal | Wait:
    repo = repos.choose(context.obj, context.policy, refs)
    if isinstance(repo, Refusal):
        return repo
    if why := repos.not_ready(repo):
        until = _born(context.obj) + REPO_PATIENCE
        if phase_of(repo) == "Failed" or now >= until:
            return Refusal("RepoNotReady", why)
        return Wait(why, "RepositoryNotReady", until)
    kopia = flag(context.policy, "spec", "useKopia")
    reached = repos.reach(name_of(repo), context.namespace, refs, home, kopia=kopia)
    if isinstance(reached, Refusal):
        return reached
    folder = paths.folder(repo, context.namespace, context.policy)
    return msgspec.structs.replace(
        context,
        repo=repo,
        access=reached.access,
        path=f"{folder}/{name_of(context.obj)}",
        kopia=f"{folder}/kopia" if kopia else "",
    )


def _born(obj: Object) -> datetime:
    return parse_time(text(obj, "metadata", "creationTimestamp"))


def labels_of(context: Context) -> Mapping[str, str]:
    """Return the labels that a Backup gets, and its workloads with it."""
    known = [pod for found in context.targets for pod in found.pods if pod is not None]
    pod: Object = known[0] if known else {}
    carried = {key: text(pod, "metadata", "labels", key) for key in (names.INSTANCE, names.COMPONENT, names.CLUSTER_UID)}
    found = {
        names.BACKUP_TYPE: context.backup_type,
        names.BACKUP_POLICY: text(context.obj, "spec", "backupPolicyName"),
        **{key: value for key, value in carried.items() if value},
    }
    return found | ({names.BACKUP_REPO: name_of(context.repo)} if context.repo else {})
