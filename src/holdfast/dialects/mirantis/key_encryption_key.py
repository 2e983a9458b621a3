"""KeyEncryptionKey: a passphrase that wraps the data keys of archives.

Its Secret is named after the fingerprint of the key, so a new value never takes the place of one that archives still need, and
the same value given twice is the same Secret. The status remembers which archives need the key, also when their ClusterBackups
are gone (deleted by hand, or with their Cluster) and only the files are left. While there is one, finalizers keep the object
and its Secrets, whatever deletes them, until retention has deleted the files or somebody says that the key may be forgotten.
"""

from datetime import datetime
from typing import Final

from holdfast.core.conditions import condition, upsert
from holdfast.core.key_id import key_id
from holdfast.core.labels import annotation
from holdfast.core.objects import Kind, Object, Ref, bounded_name
from holdfast.core.plan import Amend, Desired, Note, Problem, Problems, SecretHold
from holdfast.core.ports import Outcome, Refs, Sealed, View
from holdfast.core.read import conditions_of, deleting, items, name_of, namespace_of, phase_of, strings, text, uid_of
from holdfast.dialects.mirantis import expiry, sealing
from holdfast.dialects.mirantis.kinds import CLUSTER_BACKUP, FORGET_KEY, KEY_ENCRYPTION_KEY

SHORTEST: Final = 32
"""Characters that a key must have, as documented."""

REMEMBERED: Final = 100
"""Archives in the status. More need not be known: one is enough to hold the key."""

_SECRET: Final = Kind("", "Secret")


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
        name = f"{name_of(obj)}-{key_id(value.encode())}"
        return sealing.moved(obj, "secret", name, value, lasting=True) if value else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Seal what is clear; hold the object and its Secrets while archives need them."""
        archives = _archives(obj, view)
        holds, release = _holds(obj, archives), deleting(obj) and not archives
        problems = self.validate(obj, None, view)
        if problems is not None:
            if not text(obj, "spec", "secret", "value"):
                return Desired(secret_holds=holds, release=release) if deleting(obj) else problems
            cleaned = sealing.amend(obj, Sealed(sealing.without(obj, "secret"), None))
            refused = Note("KeyRefused", str(problems), warning=True)
            return Desired(amend=cleaned, notes=(refused,), secret_holds=holds, release=release)
        sealed = self.seal(obj)
        changed: Amend | None = sealing.amend(obj, sealed) if sealed else None
        notes = (Note("KeyInUse", _why_kept(obj, archives), warning=True),) if deleting(obj) and archives else ()
        return Desired(amend=changed, notes=notes, secret_holds=holds, release=release)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Say whether the key is kept, which archives need it, and why it stays when it shall go."""
        archives = _archives(obj, view)
        judged = condition("Ready", True, "KeyKept", "the key is in its Secret")
        if outcome.problems is not None:
            judged = condition("Ready", False, outcome.problems.items[0].reason, str(outcome.problems))
        elif outcome.refused:
            judged = condition("Ready", False, "SecretRefused", _refused(obj, outcome))
        conditions = upsert(conditions_of(obj), judged, now)
        if deleting(obj) and (archives or outcome.refused):
            kept = condition("Deletable", False, "KeyInUse", _why_kept(obj, archives))
            stuck = condition("Deletable", False, "SecretRefused", _refused(obj, outcome))
            conditions = upsert(conditions, kept if archives else stuck, now)
        status: Object = {"conditions": conditions}
        if archives:
            status["archives"] = archives
        if held := _held(obj, outcome):
            status["heldSecrets"] = held
        return status


def _clear(obj: Object) -> str:
    """Return the text of a key that stands in the object, as OpenSSL takes it: the end of its line is no part of it."""
    return text(obj, "spec", "secret", "value").rstrip("\r\n")


def _archives(obj: Object, view: View) -> list[Object]:
    """Return the archives that need the key: what is remembered of ClusterBackups that are gone, then those that are there.

    None when its owner lets it go. One that is being made counts, one that failed does not.
    """
    if annotation(obj, FORGET_KEY) == name_of(obj):
        return []
    present = view.list(CLUSTER_BACKUP, namespace_of(obj))
    uids = {uid_of(backup) for backup in present}
    left = [archive for archive in items(obj, "status", "archives") if text(archive, "uid") not in uids]
    mine = [each for each in present if text(each, "status", "key", "name") == name_of(obj) and phase_of(each) != "Failed"]
    there = [_archive(backup) for backup in mine if not expiry.files_gone(backup, view)]
    return [*left, *sorted(there, key=lambda archive: (archive["name"], archive["uid"]))][:REMEMBERED]


def _archive(backup: Object) -> Object:
    place = text(backup, "status", "location")
    found = {"name": name_of(backup), "uid": uid_of(backup), "secret": text(backup, "status", "key", "secret")}
    return {**found, **({"location": place} if place else {})}


def _holds(obj: Object, archives: list[Object]) -> tuple[SecretHold, ...]:
    """Return the Secrets whose hold must change: those that archives need, and those that are held for none."""
    needed = {text(archive, "secret") for archive in archives} - {""}
    held = set(strings(obj, "status", "heldSecrets"))
    finalizer = f"holdfast.dev/{bounded_name(f'key-{name_of(obj)}')}"
    return tuple(
        SecretHold(Ref(_SECRET, namespace_of(obj), name), finalizer, held=name in needed) for name in sorted(needed ^ held)
    )


def _held(obj: Object, outcome: Outcome) -> list[str]:
    """Return the Secrets that are held after this pass: what was refused has not happened."""
    done = {hold.secret.name: hold.held for hold in outcome.holds if hold.secret.name not in outcome.refused}
    held = {name for name in strings(obj, "status", "heldSecrets") if name not in done}
    return sorted(held | {name for name, is_held in done.items() if is_held})


def _why_kept(obj: Object, archives: list[Object]) -> str:
    shown = [f"{each['name']} ({text(each, 'location') or 'being made'})" for each in archives[:5]]
    more = f" and {len(archives) - 5} more" if len(archives) > 5 else ""
    return (
        f"archives of {', '.join(shown)}{more} can't be opened without it, also when their ClusterBackups are gone:"
        f" to lose them for good, annotate this key with {FORGET_KEY}={name_of(obj)}"
    )


def _refused(obj: Object, outcome: Outcome) -> str:
    """Return what the server had against a Secret, and what to do about it."""
    told = [message for _, message in sorted(outcome.refused.items())]
    lost = [hold.secret.name for hold in outcome.holds if hold.held and hold.secret.name in outcome.refused]
    stuck = [hold.secret.name for hold in outcome.holds if not hold.held and hold.secret.name in outcome.refused]
    if lost:
        told.append(f"archives need what {', '.join(lost)} holds: give the same text again in spec.secret.value")
    if stuck:
        held = " ".join([*(f"secret/{name}" for name in stuck), f"keyencryptionkey/{name_of(obj)}"])
        command = f"kubectl -n {namespace_of(obj)} patch {held} --type=merge"
        told.append(f"""take the finalizers off by hand: {command} -p '{{"metadata":{{"finalizers":null}}}}'""")
    return "; ".join(told)
