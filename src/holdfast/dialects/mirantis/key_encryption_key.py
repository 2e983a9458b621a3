"""KeyEncryptionKey: a passphrase that wraps the data keys of archives.

Its Secret is named after the fingerprint of the key, so a new value never takes the place of one that archives still need, and
the same value given twice is the same Secret. While a completed ClusterBackup needs the key it can't be deleted silently: the
object stays and says which archives would be lost.
"""

from datetime import datetime
from typing import Final

from holdfast.core.conditions import condition, upsert
from holdfast.core.key_id import key_id
from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.plan import Amend, Desired, Note, Problem, Problems
from holdfast.core.ports import Outcome, Refs, Sealed, View
from holdfast.core.read import conditions_of, deleting, mapping, name_of, namespace_of, phase_of, text
from holdfast.dialects.mirantis import sealing
from holdfast.dialects.mirantis.kinds import CLUSTER_BACKUP, FORGET_KEY, KEY_ENCRYPTION_KEY

SHORTEST: Final = 32
"""Characters that a key must have, as documented."""


class KeyEncryptionKeyHandler:
    """Handles KeyEncryptionKeys."""

    kind = KEY_ENCRYPTION_KEY
    finalizer = "holdfast.dev/key-in-use"

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge the text of a key without ever repeating it."""
        value = _clear(obj)
        found: list[Problem] = []
        if value and len(value) < SHORTEST:
            found.append(Problem("spec.secret.value", f"has {len(value)} characters; at least {SHORTEST} are needed"))
        if any(char in value for char in "\r\n\0"):
            found.append(Problem("spec.secret.value", "has more than one line, of which OpenSSL would take only the first"))
        if not value and not text(obj, "spec", "secret", "name"):
            found.append(Problem("spec.secret.value", "is needed: the text of the key, which is moved to a Secret at once"))
        return Problems(tuple(found)) if found else None

    def seal(self, obj: Object) -> Sealed | None:
        """Take the text of the key out of the object."""
        value = _clear(obj)
        return sealing.moved(obj, "secret", f"{name_of(obj)}-{key_id(value.encode())}", value) if value else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Seal what is clear; hold the object while archives need it."""
        problems = self.validate(obj, None, view)
        if problems is not None:
            if not text(obj, "spec", "secret", "value"):
                return Desired(release=True) if deleting(obj) else problems
            cleaned = sealing.amend(obj, Sealed(sealing.without(obj, "secret"), None))
            return Desired(amend=cleaned, notes=(Note("KeyRefused", str(problems), warning=True),), release=deleting(obj))
        sealed = self.seal(obj)
        changed: Amend | None = sealing.amend(obj, sealed) if sealed else None
        return Desired(amend=changed, release=deleting(obj) and not _kept_for(obj, view))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Say whether the key is kept, and which archives need it when it shall go."""
        judged = condition("Ready", True, "KeyKept", "the key is in its Secret")
        if outcome.problems is not None:
            judged = condition("Ready", False, outcome.problems.items[0].reason, str(outcome.problems))
        conditions = upsert(conditions_of(obj), judged, now)
        if deleting(obj) and (archives := _kept_for(obj, view)):
            why = (
                f"archives of {', '.join(archives[:5])}{' and more' if len(archives) > 5 else ''} can't be opened without it:"
                f" delete those ClusterBackups, or annotate this key with {FORGET_KEY}={name_of(obj)}"
            )
            conditions = upsert(conditions, condition("Deletable", False, "KeyInUse", why), now)
        return {**mapping(obj, "status"), "conditions": conditions}


def _clear(obj: Object) -> str:
    """Return the text of a key that stands in the object, as OpenSSL takes it: the end of its line is no part of it."""
    return text(obj, "spec", "secret", "value").rstrip("\r\n")


def _kept_for(obj: Object, view: View) -> list[str]:
    """Return the completed ClusterBackups whose archives need the key, unless its owner lets it go."""
    if annotation(obj, FORGET_KEY) == name_of(obj):
        return []
    backups = view.list(CLUSTER_BACKUP, namespace_of(obj))
    needing = [backup for backup in backups if text(backup, "status", "key", "name") == name_of(obj)]
    return sorted(name_of(backup) for backup in needing if phase_of(backup) == "Completed")
