"""Claims that are filled before they are bound: each move of the populator, and what it never does."""

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.sim.world import World, job

from holdfast.core.advance import advance
from holdfast.core.kinds import CLAIM, JOB, POD, STORAGE_CLASS, VOLUME
from holdfast.core.objects import Kind, Object, Ref
from holdfast.core.plan import Desired, Plan, Problem, Problems, RunKind, Step
from holdfast.core.populate import RETRY, Populator, populators, scratch_name
from holdfast.core.ports import View

THING = Kind("shop.example", "Thing")
SCRATCH = "populate-u1"


class Filling:
    """Fills a claim by one Job, unless it is told to refuse or to wait."""

    source = THING

    def __init__(self) -> None:
        self.refuses, self.waits = "", False
        self.asked: list[tuple[str, str]] = []

    def fill(self, claim: Object, source: Object, scratch: str, view: View, now: datetime) -> Desired | Problems:
        self.asked.append((source["metadata"]["name"], scratch))
        if self.refuses:
            return Problems((Problem("", self.refuses),))
        step = Step(name="fill", child=job("fill-u1"))
        return Desired() if self.waits else Desired(runs=(Plan(name="fill", kind=RunKind.RESTORE, steps=(step,)),))


class Scene:
    """A cluster with a claim that names a Thing, and passes over it."""

    def __init__(self, mode: str = "Immediate", **spec: Any) -> None:
        self.world, self.filling = World(), Filling()
        self.populator = Populator([self.filling])
        source = {"apiGroup": "shop.example", "kind": "Thing", "name": "t"}
        given = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "dataSourceRef": source, **spec}
        meta = {"name": "data", "namespace": "demo", "uid": "u1"}
        self.claim: Object = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": given}
        self.put(self.claim, CLAIM)
        self.put({"kind": "StorageClass", "metadata": {"name": "fast"}, "volumeBindingMode": mode}, STORAGE_CLASS)
        self.put({"kind": "Thing", "metadata": {"name": "t", "namespace": "demo"}}, THING)

    def put(self, obj: Object, kind: Kind) -> None:
        meta = obj["metadata"]
        self.world.objects[Ref(kind, meta.get("namespace", ""), meta["name"])] = obj

    def turn(self) -> list[str]:
        """One pass; returns the reasons of the events."""
        desired = self.populator.compile(self.claim, self.world, self.world.now)
        assert isinstance(desired, Desired)
        for effect in advance(self.claim, desired, self.world, self.world.now).effects(None):
            self.world.carry_out(copy.deepcopy(self.claim), effect)
        return [note.reason for note in desired.notes]

    def bind_scratch(self) -> None:
        """Let the cluster give the scratch claim a volume."""
        self.get(CLAIM, SCRATCH)["spec"]["volumeName"] = "pv-1"
        reference = {"namespace": "demo", "name": SCRATCH, "uid": self.get(CLAIM, SCRATCH)["metadata"]["uid"]}
        volume = {"kind": "PersistentVolume", "metadata": {"name": "pv-1", "uid": "v1"}, "spec": {"claimRef": reference}}
        self.put(volume, VOLUME)

    def get(self, kind: Kind, name: str) -> Object:
        return self.world.objects[Ref(kind, "" if kind == VOLUME else "demo", name)]

    def has(self, kind: Kind, name: str) -> bool:
        return Ref(kind, "demo", name) in self.world.objects

    def owner(self) -> str:
        return self.get(VOLUME, "pv-1")["spec"]["claimRef"]["name"]


def test_the_volume_changes_hands_when_it_is_full_and_no_sooner() -> None:
    scene = Scene()
    assert scene.turn() == ["Populating"]
    scratch = scene.get(CLAIM, SCRATCH)
    assert scratch["spec"] == {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast"}
    assert scratch["metadata"]["ownerReferences"][0]["uid"] == "u1"
    scene.bind_scratch()
    scene.turn()
    assert scene.has(JOB, "fill-u1")
    assert scene.owner() == SCRATCH
    scene.world.end("fill-u1", well=True)
    assert scene.turn() == ["Populated"]
    assert scene.owner() == "data"
    assert scene.get(VOLUME, "pv-1")["spec"]["claimRef"]["uid"] == "u1"


def test_a_fill_that_ended_before_its_volume_is_seen_waits_for_it() -> None:
    scene = Scene()
    scene.turn()
    scene.turn()
    scene.world.end("fill-u1", well=True)
    assert scene.turn() == []
    scene.bind_scratch()
    assert scene.turn() == ["Populated"]


def test_what_filled_it_goes_when_the_claim_is_bound() -> None:
    scene = Scene()
    scene.turn()
    scene.bind_scratch()
    scene.turn()
    scene.world.end("fill-u1", well=True)
    scene.turn()
    scene.turn()
    assert scene.has(CLAIM, SCRATCH)
    scene.claim["status"] = {"phase": "Bound"}
    scene.turn()
    assert not scene.has(CLAIM, SCRATCH)
    assert not scene.has(JOB, "fill-u1")
    assert scene.owner() == "data"
    writes = scene.world.writes
    scene.turn()
    assert scene.world.writes == writes


def test_a_failure_is_told_and_begun_again_from_nothing() -> None:
    scene = Scene()
    scene.turn()
    scene.bind_scratch()
    scene.turn()
    scene.world.end("fill-u1", well=False)
    assert scene.turn() == ["PopulateFailed"]
    assert scene.has(JOB, "fill-u1")
    assert scene.owner() == SCRATCH
    scene.world.now += RETRY
    scene.turn()
    assert not scene.has(JOB, "fill-u1")
    assert not scene.has(CLAIM, SCRATCH)
    scene.turn()
    assert scene.has(CLAIM, SCRATCH)


def test_a_class_that_waits_for_a_pod_is_not_forestalled() -> None:
    scene = Scene("WaitForFirstConsumer")
    assert scene.turn() == []
    assert scene.world.created == []
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    scene.put({"kind": "Pod", "metadata": {"name": "p", "namespace": "demo"}, "spec": {"volumes": volumes}}, POD)
    assert scene.turn() == ["Populating"]


def test_the_node_that_the_scheduler_chose_is_passed_on() -> None:
    scene = Scene("WaitForFirstConsumer")
    scene.claim["metadata"]["annotations"] = {"volume.kubernetes.io/selected-node": "n1"}
    scene.turn()
    assert scene.get(CLAIM, SCRATCH)["metadata"]["annotations"] == {"volume.kubernetes.io/selected-node": "n1"}


def test_a_source_that_is_missing_refused_or_not_ready_starts_nothing() -> None:
    scene = Scene()
    del scene.world.objects[Ref(THING, "demo", "t")]
    assert scene.turn() == ["SourceMissing"]
    scene = Scene()
    scene.filling.refuses = "this backup failed"
    assert scene.turn() == ["PopulateRefused"]
    scene = Scene()
    scene.filling.waits = True
    assert scene.turn() == []
    assert scene.world.created == []
    assert scene.filling.asked == [("t", SCRATCH)]


def test_a_claim_for_which_nothing_makes_a_volume_says_so() -> None:
    scene = Scene(storageClassName="gone")
    assert scene.turn() == ["NoStorageClass"]
    assert Scene(storageClassName="").turn() == ["NoStorageClass"]
    scene.claim["spec"].pop("storageClassName")
    assert scene.turn() == ["NoStorageClass"]
    assert scene.world.created == []


def test_a_source_of_another_namespace_is_refused() -> None:
    source = {"apiGroup": "shop.example", "kind": "Thing", "name": "t", "namespace": "other"}
    assert Scene(dataSourceRef=source).turn() == ["PopulateRefused"]


def test_a_claim_of_that_name_which_is_not_ours_is_left_alone() -> None:
    scene = Scene()
    scene.put({"kind": "PersistentVolumeClaim", "metadata": {"name": SCRATCH, "namespace": "demo"}, "spec": {}}, CLAIM)
    assert scene.turn() == ["PopulateRefused"]


def test_other_claims_are_none_of_its_business() -> None:
    for source in (None, {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}):
        scene = Scene(dataSourceRef=source)
        assert scene.turn() == []
        assert scene.world.writes == 0


def test_dialects_that_fill_claims_get_a_handler_of_claims() -> None:
    class Plain:
        name = "plain"
        handlers: Sequence[Any] = ()
        watched: Sequence[Kind] = ()
        makes: Sequence[Kind] = ()

    class Filled(Plain):
        populators = (Filling(),)

    plain, filled = Plain(), Filled()
    assert populators([plain]) == [plain]
    found = populators([plain, filled])
    assert found[:2] == [plain, filled]
    assert THING in found[2].watched
    assert [handler.kind for handler in found[2].handlers] == [CLAIM]
    assert scratch_name({"metadata": {"uid": "u1"}}) == SCRATCH
