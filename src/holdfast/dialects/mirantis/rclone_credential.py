"""RCloneCredential: access to a bucket in rclone's words. Its secret is moved to a Secret the moment it is seen."""

import re
from datetime import datetime
from typing import Final

from holdfast.core.conditions import condition, upsert
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, Sealed, View
from holdfast.core.read import conditions_of, mapping, name_of, text
from holdfast.dialects.mirantis import sealing
from holdfast.dialects.mirantis.kinds import RCLONE_CREDENTIAL

SECRET_OPTION: Final = "secret_access_key"
REMOTE: Final = "remote"
_NEEDED: Final = ("access_key_id", "endpoint", "type")
_NAME: Final = re.compile(r"[A-Za-z0-9_.+@][A-Za-z0-9_.+@ -]*(?<! )")
"""What rclone takes for the name of a remote: not beginning with a dash, neither beginning nor ending with a space."""
_OPTION: Final = re.compile(r"[A-Za-z0-9_]+")
_SECRETS: Final = frozenset({"secret_access_key", "session_token", "sse_customer_key", "sse_customer_key_base64"})


class RCloneCredentialHandler:
    """Handles RCloneCredentials."""

    kind = RCLONE_CREDENTIAL
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge the options. What was written is never repeated: a line of rclone's file in the wrong place has the secret."""
        options = mapping(obj, "spec", "remoteConfig")
        field = "spec.remoteConfig"
        found = [Problem(f"{field}.{name}", "is needed") for name in _NEEDED if not text(options, name)]
        if text(options, "type") not in ("", "s3"):
            found.append(Problem(f"{field}.type", "is not supported: only s3 is"))
        for name, value in options.items():
            if name in _SECRETS:
                found.append(Problem(f"{field}.{name}", "is a secret: give it in spec.remoteSecret.value instead"))
            elif not _OPTION.fullmatch(name):
                found.append(Problem(field, "has a key that is no option of rclone: letters, digits and _ only"))
            elif not isinstance(value, str | bool | int) or _breaks(str(value)):
                found.append(Problem(f"{field}.{name}", "is not an option of rclone with a value of one line"))
        name = text(obj, "spec", "remoteName", default=REMOTE)
        if not _NAME.fullmatch(name):
            found.append(Problem("spec.remoteName", "is not a name that rclone takes for a remote"))
        option = text(obj, "spec", "remoteConfigSecretKey", default=SECRET_OPTION)
        if not _OPTION.fullmatch(option):
            found.append(Problem("spec.remoteConfigSecretKey", "is no option of rclone: name one, such as secret_access_key"))
        elif option in options:
            found.append(Problem("spec.remoteConfigSecretKey", "names an option that is in remoteConfig already"))
        if not _clear(obj) and not text(obj, "spec", "remoteSecret", "name"):
            found.append(Problem("spec.remoteSecret.value", "is needed: the secret, which is moved to a Secret at once"))
        if _breaks(_clear(obj)):
            found.append(Problem("spec.remoteSecret.value", "has more than one line, which rclone's file can't hold"))
        if len(set(_given(obj))) > 1:
            found.append(Problem("spec.remoteSecret", "has two values, in value and in secret.value: give one"))
        return Problems(tuple(found)) if found else None

    def seal(self, obj: Object) -> Sealed | None:
        """Take the secret out of the object, from either of its two places."""
        value = _clear(obj)
        return sealing.moved(obj, "remoteSecret", f"{name_of(obj)}-rclone-secret", value) if value else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Seal what is clear, and only then judge the rest."""
        if (sealed := self.seal(obj)) is not None:
            return Desired(amend=sealing.amend(obj, sealed))
        return self.validate(obj, None, view) or Desired()

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Say whether the credential can be used."""
        judged = condition("Ready", True, "SecretKept", "the secret is in its Secret")
        if outcome.problems is not None:
            judged = condition("Ready", False, outcome.problems.items[0].reason, str(outcome.problems))
        return {**mapping(obj, "status"), "conditions": upsert(conditions_of(obj), judged, now)}


def options_of(obj: Object) -> dict[str, str]:
    """Return the options of the remote as rclone's file writes them."""
    found = mapping(obj, "spec", "remoteConfig")
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in found.items()}


def _given(obj: Object) -> list[str]:
    """Return what stands in clear in the two places of a secret, the newer place first."""
    places = (text(obj, "spec", "remoteSecret", "value"), text(obj, "spec", "remoteSecret", "secret", "value"))
    return [value for place in places if (value := place.strip("\r\n"))]


def _clear(obj: Object) -> str:
    return next(iter(_given(obj)), "")


def _breaks(value: str) -> bool:
    """Whether a value would begin another line of rclone's file."""
    return "\n" in value or "\r" in value
