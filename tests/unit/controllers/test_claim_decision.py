from tests.unit.controllers.objects import ago

from holdfast.core.objects import Object
from holdfast.embedded.controllers.claim_decision import CLAIM_FINALIZER, Decision, Do, decide, volume_of, volume_phase
from holdfast.embedded.controllers.run import storage_class


def claim(**spec: object) -> Object:
    meta = {"name": "data", "namespace": "demo", "uid": "claim-1", "finalizers": [CLAIM_FINALIZER]}
    wanted = {"storageClassName": "standard", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": meta, "spec": {**wanted, **spec}, "status": {"phase": "Pending"}}


def volume(name: str = "pv", size: str = "2Gi", **spec: object) -> Object:
    base = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": ""}
    return {"metadata": {"name": name}, "spec": {**base, **spec}}


def judge(obj: Object, *volumes: Object, classes: tuple[Object, ...] = (), users: int = 0) -> Decision:
    return decide(obj, volumes, classes or (storage_class(),), users=users, waiting=users)


def test_a_claim_without_a_class_gets_the_default_one() -> None:
    obj = claim()
    del obj["spec"]["storageClassName"]
    found = judge(obj)
    assert found.do is Do.CLASSIFY
    assert found.storage_class == storage_class()


def test_a_claim_of_our_class_is_provisioned_as_a_directory() -> None:
    assert judge(claim()).do is Do.PROVISION
    made = volume_of(claim(), storage_class(), "/data/volumes/pvc-claim-1")
    assert made["spec"]["hostPath"]["path"] == "/data/volumes/pvc-claim-1"
    assert made["spec"]["claimRef"]["uid"] == "claim-1"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


def test_the_smallest_volume_that_fits_is_bound_before_one_is_made() -> None:
    found = judge(claim(storageClassName=""), volume("big", "9Gi"), volume("fit", "1Gi"), volume("small", "1Mi"))
    assert found.do is Do.BIND
    assert found.volume is not None
    assert found.volume["metadata"]["name"] == "fit"


def test_a_crash_between_volume_and_claim_goes_on_with_that_volume() -> None:
    made = volume_of(claim(), storage_class(), "/x")
    assert judge(claim(), made) == Decision(Do.BIND, volume=made)


def test_an_unknown_class_is_named_with_those_there_are() -> None:
    found = judge(claim(storageClassName="fast"))
    assert (found.do, found.reason) == (Do.WAIT, "ProvisioningFailed")
    assert "fast" in found.message
    assert "standard" in found.message


def test_a_first_consumer_is_waited_for() -> None:
    late = storage_class() | {"volumeBindingMode": "WaitForFirstConsumer"}
    assert judge(claim(), classes=(late,)).reason == "WaitForFirstConsumer"
    assert judge(claim(), classes=(late,), users=1).do is Do.PROVISION


def test_a_claim_that_is_to_be_filled_from_elsewhere_is_left_to_who_fills_it() -> None:
    found = judge(claim(dataSourceRef={"kind": "Snapshot", "name": "s1"}))
    assert (found.do, found.reason) == (Do.WAIT, "ExternalProvisioning")


def test_a_deleted_claim_stays_while_a_pod_uses_it() -> None:
    obj = claim()
    obj["metadata"]["deletionTimestamp"] = ago(1)
    assert judge(obj, users=1).do is Do.NOTHING
    assert judge(obj).do is Do.RELEASE


def test_a_new_claim_is_protected_first() -> None:
    obj = claim()
    obj["metadata"]["finalizers"] = []
    assert judge(obj).do is Do.PROTECT


def test_a_bound_claim_can_grow_and_can_lose_its_volume() -> None:
    made = volume_of(claim(), storage_class(), "/x")
    bound = claim(volumeName="pvc-claim-1") | {"status": {"phase": "Bound"}}
    assert judge(bound, made).do is Do.NOTHING
    bound["spec"]["resources"] = {"requests": {"storage": "5Gi"}}
    assert judge(bound, made).do is Do.EXPAND
    assert judge(bound).do is Do.LOST


def test_the_phase_of_a_volume_follows_its_claim() -> None:
    made = volume_of(claim(), storage_class(), "/x")
    assert volume_phase(volume(), None) == "Available"
    assert volume_phase(made, claim(volumeName="pvc-claim-1")) == "Bound"
    assert volume_phase(made, None) == "Released"
