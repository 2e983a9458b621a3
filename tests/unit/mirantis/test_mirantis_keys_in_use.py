"""A key lives as long as archives need it: whoever deletes what, in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.golden.test_mirantis_mutation import SHARE
from tests.sim.cluster import Cluster
from tests.sim.test_mirantis_sim import backups
from tests.unit.mirantis.test_mirantis_waits_and_expiry import deletions, kept, through

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, SecretHold
from holdfast.core.ports import Outcome
from holdfast.core.times import format_time
from holdfast.dialects.mirantis.key_encryption_key import KeyEncryptionKeyHandler
from holdfast.dialects.mirantis.kinds import CLUSTER, FORGET_KEY, KEY_ENCRYPTION_KEY

SEALED = {**SHARE, "keyEncryptionKey": "swift-s3"}
HANDLER = KeyEncryptionKeyHandler()


def the_key(world: Cluster) -> tuple[Ref, Object]:
    (found,) = [(ref, obj) for ref, obj in world.objects.items() if ref.kind == KEY_ENCRYPTION_KEY]
    return found


def names(world: Cluster) -> list[str]:
    return [each["name"] for each in the_key(world)[1]["status"].get("archives", [])]


def delete_key(world: Cluster) -> None:
    """Delete the key as kubectl or the end of its namespace does: it stays while a finalizer holds it."""
    the_key(world)[1]["metadata"]["deletionTimestamp"] = format_time(world.now)
    world.settle()


def wanted(obj: Object, world: Cluster) -> tuple[SecretHold, ...]:
    found = HANDLER.compile(obj, world, world.now)
    assert isinstance(found, Desired)
    return found.secret_holds


def lose_the_cluster(world: Cluster) -> None:
    (cluster,) = [ref for ref in world.objects if ref.kind == CLUSTER]
    world.remove(cluster)


def test_archives_are_remembered_when_their_objects_go_with_the_cluster() -> None:
    world = kept(2, SEALED)
    assert names(world) == ["daily-202611210000", "daily-202611220000"]
    lose_the_cluster(world)
    world.settle()
    assert (backups(world), len(names(world))) == ([], 2)
    delete_key(world)
    (deletable,) = [each for each in the_key(world)[1]["status"]["conditions"] if each["type"] == "Deletable"]
    assert (deletable["status"], deletable["reason"]) == ("False", "KeyInUse")
    assert "daily-202611210000" in deletable["message"]


def test_what_retention_has_deleted_needs_no_key_and_its_object_goes_after_that() -> None:
    world = through(kept(3, SEALED, keep_last="1"))
    assert len(deletions(world)) <= 1
    assert names(world) == ["daily-202611230000"]
    assert [obj["metadata"]["name"] for obj in backups(world)] == ["daily-202611230000"]


@pytest.mark.parametrize("who", [{FORGET_KEY: "swift-s3"}, {FORGET_KEY: "another"}], ids=["its own name", "another name"])
def test_only_its_own_name_lets_a_key_go(who: dict[str, str]) -> None:
    world = kept(1, SEALED)
    delete_key(world)
    the_key(world)[1]["metadata"]["annotations"] = who
    world.settle()
    there = any(ref.kind == KEY_ENCRYPTION_KEY for ref in world.objects)
    assert there == (who[FORGET_KEY] == "another")


def test_the_secrets_of_older_values_are_held_too_and_let_go_with_their_archives() -> None:
    world = kept(1, SEALED)
    first = the_key(world)[1]["status"]["heldSecrets"]
    the_key(world)[1]["spec"]["secret"] = {"name": "newer", "key": "value"}
    world.now += timedelta(days=1)
    world.settle()
    assert the_key(world)[1]["status"]["heldSecrets"] == sorted({*first, "newer"})
    the_key(world)[1]["metadata"]["annotations"] = {FORGET_KEY: "swift-s3"}
    changes = [(hold.secret.name, hold.held) for hold in wanted(the_key(world)[1], world)]
    assert changes == [(name, False) for name in sorted({*first, "newer"})]


def test_a_secret_that_can_not_be_let_go_says_how_to_do_it_by_hand() -> None:
    """As in a namespace that is ending, where our right to its Secrets has gone with the bindings."""
    world = kept(1, SEALED)
    ref, obj = the_key(world)
    (secret,) = obj["status"]["heldSecrets"]
    obj["metadata"] |= {"annotations": {FORGET_KEY: ref.name}, "deletionTimestamp": format_time(world.now)}
    outcome = Outcome(refused={secret: "secrets is forbidden"}, holds=wanted(obj, world))
    status = HANDLER.project(obj, world, outcome, world.now)
    told = {each["type"]: each["message"] for each in status["conditions"] if each["status"] == "False"}
    assert "secrets is forbidden" in told["Deletable"]
    assert f"kubectl -n default patch secret/{secret} keyencryptionkey/swift-s3 --type=merge" in told["Deletable"]
    assert status["heldSecrets"] == [secret]


def test_a_secret_that_is_gone_although_archives_need_it_is_told() -> None:
    world = kept(1, SEALED)
    _, obj = the_key(world)
    (secret,) = obj["status"].pop("heldSecrets")
    outcome = Outcome(refused={secret: f"Secret default/{secret} is missing"}, holds=wanted(obj, world))
    status = HANDLER.project(obj, world, outcome, world.now)
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "SecretRefused")
    assert "give the same text again" in ready["message"]
    assert "heldSecrets" not in status


def test_a_hold_names_its_key_so_that_two_keys_may_share_a_secret() -> None:
    world = kept(1, SEALED)
    _, obj = the_key(world)
    obj["status"].pop("heldSecrets")
    (hold,) = wanted(obj, world)
    assert hold.finalizer == "holdfast.dev/key-swift-s3"


def test_only_a_hold_that_was_carried_out_is_remembered() -> None:
    """A backup that begins between the decision and the status is held in the next pass, not merely noted as held."""
    world = kept(1, SEALED)
    _, obj = the_key(world)
    obj["status"].pop("heldSecrets")
    status = HANDLER.project(obj, world, Outcome(), world.now)
    assert (len(status["archives"]), "heldSecrets" in status) == (1, False)
