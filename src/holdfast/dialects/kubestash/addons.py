"""Addons and their tasks: which one a session means, the parameters that it runs with, and the Function that does the work.

An Addon is an object of the cluster; the built-in ones come with the installer, others are written by users. Its task declares
parameters, required or with a default, and names a Function: one of Holdfast's own, or a container of the user's. What this
build has no program for (other drivers, executors that are no Jobs) is refused by name, never run as something else.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import flag, items, name_of, text
from holdfast.dialects.kubestash.decode import TASK_NAMES, AddonUse, Target, Task, comma_list
from holdfast.dialects.kubestash.kinds import CLAIM, TARGETS

KUBEDUMP: Final = "kubedump-addon"
ADDON_KINDS: Final = {
    "workload-addon": tuple(kind for kind in TARGETS if kind != CLAIM),
    "pvc-addon": (CLAIM,),
    KUBEDUMP: (),
}
"""Which kinds of target a built-in addon takes."""

VOLUME_BACKUP, VOLUME_RESTORE = "volume-backup", "volume-restore"
SNAPSHOT, SNAPSHOT_RESTORE, CLONE = "volume-snapshot", "volume-snapshot-restore", "volume-clone"
MANIFESTS, MANIFESTS_RESTORE = "manifest-backup", "manifest-restore"
DUMP, DUMP_RESTORE = "kubedump-backup", "kubedump-restore"
_DRIVERS: Final = ("", "Restic", "VolumeSnapshotter")
_MISPLACED: Final = {"backupTasks": "restores", "restoreTasks": "backs up"}


class Role(msgspec.Struct, frozen=True):
    """What an addon is used for: the list of its tasks, a task to name as an example, and our Functions that work there."""

    tasks: str
    example: str
    functions: tuple[str, ...]


BACKUP: Final = Role("backupTasks", "logical-backup", (VOLUME_BACKUP, SNAPSHOT, MANIFESTS, DUMP))
RESTORE: Final = Role(
    "restoreTasks", "logical-backup-restore", (VOLUME_RESTORE, SNAPSHOT_RESTORE, CLONE, MANIFESTS_RESTORE, DUMP_RESTORE)
)
OURS: Final = (*BACKUP.functions, *RESTORE.functions)


class Work(msgspec.Struct, frozen=True):
    """One task of a session as it is to be done: its declaration, the name of its Function, and its parameters."""

    task: Task
    index: int
    declared: Object
    parameters: Mapping[str, str]

    @property
    def function(self) -> str:
        """The name of the Function."""
        return text(self.declared, "function")

    @property
    def ours(self) -> bool:
        """Whether Holdfast's own programs do it."""
        return self.function in OURS

    @property
    def component(self) -> str:
        """What its components are called, before what tells them apart."""
        if self.snapshots:
            return "volumesnapshot"
        return "manifest" if self.function in (MANIFESTS, DUMP) else "dump"

    @property
    def snapshots(self) -> bool:
        """Whether the cluster's storage does it, and no program that writes into a repository."""
        return self.function == SNAPSHOT


def works(use: AddonUse, addon: Object, role: Role) -> tuple[Work, ...]:
    """Return the tasks of a session, in order; those that the Addon does not declare are left out."""
    found: list[Work] = []
    for index, task in enumerate(use.tasks):
        declared = declaration(addon, role, task)
        if declared is not None:
            found.append(Work(task, index, declared, parameters(task, declared)))
    return tuple(found)


def problems(use: AddonUse, role: Role, field: str) -> list[Problem]:
    """Judge the use of an addon on its own."""
    if not use.name:
        return [Problem(f"{field}.name", "needed: name an Addon such as workload-addon or pvc-addon")]
    if not use.tasks:
        return [Problem(f"{field}.tasks", f"needs at least one task, such as {role.example}")]
    names = [task.name for task in use.tasks]
    if "" in names:
        return [Problem(f"{field}.tasks", "each task needs a name")]
    return [
        Problem(f"{field}.tasks[{index}].name", f"{name} is used more than once: its components would have one name")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def target_problems(use: AddonUse, target: Target, field: str) -> list[Problem]:
    """Judge whether the addon takes such a target."""
    kinds = ADDON_KINDS.get(use.name)
    if kinds is None or target.kind in kinds:
        return []
    names = ", ".join(kind.kind for kind in kinds) or "no target"
    return [Problem(f"{field}.name", f"{use.name} takes {names}, and the target is a {target.kind.kind}")]


def declared_problems(use: AddonUse, addon: Object, role: Role, field: str) -> list[Problem]:
    """Judge tasks and parameters against the Addon: each must be declared, required ones given."""
    found: list[Problem] = []
    for index, task in enumerate(use.tasks):
        where = f"{field}.tasks[{index}]"
        declared = declaration(addon, role, task)
        if declared is None:
            offered = ", ".join(text(entry, "name") for entry in items(addon, "spec", role.tasks)) or "none"
            found.append(Problem(f"{where}.name", f"Addon {name_of(addon)} has no task {task.name} (it has: {offered})"))
            continue
        found += _unsupported(declared, role, name_of(addon), f"{where}.name")
        found += _parameter_problems(task, declared, name_of(addon), where)
        found += _volume_problems(task, declared, name_of(addon), where)
    return found


def declaration_problems(addon: Object) -> list[Problem]:
    """Judge an Addon itself: each task has a name and a Function, and a driver and executor that this build has."""
    found: list[Problem] = []
    for role in (BACKUP, RESTORE):
        for index, entry in enumerate(items(addon, "spec", role.tasks)):
            where = f"spec.{role.tasks}[{index}]"
            for name in ("name", "function"):
                if not text(entry, name):
                    found.append(Problem(f"{where}.{name}", "needed"))
            found += [Problem(where, problem.message) for problem in _unsupported(entry, role, name_of(addon), where)]
    return found


def parameters(task: Task, declared: Object) -> dict[str, str]:
    """Return the parameters a task runs with: those given, else the Addon's defaults."""
    defaults = {text(entry, "name"): text(entry, "default") for entry in items(declared, "parameters") if "default" in entry}
    return {**defaults, **task.params}


def path_problems(task: Task, field: str) -> list[Problem]:
    """Judge the paths of a backup: absolute, and on a mounted volume where the mounts are given."""
    found: list[Problem] = []
    mounts = [text(mount, "mountPath") for mount in task.mounts]
    for path in comma_list(task.params.get("paths", "")):
        if not path.startswith("/"):
            found.append(Problem(f"{field}.params.paths", f"{path} is not an absolute path"))
        elif mounts and not any(_below(path, mount) for mount in mounts):
            listed = ", ".join(mounts)
            found.append(Problem(f"{field}.params.paths", f"{path} lies on no mounted volume (mounted: {listed})"))
    return found


def declaration(addon: Object, role: Role, task: Task) -> Object | None:
    """Return what an Addon says of a task; None when it has no such task."""
    for entry in items(addon, "spec", role.tasks):
        name = text(entry, "name")
        if TASK_NAMES.get(name, name) == task.name:
            return entry
    return None


def _below(path: str, mount: str) -> bool:
    base = mount.rstrip("/")
    return path.rstrip("/") == base or path.startswith(f"{base}/")


def _unsupported(declared: Object, role: Role, addon: str, field: str) -> Iterable[Problem]:
    task, function = text(declared, "name"), text(declared, "function")
    driver, executor = text(declared, "driver"), text(declared, "executor", default="Job")
    if driver not in _DRIVERS:
        yield Problem(
            field, f"task {task} of Addon {addon} moves its data with {driver}: this build has Restic and VolumeSnapshotter"
        )
    if executor != "Job":
        yield Problem(field, f"task {task} of Addon {addon} runs as a {executor}: this build runs Jobs")
    if function in OURS and function not in role.functions:
        yield Problem(field, f"task {task} of Addon {addon} names Function {function}, which {_MISPLACED[role.tasks]}")


def _parameter_problems(task: Task, declared: Object, addon: str, field: str) -> list[Problem]:
    known_ones = {text(entry, "name"): entry for entry in items(declared, "parameters")}
    known = ", ".join(known_ones) or "none"
    found = [
        Problem(f"{field}.params.{name}", f"Addon {addon} declares no parameter {name} for {task.name} (it has: {known})")
        for name in task.params
        if name not in known_ones
    ]
    return found + [
        Problem(f"{field}.params.{name}", f"needed by {task.name} of Addon {addon}: {text(entry, 'usage')}")
        for name, entry in known_ones.items()
        if flag(entry, "required") and not text(entry, "default") and not task.params.get(name)
    ]


def _volume_problems(task: Task, declared: Object, addon: str, field: str) -> list[Problem]:
    """Judge what only Functions of users know: variables, and other sources for volumes that the task declares."""
    volumes = [text(entry, "name") for entry in items(declared, "volumeTemplate")]
    known = ", ".join(volumes) or "none"
    found = [
        Problem(f"{field}.addonVolumes", f"Addon {addon} declares no volume {text(entry, 'name')} (it has: {known})")
        for entry in items(task.raw, "addonVolumes")
        if text(entry, "name") not in volumes
    ]
    if text(declared, "function") in OURS and items(task.raw, "variables"):
        why = "are for Functions of your own; this task's program takes params"
        found.append(Problem(f"{field}.variables", f"variables {why}: remove them"))
    return found
