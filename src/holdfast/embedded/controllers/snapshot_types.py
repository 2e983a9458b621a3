"""VolumeSnapshot and its two companions (`snapshot.storage.k8s.io/v1`): the fields of the published API, in our words.

They are installed only where no definition of them exists; a cluster's own is never touched.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET

from holdfast.schema.fields import Maybe, Opaque, Rule, Time, Wire, doc
from holdfast.schema.kind import AGE, Column, KindSpec

GROUP: Final = "snapshot.storage.k8s.io"
Policy = Literal["Delete", "Retain"]


_ONE: Final = Rule(
    "has(self.persistentVolumeClaimName) != has(self.volumeSnapshotContentName)",
    "exactly one of persistentVolumeClaimName and volumeSnapshotContentName must be set",
)
_SAME: Final = Rule("self == oldSelf", "the source can't be changed: make another snapshot")


class SnapshotError(Wire):
    """The last thing that went wrong."""

    message: Maybe[Annotated[str, doc("What went wrong.")]] = UNSET
    time: Maybe[Annotated[Time, doc("When it went wrong.")]] = UNSET


class SnapshotSource(Wire):
    """Where a snapshot comes from: one of the two."""

    RULES = (_ONE, _SAME)

    persistent_volume_claim_name: Maybe[Annotated[str, doc("Claim of the same namespace to take a snapshot of.")]] = UNSET
    volume_snapshot_content_name: Maybe[Annotated[str, doc("Content that exists already and is to be bound.")]] = UNSET


class SnapshotSpec(Wire):
    """What is asked for."""

    source: Annotated[SnapshotSource, doc("Where the snapshot comes from.")]
    volume_snapshot_class_name: Maybe[Annotated[str, doc("Class to take it with; without it the default class.")]] = UNSET


class SnapshotStatus(Wire):
    """What there is."""

    bound_volume_snapshot_content_name: Maybe[Annotated[str, doc("Content that holds the snapshot.")]] = UNSET
    creation_time: Maybe[Annotated[Time, doc("The moment that the snapshot shows.")]] = UNSET
    ready_to_use: Maybe[Annotated[bool, doc("Whether a volume can be made of it.")]] = UNSET
    restore_size: Maybe[Annotated[str, doc("Least size of a volume made of it.")]] = UNSET
    error: Maybe[Annotated[SnapshotError, doc("The last thing that went wrong.")]] = UNSET
    volume_group_snapshot_name: Maybe[Annotated[str, doc("Group snapshot that it belongs to.")]] = UNSET


class VolumeSnapshot(Wire):
    """A request for a snapshot of a volume, and what became of it."""

    spec: Annotated[SnapshotSpec, doc("What is asked for.")]
    status: Maybe[Annotated[SnapshotStatus, doc("What there is.")]] = UNSET


class ContentSource(Wire):
    """The volume to take a snapshot of, or the snapshot that exists: one of the two."""

    RULES = (
        Rule(
            "has(self.volumeHandle) != has(self.snapshotHandle)", "exactly one of volumeHandle and snapshotHandle must be set"
        ),
    )

    volume_handle: Maybe[Annotated[str, doc("Volume to take a snapshot of, in the words of its driver.")]] = UNSET
    snapshot_handle: Maybe[Annotated[str, doc("Snapshot that exists, in the words of its driver.")]] = UNSET


class ContentSpec(Wire):
    """A snapshot as its driver knows it."""

    OPEN = True

    deletion_policy: Annotated[Policy, doc("Whether the data goes with this object.")]
    driver: Annotated[str, doc("Driver that keeps the snapshot.")]
    source: Annotated[ContentSource, doc("Volume or snapshot behind it.")]
    volume_snapshot_ref: Annotated[Opaque, doc("The VolumeSnapshot that it is bound to.")]
    volume_snapshot_class_name: Maybe[Annotated[str, doc("Class it was taken with.")]] = UNSET
    source_volume_mode: Maybe[Annotated[str, doc("Mode of the volume it was taken of.")]] = UNSET


class ContentStatus(Wire):
    """What the driver says of it."""

    creation_time: Maybe[Annotated[int, doc("The moment it shows, in nanoseconds since 1970.")]] = UNSET
    ready_to_use: Maybe[Annotated[bool, doc("Whether a volume can be made of it.")]] = UNSET
    restore_size: Maybe[Annotated[int, doc("Least size of a volume made of it, in bytes.")]] = UNSET
    snapshot_handle: Maybe[Annotated[str, doc("Its name in the words of its driver.")]] = UNSET
    error: Maybe[Annotated[SnapshotError, doc("The last thing that went wrong.")]] = UNSET
    volume_group_snapshot_handle: Maybe[Annotated[str, doc("Group snapshot that it belongs to.")]] = UNSET


class VolumeSnapshotContent(Wire):
    """A snapshot that exists."""

    spec: Annotated[ContentSpec, doc("A snapshot as its driver knows it.")]
    status: Maybe[Annotated[ContentStatus, doc("What the driver says of it.")]] = UNSET


class VolumeSnapshotClass(Wire):
    """How snapshots are taken."""

    deletion_policy: Annotated[Policy, doc("Whether the data goes with the VolumeSnapshot.")]
    driver: Annotated[str, doc("Driver that takes the snapshots.")]
    parameters: Maybe[Annotated[dict[str, str], doc("Settings of the driver.")]] = UNSET


KINDS: Final = (
    KindSpec(
        group=GROUP,
        version="v1",
        kind="VolumeSnapshot",
        plural="volumesnapshots",
        type=VolumeSnapshot,
        short_names=("vs",),
        columns=(
            Column("ReadyToUse", ".status.readyToUse", "boolean"),
            Column("SourcePVC", ".spec.source.persistentVolumeClaimName"),
            Column("SourceSnapshotContent", ".spec.source.volumeSnapshotContentName"),
            Column("RestoreSize", ".status.restoreSize"),
            Column("SnapshotClass", ".spec.volumeSnapshotClassName"),
            Column("SnapshotContent", ".status.boundVolumeSnapshotContentName"),
            Column("CreationTime", ".status.creationTime", "date"),
            AGE,
        ),
    ),
    KindSpec(
        group=GROUP,
        version="v1",
        kind="VolumeSnapshotContent",
        plural="volumesnapshotcontents",
        type=VolumeSnapshotContent,
        short_names=("vsc", "vscs"),
        namespaced=False,
        columns=(
            Column("ReadyToUse", ".status.readyToUse", "boolean"),
            Column("RestoreSize", ".status.restoreSize", "integer"),
            Column("DeletionPolicy", ".spec.deletionPolicy"),
            Column("Driver", ".spec.driver"),
            Column("VolumeSnapshotClass", ".spec.volumeSnapshotClassName"),
            Column("VolumeSnapshot", ".spec.volumeSnapshotRef.name"),
            Column("VolumeSnapshotNamespace", ".spec.volumeSnapshotRef.namespace"),
            AGE,
        ),
    ),
    KindSpec(
        group=GROUP,
        version="v1",
        kind="VolumeSnapshotClass",
        plural="volumesnapshotclasses",
        type=VolumeSnapshotClass,
        short_names=("vsclass", "vsclasses"),
        namespaced=False,
        columns=(Column("Driver", ".driver"), Column("DeletionPolicy", ".deletionPolicy"), AGE),
    ),
)
