"""What to do about a VolumeSnapshot: pure. The rules are those of the snapshot documentation of Kubernetes."""

import enum
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.embedded.controllers.claim_decision import PROVISIONED_BY, PROVISIONER
from holdfast.embedded.read import items, mapping

DEFAULT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"
BOUND = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
CONTENT_BOUND = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"


class Do(enum.Enum):
    """The next thing to do with a VolumeSnapshot."""

    NOTHING = "nothing"
    PROTECT = "protect"
    CLASSIFY = "classify"
    CREATE = "create"
    SHOW = "show"
    FAIL = "fail"
    DROP = "drop"
    RELEASE = "release"


class Decision(msgspec.Struct, frozen=True):
    """One step: a class to write down, a content to create or to drop, a status to show, or what is wrong."""

    do: Do
    name: str = ""
    content: Object | None = None
    status: Object = {}
    message: str = ""


def decide(
    snapshot: Object, content: Object | None, classes: Sequence[Object], claim: Object | None, volume: Object | None
) -> Decision:
    """Judge a VolumeSnapshot. `content` is the one it is or would be bound to, `claim` and `volume` its source."""
    meta, spec = snapshot["metadata"], snapshot["spec"]
    protected = BOUND in items(meta, "finalizers")
    if meta.get("deletionTimestamp"):
        if content is not None and _mine(content, snapshot) and not content["metadata"].get("deletionTimestamp"):
            return Decision(Do.DROP, content=content)
        return Decision(Do.RELEASE if (protected and content is None) or (protected and not _keeps(content)) else Do.NOTHING)
    if not protected:
        return Decision(Do.PROTECT)
    if content is not None:
        return _bound(snapshot, content)
    source = mapping(spec, "source")
    if source.get("volumeSnapshotContentName"):
        return _fail(f"VolumeSnapshotContent {source['volumeSnapshotContentName']} does not exist")
    named = spec.get("volumeSnapshotClassName")
    if named is None:
        default = default_class(classes)
        if default is None:
            return _fail("it names no class, and no VolumeSnapshotClass is marked as the default")
        return Decision(Do.CLASSIFY, name=default["metadata"]["name"])
    chosen = next((each for each in classes if each["metadata"]["name"] == named), None)
    if chosen is None:
        return _fail(f"VolumeSnapshotClass {named} does not exist")
    return _create(snapshot, chosen, claim, volume)


def _create(snapshot: Object, chosen: Object, claim: Object | None, volume: Object | None) -> Decision:
    name = mapping(snapshot["spec"], "source").get("persistentVolumeClaimName")
    if not name:
        return _fail("its source names neither a claim nor a content")
    if claim is None:
        return _fail(f"PersistentVolumeClaim {name} does not exist")
    if mapping(claim, "status").get("phase") != "Bound" or volume is None:
        return _fail(f"PersistentVolumeClaim {name} is not bound yet")
    if mapping(volume["metadata"], "annotations").get(PROVISIONED_BY) != PROVISIONER:
        return _fail(f"the volume of {name} was not provisioned by {PROVISIONER}: snapshots of it can't be taken here")
    if chosen.get("driver") != PROVISIONER:
        made_by = chosen.get("driver")
        return _fail(f"VolumeSnapshotClass {chosen['metadata']['name']} is for {made_by}; volumes here are of {PROVISIONER}")
    return Decision(Do.CREATE, content=content_of(snapshot, chosen, volume))


def content_of(snapshot: Object, chosen: Object, volume: Object) -> Object:
    """Build the content for a snapshot; its name follows from the snapshot's uid."""
    meta = snapshot["metadata"]
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": content_name(snapshot), "finalizers": [CONTENT_BOUND]},
        "spec": {
            "deletionPolicy": chosen.get("deletionPolicy") or "Delete",
            "driver": PROVISIONER,
            "source": {"volumeHandle": volume["metadata"]["name"]},
            "sourceVolumeMode": "Filesystem",
            "volumeSnapshotClassName": chosen["metadata"]["name"],
            "volumeSnapshotRef": {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }


def content_name(snapshot: Object) -> str:
    """The content that a snapshot is bound to, or would be."""
    given = mapping(snapshot["spec"], "source").get("volumeSnapshotContentName")
    return str(given or f"snapcontent-{snapshot['metadata']['uid']}")


def default_class(classes: Sequence[Object]) -> Object | None:
    """The default class of our driver."""
    fitting = (each for each in classes if each.get("driver") == PROVISIONER)
    return next((each for each in fitting if mapping(each["metadata"], "annotations").get(DEFAULT_CLASS) == "true"), None)


def _mine(content: Object, snapshot: Object) -> bool:
    reference = mapping(content["spec"], "volumeSnapshotRef")
    meta = snapshot["metadata"]
    named = (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])
    return named and reference.get("uid") in (None, "", meta["uid"])


def _keeps(content: Object | None) -> bool:
    """Whether a content that goes with its snapshot is still there."""
    return content is not None and content["spec"].get("deletionPolicy") == "Delete"


def _fail(message: str) -> Decision:
    return Decision(Do.FAIL, message=message)


def _bound(snapshot: Object, content: Object) -> Decision:
    if not _mine(content, snapshot):
        return _fail(f"VolumeSnapshotContent {content['metadata']['name']} belongs to another VolumeSnapshot")
    found = mapping(content, "status")
    status: Object = {
        "boundVolumeSnapshotContentName": content["metadata"]["name"],
        "readyToUse": bool(found.get("readyToUse")),
    }
    if found.get("creationTime"):
        status["creationTime"] = format_time(datetime.fromtimestamp(found["creationTime"] / 1e9, UTC))
    if found.get("restoreSize") is not None:
        status["restoreSize"] = str(found["restoreSize"])
    if found.get("error"):
        status["error"] = found["error"]
    return Decision(Do.SHOW, status=status)
