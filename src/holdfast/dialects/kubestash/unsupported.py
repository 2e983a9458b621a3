"""Kinds of the API that act by themselves and that this build does not act on: refused, so that nobody waits for them."""

from datetime import datetime

import msgspec

from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, mapping
from holdfast.dialects.kubestash.kinds import CORE

KINDS = tuple(Kind(CORE, name) for name in ("BackupBlueprint", "BackupVerifier", "BackupVerificationSession"))


class UnsupportedHandler(msgspec.Struct, frozen=True):
    """Refuses every object of a kind."""

    kind: Kind
    finalizer: str = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Refuse it."""
        return Problems((Problem("", f"{self.kind.kind} is not supported yet: nothing would act on it"),))

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Do nothing."""
        return Desired(release=deleting(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status."""
        return mapping(obj, "status")
