"""Plan, Step and Run: one thing to do, its parts, and how far it is.

A dialect compiles an object into a `Desired`: children that shall exist, and plans to carry out. A `Plan` is a graph of
steps; a `Step` is one child object (a Job in nearly every case) with what must come before it. `Run` is what the
observed children say about a plan. Names are derived, never drawn, so that a plan that is seen twice starts once.
"""

import enum
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.core.objects import Object, Ref
from holdfast.core.report import Progress, Report


class When(enum.Enum):
    """When a step may start, seen from the steps it needs."""

    SUCCESS = "success"  # all of them succeeded
    FAILURE = "failure"  # all ended, at least one failed
    ALWAYS = "always"  # all ended, however


class OnError(enum.Enum):
    """What the failure of a step means for its run."""

    FAIL = "fail"
    CONTINUE = "continue"


class SecretFiles(msgspec.Struct, frozen=True):
    """A Secret that a mover reads as files below `/holdfast/secrets/<mount>`. Optional ones may be missing.

    `keys` are the only ones that it gets to see; none means all of them.
    """

    mount: str
    secret: str
    optional: bool = False
    keys: tuple[str, ...] = ()


class MoverCall(msgspec.Struct, frozen=True):
    """Which mover does the work of a step, with its arguments as plain JSON. No argument is ever a secret."""

    mover: str
    arguments: Mapping[str, Any]
    secrets: tuple[SecretFiles, ...] = ()


class Until(msgspec.Struct, frozen=True):
    """When the child of a step is done, for kinds that the engine does not know by themselves: what its status says.

    The word that decides is the text at `path`, or the status of the condition of type `condition`. Done well is one of
    `good`, failed one of `bad`, all else still runs. `message` is the path of a text for people; a condition brings its own.
    """

    path: tuple[str, ...] = ("status", "phase")
    condition: str = ""
    good: tuple[str, ...] = ("True", "Succeeded")
    bad: tuple[str, ...] = ("Failed",)
    message: tuple[str, ...] = ("status", "message")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a plan.

    `child` is in nearly every case a Job: the whole object but for what the mover fills into its first container (command,
    environment, mounts). It may as well be a VolumeSnapshot, done when it is ready to use; a PersistentVolumeClaim, done when
    it is bound, or made if its class waits for a pod; or any other object, done as `until` says (at once without one). Such
    children have no mover and take no slot of the budget. Their kinds must be in the dialect's `watched`.

    `deadline` counts from the start of the step; past it the child is deleted. `begun` says that the owner's status already
    shows this step as started: a child that is missing then was deleted by somebody, and is a failure instead of a second
    start. `outlives`: the child stays when its owner goes (a restored claim); else it goes with it.

    `attendants` are containers of the Job's pod, by name, that movers fill beside the first one or instead of it (a sidecar
    that watches a program of the user's): what one of them reports is the report of the step.
    """

    name: str
    child: Object
    mover: MoverCall | None = None
    needs: tuple[str, ...] = ()
    when: When = When.SUCCESS
    on_error: OnError = OnError.FAIL
    deadline: timedelta | None = None
    begun: bool = False
    until: Until | None = None
    outlives: bool = False
    attendants: Mapping[str, MoverCall] = {}


class RunKind(enum.Enum):
    """What a run is for."""

    INITIALIZE = "initialize"
    BACKUP = "backup"
    RESTORE = "restore"
    RETENTION = "retention"
    WIPE = "wipe"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run to do. `name` is unique among the plans of its owner. Past `deadline` whatever still runs is stopped."""

    name: str
    kind: RunKind
    steps: tuple[Step, ...]
    deadline: datetime | None = None
    started: datetime | None = None


class Phase(enum.Enum):
    """How far a step or a run is. The last three are terminal and never change."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.SKIPPED)


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster shows of one step. `message` is for people; while it runs it says what it waits for, if anything."""

    phase: Phase = Phase.WAITING
    exists: bool = False
    reason: str = ""
    message: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    report: Report | None = None
    progress: tuple[Progress, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as observed: its phase, why, and the state of each step by name."""

    name: str
    kind: RunKind
    phase: Phase
    reason: str = ""
    message: str = ""
    steps: Mapping[str, StepState] = {}


class Child(msgspec.Struct, frozen=True):
    """An object that shall exist. `create_only`: made once and then left to its own controller, never brought back in line.

    `mover` fills the first container of its pod template (`spec.template`, or a CronJob's `spec.jobTemplate.spec.template`),
    `attendants` others of it by name.
    """

    object: Object
    create_only: bool = False
    mover: MoverCall | None = None
    attendants: Mapping[str, MoverCall] = {}


class Recipe(msgspec.Struct, frozen=True, eq=False):
    """How the values of a Secret are made from those of another one. The engine calls it, and keeps what it gives to itself.

    `make` takes entries as texts and returns entries; it raises ValueError, whose text must hold none of them. `version`
    differs whenever `make` would make something else of the same entries. With `once` a Secret that exists is left alone,
    whoever made it, and it outlives its owner: what a key opened is not to be lost with the object that needed it first.
    """

    version: str
    make: Callable[[Mapping[str, str]], Mapping[str, str]]
    once: bool = False

    def __eq__(self, other: object) -> bool:
        """Two recipes of one version make the same."""
        return isinstance(other, Recipe) and (self.version, self.once) == (other.version, other.once)

    def __hash__(self) -> int:
        return hash((self.version, self.once))


class SecretCopy(msgspec.Struct, frozen=True):
    """A Secret to be projected into another namespace, since pods mount only their own. The core never sees its values.

    It bears the marks of `owner` (the object of the pass, when None) and goes with it. A `recipe` says what becomes of the
    values, which otherwise stay as they are; it may need no source at all. An `optional` one is left out while its source is
    missing, and nothing waits for it.
    """

    source: Ref | None
    target: Ref
    owner: Object | None = None
    recipe: Recipe | None = None
    optional: bool = False


class SecretHold(msgspec.Struct, frozen=True):
    """A Secret of the owner's namespace that must not go, whatever deletes it, until it is no longer `held`."""

    secret: Ref
    finalizer: str
    held: bool = True


class Amend(msgspec.Struct, frozen=True):
    """A change of the object itself, as a merge patch of its metadata or spec; None removes a field.

    `secret` is what the patch takes out of it: a complete Secret that is written first, or nothing is changed. It never shows
    in a repr, since effects are logged.
    """

    patch: Mapping[str, Any]
    secret: Object | None = None

    def __repr__(self) -> str:
        """Say which fields change, without a value."""
        return f"Amend({sorted(self.patch)}, secret={'yes' if self.secret else 'no'})"


class SealedEntry(msgspec.Struct, frozen=True, eq=False):
    """An annotation of the object that holds an entry of a Secret, sealed. It is written once; a missing entry leaves it out.

    The engine reads the value, gives it to `seal`, and keeps nothing of it.
    """

    annotation: str
    source: Ref
    key: str
    seal: Callable[[str], str]


class Note(msgspec.Struct, frozen=True):
    """An Event to record on the owner. `warning` chooses its type."""

    reason: str
    message: str
    warning: bool = False


class Doomed(msgspec.Struct, frozen=True):
    """An object that shall go, and why (the reason is shown in an event on the owner)."""

    ref: Ref
    reason: str


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect makes of one object.

    `amend` corrects the object itself before anything else is done, `sealed` annotates it. `hold` says whether the handler's
    finalizer is needed while the object lives; `release` lifts it from an object that is being deleted: it may go. `wake_at`
    asks for another look at that time.
    """

    amend: Amend | None = None
    sealed: SealedEntry | None = None
    children: tuple[Child, ...] = ()
    secret_copies: tuple[SecretCopy, ...] = ()
    secret_holds: tuple[SecretHold, ...] = ()
    doomed: tuple[Doomed, ...] = ()
    runs: tuple[Plan, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_at: datetime | None = None
    hold: bool = True
    release: bool = False


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with an object: which field, what, and what to do. `reason` is CamelCase."""

    field: str
    message: str
    reason: str = "ResourceValidationFailed"

    def __str__(self) -> str:
        """`spec.sessions[0].scheduler.schedule: ...`."""
        return f"{self.field}: {self.message}" if self.field else self.message


class Problems(msgspec.Struct, frozen=True):
    """A non-empty list of problems in the place of a Desired: nothing is done, the last good state stays."""

    items: tuple[Problem, ...]

    def __str__(self) -> str:
        """Every problem, in the order of the document."""
        return "; ".join(str(item) for item in self.items)
