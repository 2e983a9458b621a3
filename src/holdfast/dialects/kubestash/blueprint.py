"""BackupBlueprint: a BackupConfiguration for each workload that asks for it by annotation.

The workload names the blueprint, may choose among its sessions, and brings values for its variables. The BackupConfiguration
follows the blueprint and the annotations; when a workload asks no more it goes (its data stays, unless it says WipeOut). A
workload that is deleted leaves its BackupConfiguration behind: its backups may be wanted now.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from holdfast.core.objects import Kind, Object, Ref, kind_of
from holdfast.core.plan import Child, Desired, Doomed, Note, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, items, mapping, name_of, namespace_of, text
from holdfast.dialects.kubestash import names, usage
from holdfast.dialects.kubestash.decode import comma_list
from holdfast.dialects.kubestash.expand import UnknownVariable, expand
from holdfast.dialects.kubestash.kinds import BACKUP_CONFIGURATION, BLUEPRINT, TARGETS, api_version

_POLICIES: Final = ("", "OnDelete")


class BlueprintHandler:
    """Handles BackupBlueprints."""

    kind = BLUEPRINT
    finalizer = names.FINALIZER

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge subjects, template and usage policy; what the template says is judged with the values of a workload."""
        found = list(usage.problems(obj))
        for index, subject in enumerate(items(obj, "spec", "subjects")):
            if _subject(subject) not in TARGETS:
                known = ", ".join(str(kind) for kind in TARGETS)
                given = text(subject, "kind") or "an empty kind"
                found.append(Problem(f"spec.subjects[{index}]", f"{given} is nothing that is backed up: use one of {known}"))
        field = "spec.backupConfigurationTemplate"
        if not items(obj, *field.split("."), "sessions"):
            found.append(Problem(f"{field}.sessions", "needs at least one session"))
        if text(obj, *field.split("."), "deletionPolicy") not in _POLICIES:
            found.append(Problem(f"{field}.deletionPolicy", "is not OnDelete: leave it out to keep the BackupConfigurations"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say which BackupConfigurations shall exist because of it."""
        mine = _made(obj, view)
        if deleting(obj):
            return _farewell(obj, mine)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        children: list[Child] = []
        notes: list[Note] = []
        for workload in _asking(obj, view):
            try:
                wanted = _configuration(obj, workload)
            except UnknownVariable as error:
                said = f"{_told(workload)} gives no value for ${{{error}}}: annotate it with {names.VARIABLES}{error}"
                notes.append(Note("VariableMissing", said, warning=True))
                continue
            there = view.get(BACKUP_CONFIGURATION, namespace_of(wanted), name_of(wanted))
            if there is not None and not _is_ours(there, obj):
                said = f"BackupConfiguration {namespace_of(wanted)}/{name_of(wanted)} exists and is not of this blueprint"
                notes.append(Note("NameTaken", said, warning=True))
                continue
            children.append(Child(wanted))
        kept = {(namespace_of(child.object), name_of(child.object)) for child in children}
        doomed = [_doomed(item, "its workload asks for it no more") for item in mine if _unwanted(item, kept, view)]
        return Desired(children=tuple(children), notes=tuple(notes), doomed=tuple(doomed))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status: this kind has none."""
        return mapping(obj, "status")


def _subject(subject: Object) -> Kind:
    return kind_of({"apiVersion": text(subject, "apiVersion"), "kind": text(subject, "kind")})


def _asking(obj: Object, view: View) -> Iterable[Object]:
    """Return the workloads that name this blueprint, are of its kinds, and live where it may be used."""
    subjects = [_subject(subject) for subject in items(obj, "spec", "subjects")] or list(TARGETS)
    for kind in subjects:
        for workload in view.list(kind):
            marks = mapping(workload, "metadata", "annotations")
            place = text(marks, f"{names.BLUEPRINT}namespace", default=namespace_of(workload))
            named = (place, text(marks, f"{names.BLUEPRINT}name")) == (namespace_of(obj), name_of(obj))
            if named and not deleting(workload) and usage.admits(obj, namespace_of(workload), view):
                yield {**workload, "apiVersion": _version(kind), "kind": kind.kind}


def _version(kind: Kind) -> str:
    return f"{kind.group}/v1" if kind.group else "v1"


def _configuration(obj: Object, workload: Object) -> Object:
    """Return the BackupConfiguration of a workload. Raises UnknownVariable."""
    template, marks = mapping(obj, "spec", "backupConfigurationTemplate"), mapping(workload, "metadata", "annotations")
    kind, namespace = kind_of(workload), namespace_of(workload)
    given = {key.removeprefix(names.VARIABLES): str(value) for key, value in marks.items() if key.startswith(names.VARIABLES)}
    values = {"namespace": namespace, "targetKind": kind.kind, "targetName": name_of(workload), **given}
    chosen = comma_list(text(marks, f"{names.BLUEPRINT}session-names"))
    sessions = [item for item in items(template, "sessions") if not chosen or text(item, "name") in chosen]
    home = text(template, "namespace", default=namespace)
    name = f"{kind.kind.lower()}-{name_of(workload)}"
    target: dict[str, Any] = {"kind": kind.kind, "name": name_of(workload), "namespace": namespace}
    spec: Object = {"target": {**target, **({"apiGroup": kind.group} if kind.group else {})}}
    for field, wanted in (("backends", items(template, "backends")), ("sessions", sessions)):
        if wanted:
            spec[field] = expand(wanted, values)
    return {
        "apiVersion": api_version(BACKUP_CONFIGURATION),
        "kind": BACKUP_CONFIGURATION.kind,
        "metadata": {
            "name": name if home == namespace else f"{namespace}-{name}",
            "namespace": home,
            "labels": _labels(obj),
        },
        "spec": spec,
    }


def _labels(obj: Object) -> Object:
    return {
        names.MANAGED_BY: "kubestash.com",
        names.INVOKER_KIND: BLUEPRINT.kind,
        names.INVOKER_NAMESPACE: namespace_of(obj),
        names.INVOKER_NAME: names.label_value(name_of(obj)),
    }


def _is_ours(configuration: Object, obj: Object) -> bool:
    return _labels(obj).items() <= mapping(configuration, "metadata", "labels").items()


def _made(obj: Object, view: View) -> list[Object]:
    label = (names.INVOKER_NAME, names.label_value(name_of(obj)))
    return [item for item in view.list(BACKUP_CONFIGURATION, label=label) if _is_ours(item, obj)]


def _unwanted(configuration: Object, kept: set[tuple[str, str]], view: View) -> bool:
    """Whether a BackupConfiguration has a workload that is there and asks for it no more."""
    if (namespace_of(configuration), name_of(configuration)) in kept:
        return False
    target = mapping(configuration, "spec", "target")
    kind = Kind(text(target, "apiGroup"), text(target, "kind"))
    there = view.get(kind, text(target, "namespace"), text(target, "name")) if kind in TARGETS else None
    return there is not None and not text(there, "metadata", "annotations", f"{names.BLUEPRINT}name")


def _farewell(obj: Object, mine: list[Object]) -> Desired:
    if text(obj, "spec", "backupConfigurationTemplate", "deletionPolicy") != "OnDelete" or not mine:
        return Desired(release=True)
    why = f"BackupBlueprint {namespace_of(obj)}/{name_of(obj)} was deleted"
    return Desired(doomed=tuple(_doomed(item, why) for item in mine))


def _doomed(configuration: Object, why: str) -> Doomed:
    return Doomed(Ref(BACKUP_CONFIGURATION, namespace_of(configuration), name_of(configuration)), why)


def _told(workload: Object) -> str:
    return f"{text(workload, 'kind')} {namespace_of(workload)}/{name_of(workload)}"
