"""What a pass wants done to the cluster, as values.

`advance` returns them, the engine carries them out in order, and a crash between any two leaves a state from which the
next pass goes on: every effect is safe to repeat. Status comes after what was started, so that it never claims more than
exists; what is deleted or released comes last, after the status that remembers it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Amend, Note, SealedEntry, SecretCopy, SecretHold, Step


class AddFinalizer(msgspec.Struct, frozen=True):
    """Hold the owner, so that its end can be handled."""

    finalizer: str


class AmendOwner(msgspec.Struct, frozen=True):
    """Change the owner itself; what is secret in it moves into a Secret first."""

    amend: Amend


class AnnotateSealed(msgspec.Struct, frozen=True):
    """Keep an entry of a Secret in an annotation of the owner, sealed."""

    entry: SealedEntry


class Apply(msgspec.Struct, frozen=True):
    """Bring the owned fields of a child in line, or create it."""

    object: Object


class Create(msgspec.Struct, frozen=True):
    """Create a child unless its name exists. For the Job of a step, `step` and `run` say which."""

    object: Object
    step: Step | None = None
    run: str = ""


class CopySecret(msgspec.Struct, frozen=True):
    """Project a Secret into another namespace."""

    copy: SecretCopy


class HoldSecret(msgspec.Struct, frozen=True):
    """Put a finalizer on a Secret, or take it off."""

    hold: SecretHold


class PatchStatus(msgspec.Struct, frozen=True):
    """Merge `patch` into the owner's status; None removes a field."""

    patch: Mapping[str, Any]


class Emit(msgspec.Struct, frozen=True):
    """Record an Event on the owner."""

    note: Note


class Delete(msgspec.Struct, frozen=True):
    """Delete exactly the object with this uid. `wait`: it stays visible until its pods are gone."""

    ref: Ref
    uid: str
    reason: str
    wait: bool = False


class Requeue(msgspec.Struct, frozen=True):
    """Look again at that time."""

    at: datetime


class ReleaseFinalizer(msgspec.Struct, frozen=True):
    """Let the owner go."""

    finalizer: str


Effect = (
    AddFinalizer
    | AmendOwner
    | AnnotateSealed
    | Apply
    | Create
    | CopySecret
    | HoldSecret
    | PatchStatus
    | Emit
    | Delete
    | Requeue
    | ReleaseFinalizer
)
