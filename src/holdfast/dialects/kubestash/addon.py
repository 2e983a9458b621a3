"""Addon: the tasks that sessions may name. It does nothing itself; what is wrong with one is told when it is written."""

from datetime import datetime

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, mapping
from holdfast.dialects.kubestash import addons
from holdfast.dialects.kubestash.kinds import ADDON


class AddonHandler:
    """Handles Addons: it only judges them."""

    kind = ADDON
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge each task: its name, Function, driver and executor."""
        found = addons.declaration_problems(obj)
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask for nothing: an Addon acts through the sessions that name it."""
        problems = None if deleting(obj) else self.validate(obj, None, view)
        return problems or Desired(release=deleting(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status: this kind has none."""
        return mapping(obj, "status")
