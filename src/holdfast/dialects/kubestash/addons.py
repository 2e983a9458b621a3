"""Addons and their tasks: which one a session means, and the parameters that it runs with.

An Addon is an object of the cluster; the built-in ones come with the installer. Its task declares parameters, required or
with a default, and names the Function that does the work. This build has a mover for the file tasks; a task whose Function
is another one is refused by name, never run as something else.
"""

from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import flag, items, name_of, text
from holdfast.dialects.kubestash.decode import TASK_NAMES, AddonUse, Target, Task, comma_list
from holdfast.dialects.kubestash.kinds import CLAIM, TARGETS

ADDON_KINDS: Final = {"workload-addon": tuple(kind for kind in TARGETS if kind != CLAIM), "pvc-addon": (CLAIM,)}
"""Which kinds of target a built-in addon takes."""

BACKUP_TASK: Final = "logical-backup"
RESTORE_TASK: Final = "logical-backup-restore"
BACKUP_FUNCTION: Final = "volume-backup"
RESTORE_FUNCTION: Final = "volume-restore"


class Role(msgspec.Struct, frozen=True):
    """What an addon is used for: the list of its tasks, and the one task and Function that this build runs there."""

    tasks: str
    task: str
    function: str


BACKUP: Final = Role("backupTasks", BACKUP_TASK, BACKUP_FUNCTION)
RESTORE: Final = Role("restoreTasks", RESTORE_TASK, RESTORE_FUNCTION)


def problems(use: AddonUse, role: Role, field: str) -> list[Problem]:
    """Judge the use of an addon on its own."""
    if not use.name:
        return [Problem(f"{field}.name", "needed: name an Addon such as workload-addon or pvc-addon")]
    if not use.tasks:
        return [Problem(f"{field}.tasks", f"needs at least one task, such as {role.task}")]
    if any(not task.name for task in use.tasks):
        return [Problem(f"{field}.tasks", "each task needs a name")]
    found: list[Problem] = []
    if use.name not in ADDON_KINDS:
        known = ", ".join(sorted(ADDON_KINDS))
        found.append(Problem(f"{field}.name", f"Addon {use.name} is not supported yet: this build runs {known}"))
    if len(use.tasks) > 1:
        found.append(Problem(f"{field}.tasks", f"is not supported yet with more than one task: keep {role.task}"))
    for index, task in enumerate(use.tasks):
        if task.name != role.task:
            found.append(Problem(f"{field}.tasks[{index}].name", _wrong_task(task, role)))
        found += _unsupported(task, f"{field}.tasks[{index}]")
    return found


def target_problems(use: AddonUse, target: Target, field: str) -> list[Problem]:
    """Judge whether the addon takes such a target."""
    kinds = ADDON_KINDS.get(use.name)
    if kinds is None or target.kind in kinds:
        return []
    names = ", ".join(kind.kind for kind in kinds)
    return [Problem(f"{field}.name", f"{use.name} takes {names}, and the target is a {target.kind.kind}")]


def declared_problems(use: AddonUse, addon: Object, role: Role, field: str) -> list[Problem]:
    """Judge tasks and parameters against the Addon: each must be declared, required ones given."""
    found: list[Problem] = []
    for index, task in enumerate(use.tasks):
        where = f"{field}.tasks[{index}]"
        declared = _declaration(addon, role, task)
        if declared is None:
            offered = ", ".join(text(entry, "name") for entry in items(addon, "spec", role.tasks)) or "none"
            found.append(Problem(f"{where}.name", f"Addon {name_of(addon)} has no task {task.name} (it has: {offered})"))
            continue
        function = text(declared, "function")
        if function != role.function:
            asked = f"Function {function} of task {task.name} is not supported yet"
            found.append(Problem(f"{where}.name", f"{asked}: this build runs {role.function}"))
        found += _parameter_problems(task, declared, name_of(addon), where)
    return found


def parameters(task: Task, addon: Object | None, role: Role) -> dict[str, str]:
    """Return the parameters a task runs with: those given, else the Addon's defaults."""
    declared = _declaration(addon, role, task) if addon else None
    defaults = {text(entry, "name"): text(entry, "default") for entry in items(declared or {}, "parameters")}
    return {**{name: value for name, value in defaults.items() if value}, **task.params}


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


def _below(path: str, mount: str) -> bool:
    base = mount.rstrip("/")
    return path.rstrip("/") == base or path.startswith(f"{base}/")


def _declaration(addon: Object, role: Role, task: Task) -> Object | None:
    for entry in items(addon, "spec", role.tasks):
        name = text(entry, "name")
        if TASK_NAMES.get(name, name) == task.name:
            return entry
    return None


def _parameter_problems(task: Task, declared: Object, addon: str, field: str) -> list[Problem]:
    parameters = {text(entry, "name"): entry for entry in items(declared, "parameters")}
    known = ", ".join(parameters) or "none"
    found = [
        Problem(f"{field}.params.{name}", f"Addon {addon} declares no parameter {name} for {task.name} (it has: {known})")
        for name in task.params
        if name not in parameters
    ]
    return found + [
        Problem(f"{field}.params.{name}", f"needed by {task.name} of Addon {addon}: {text(entry, 'usage')}")
        for name, entry in parameters.items()
        if flag(entry, "required") and not text(entry, "default") and not task.params.get(name)
    ]


def _wrong_task(task: Task, role: Role) -> str:
    if task.name in TASK_NAMES.values() and task.name != role.task:
        return f"{task.name} is not supported yet: this build runs {role.task}"
    return f"{task.name} is no known task: use {role.task}"


def _unsupported(task: Task, field: str) -> list[Problem]:
    return [
        Problem(f"{field}.{name}", f"{name} is not supported yet: remove it")
        for name in ("variables", "addonVolumes")
        if items(task.raw, name)
    ]
