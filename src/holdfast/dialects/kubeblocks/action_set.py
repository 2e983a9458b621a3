"""ActionSet: the commands of one kind of database. It is Available when a backup or restore with it would find them whole.

What can't be meant is refused at once; what only makes it unfit for use (a step without a command, a parameter that nobody
declares) is told in the status, as the API documents it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import at, generation_of, items, mapping, strings, text
from holdfast.core.times import parse_duration
from holdfast.dialects.kubeblocks.kinds import ACTION_SET
from holdfast.schema.errors import SchemaError
from holdfast.schema.structural import Schema

_SCHEMA: Final = "spec.parametersSchema.openAPIV3Schema"


class ActionSetHandler:
    """Handles ActionSets."""

    kind = ACTION_SET
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge what can't be meant."""
        found = [*_steps(obj), *_intervals(obj), *_schema(obj)]
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Judge it; whoever uses it does the rest."""
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        unfit = [*_empty_steps(obj), *_jobs(obj), *_parameters(obj), *_type(obj)]
        return Problems(tuple(unfit)) if unfit else Desired()

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Say whether it can be used."""
        return availability(obj, outcome.problems)


def availability(obj: Object, problems: Problems | None) -> Object:
    """Return the status of an object that can be used, or can't."""
    status: Object = {"phase": "Unavailable" if problems else "Available", "observedGeneration": generation_of(obj)}
    return {**status, "message": str(problems)} if problems else status


def _actions(obj: Object) -> Iterator[tuple[str, Object]]:
    """Yield each step with the path of its field."""
    for section, name in (("backup", "preBackup"), ("backup", "postBackup"), ("restore", "postReady")):
        for number, action in enumerate(items(obj, "spec", section, name)):
            yield f"spec.{section}.{name}[{number}]", action


def _steps(obj: Object) -> Iterator[Problem]:
    for field, action in _actions(obj):
        command = mapping(action, "exec")
        if command and mapping(action, "job"):
            yield Problem(field, "only one of exec and job may be set")
        given = text(command, "timeout")
        try:
            good = not given or parse_duration(given).total_seconds() > 0
        except ValueError:
            good = False
        if not good:
            yield Problem(f"{field}.exec.timeout", f"{given!r} is not a positive duration such as 30s")


def _intervals(obj: Object) -> Iterator[Problem]:
    seconds = at(obj, "spec", "backup", "backupData", "syncProgress", "intervalSeconds")
    if isinstance(seconds, int) and seconds < 1:
        yield Problem("spec.backup.backupData.syncProgress.intervalSeconds", "must be at least 1")


def _empty_steps(obj: Object) -> Iterator[Problem]:
    for field, action in _actions(obj):
        command, job = mapping(action, "exec"), mapping(action, "job")
        if not command and not job:
            yield Problem(field, "one of exec and job is needed")
        elif command and not strings(command, "command"):
            yield Problem(f"{field}.exec.command", "is needed: what to run")
        elif job:
            yield from _job(job, f"{field}.job")


def _jobs(obj: Object) -> Iterator[Problem]:
    for section, name in (("backup", "backupData"), ("backup", "preDelete"), ("restore", "prepareData")):
        if at(obj, "spec", section, name) is not None:
            yield from _job(mapping(obj, "spec", section, name), f"spec.{section}.{name}")


def _job(job: Object, field: str) -> Iterator[Problem]:
    if not text(job, "image"):
        yield Problem(f"{field}.image", "is needed: the image of the container")
    if not strings(job, "command"):
        yield Problem(f"{field}.command", "is needed: what to run")


def _schema(obj: Object) -> Iterator[Problem]:
    schema = mapping(obj, "spec", "parametersSchema", "openAPIV3Schema")
    if schema:
        try:
            Schema.compile({"type": "object", "properties": {"parameters": {"type": "object", **schema}}})
        except SchemaError as error:
            yield Problem(_SCHEMA, f"can't be used: {error}")


def _parameters(obj: Object) -> Iterator[Problem]:
    declared = mapping(obj, "spec", "parametersSchema", "openAPIV3Schema", "properties")
    for section in ("backup", "restore"):
        unknown = [name for name in strings(obj, "spec", section, "withParameters") if name not in declared]
        if unknown:
            yield Problem(f"spec.{section}.withParameters", f"{', '.join(unknown)} is not in {_SCHEMA}")


def _type(obj: Object) -> Iterator[Problem]:
    backup = mapping(obj, "spec", "backup")
    if text(obj, "spec", "backupType") == "Continuous" and backup and not mapping(backup, "backupData"):
        yield Problem("spec.backup.backupData", "is needed by type Continuous: the program that stores the log")
