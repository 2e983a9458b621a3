"""The doors of the core: what a dialect, a mover and a view of the cluster must offer.

The engine knows dialects and movers only through these protocols. All of them are pure but for `View`, which reads a
cache; whoever looks something up through a view is woken when it changes, also when it was missing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import msgspec

from holdfast.core.kinds import JOB
from holdfast.core.ledger import Schedule
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Desired, Problems, Run, SecretHold, Step, StepState, Until


class Refs(Protocol):
    """Reads other objects. A missing one is None; a look-up is remembered as an interest."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return one object."""
        ...

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label: tuple[str, str] | None = None,
        owner: str = "",
    ) -> Sequence[Object]:
        """Return objects by at most one of: label key and value, owner uid; namespace None means all."""
        ...


class View(Refs, Protocol):
    """Refs, and what the cluster shows of the child of a step."""

    def step(self, namespace: str, name: str, kind: Kind = JOB, until: Until | None = None) -> StepState:
        """Return the observed state of a step by its child: for a Job with its report and its progress.

        Other kinds must be in the dialect's `watched`; `until` is that of the step.
        """
        ...


class Outcome(msgspec.Struct, frozen=True):
    """What became of a pass: problems of the object, or the runs by plan name.

    `refused` says what the server had against a child, by the child's name, while it is refused. `holds` are the holds on
    Secrets of this pass, those that were refused among them.
    """

    problems: Problems | None = None
    runs: Mapping[str, Run] = {}
    refused: Mapping[str, str] = {}
    holds: tuple[SecretHold, ...] = ()


class Handler(Protocol):
    """One kind of a dialect."""

    @property
    def kind(self) -> Kind:
        """The kind it reconciles."""
        ...

    @property
    def finalizer(self) -> str:
        """The finalizer it holds while the object lives; empty for none."""
        ...

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what shall exist and run because of this object. Called also while it is being deleted."""
        ...

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the whole status; equal to the present one when nothing changed."""
        ...

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge a spec on its own and against what exists. Shared by admission and by `compile`."""
        ...


class Sealed(msgspec.Struct, frozen=True):
    """An object without its clear secret, and the Secret that holds it now. Never shown: the repr has no value."""

    object: Object
    secret: Object | None

    def __repr__(self) -> str:
        """Name nothing but the kind."""
        return f"Sealed({self.object.get('kind')})"


@runtime_checkable
class Sealing(Protocol):
    """A handler whose objects may come with a clear secret, which must never be stored."""

    def seal(self, obj: Object) -> Sealed | None:
        """Take the secret out; None when there is none."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """A handler whose objects have schedules. The engine keeps a Ledger for each, see `core.ledger`."""

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[Schedule]:
        """Return the schedules of an object that `compile` had no problems with, with every run that can be seen."""
        ...


@runtime_checkable
class Grouped(Protocol):
    """A handler of objects that are one run each. People ask when the last one of a group went well."""

    group: str
    """The label that names the group, such as the policy that a Backup belongs to."""


class Sums(msgspec.Struct, frozen=True):
    """What a status sums up: the objects of kind `of`, in the fields `fields` of the status, which nobody else looks at."""

    of: Kind
    fields: frozenset[str]


@runtime_checkable
class Summing(Protocol):
    """A handler whose status sums up many objects of one kind.

    A change of one of them lets its pass wait a little, so that many changes are one; a deletion does not. A change of nothing
    but the sums wakes nobody else, however many look at the object.
    """

    @property
    def sums(self) -> Sums:
        """What is summed up, and where."""
        ...


class Dialect(Protocol):
    """One API: its handlers, and the kinds they look at."""

    @property
    def name(self) -> str:
        """Short name: `kubestash`."""
        ...

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        ...

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up or owns, beside the handled ones."""
        ...

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets: the operator's rights follow from it."""
        ...


class Populating(Protocol):
    """Fills claims whose `dataSourceRef` names one kind; see `core.populate`."""

    @property
    def source(self) -> Kind:
        """The kind that claims name. It must be among the dialect's handled or watched kinds."""
        ...

    def fill(self, claim: Object, source: Object, scratch: str, view: View, now: datetime) -> Desired | Problems:
        """Say what fills the claim `scratch` of the claim's namespace, which has the shape of `claim`, from `source`.

        The children of the runs are owned by `claim`. No runs: not yet, and the rest is done all the same. Called until the
        runs have succeeded, also while they run; names derive from the claim's uid.
        """
        ...


@runtime_checkable
class Populates(Protocol):
    """A dialect whose objects can fill claims."""

    @property
    def populators(self) -> Sequence[Populating]:
        """One for each kind."""
        ...


class Fill(msgspec.Struct, frozen=True):
    """What a mover puts into the first container of its pod and into the pod itself."""

    command: tuple[str, ...]
    env: Mapping[str, str] = {}
    mounts: tuple[Mapping[str, Any], ...] = ()
    volumes: tuple[Mapping[str, Any], ...] = ()


class Mover(Protocol):
    """One program that moves data."""

    @property
    def name(self) -> str:
        """As a `MoverCall` names it: `volume-backup`."""
        ...

    def fill(self, step: Step) -> Fill:
        """Return command, environment and mounts for the step's pod. Pure."""
        ...
