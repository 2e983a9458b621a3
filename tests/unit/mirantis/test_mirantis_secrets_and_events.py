"""Keys and credentials as people write them, with line ends and in two places; and the events of a backup's end."""

from __future__ import annotations

import base64

import pytest
from tests.fields.scene import Scene
from tests.golden.test_mirantis_golden import cluster, one
from tests.golden.test_mirantis_mutation import CONFIG, NOW, backup, credential, key
from tests.sim.test_mirantis_sim import BAD, GOOD, born

from holdfast.core.objects import Object
from holdfast.core.plan import Problems
from holdfast.core.report import Report
from holdfast.dialects.mirantis.cluster_backup import ClusterBackupHandler
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.dialects.mirantis.key_encryption_key import KeyEncryptionKeyHandler
from holdfast.dialects.mirantis.kinds import CLUSTER_BACKUP
from holdfast.dialects.mirantis.rclone_credential import RCloneCredentialHandler

REFS = Scene((), Mirantis().handlers, NOW)


def refusal(handler: KeyEncryptionKeyHandler | RCloneCredentialHandler, obj: Object) -> str:
    found = handler.validate(obj, None, REFS)
    return str(found) if found else ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_the_end_of_its_line_makes_a_key_no_longer(end: str) -> None:
    handler = KeyEncryptionKeyHandler()
    assert "has 31 characters" in refusal(handler, key(value="x" * 31 + end))
    assert not refusal(handler, key(value="x" * 32 + end))
    sealed = handler.seal(key(value="x" * 32 + end))
    assert sealed is not None
    assert sealed.secret is not None
    assert base64.b64decode(sealed.secret["data"]["value"]) == b"x" * 32


def test_a_key_of_line_ends_alone_is_no_key() -> None:
    assert "is needed" in refusal(KeyEncryptionKeyHandler(), key(value="\n" * 40))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"value": "one\ntype = local"}, "more than one line"),
        ({"secret": {"value": "one\rtwo"}}, "more than one line"),
        ({"value": "one", "secret": {"value": "two"}}, "two values"),
    ],
)
def test_a_secret_that_can_not_be_meant_is_refused_without_being_shown(given: Object, said: str) -> None:
    told = refusal(RCloneCredentialHandler(), credential(remoteSecret=given))
    assert said in told
    assert "two\n" not in told
    assert "type = local" not in told


@pytest.mark.parametrize("given", [{"value": "one\n"}, {"value": "one", "secret": {"value": "one\n"}}])
def test_a_secret_with_a_line_end_or_given_twice_is_taken(given: Object) -> None:
    assert not refusal(RCloneCredentialHandler(), credential(remoteSecret=given))


@pytest.mark.parametrize(("report", "reason"), [(GOOD, "BackupCompleted"), (BAD, "BackupFailed")])
def test_the_end_of_a_backup_is_an_event_once(report: Report, reason: str) -> None:
    world = one()()
    (ref,) = [ref for ref in world.objects if ref.kind == CLUSTER_BACKUP]

    def events() -> list[str]:
        desired = world.handlers[ref.kind].compile(world.objects[ref], world, world.now)
        assert not isinstance(desired, Problems)
        return [note.reason for note in desired.notes]

    assert events() == []
    (job,) = world.running()
    world.end(job, report, failed=report is BAD)
    assert events() == [reason]
    world.settle()
    assert events() == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"rclone": {"bucket": "test", "credential": "nobody"}}, "RCloneCredential default/nobody not found"),
        ({"keyEncryptionKey": "swift-s3"}, "needs rclone or nfsUploadUrl"),
    ],
)
def test_a_backup_that_never_begins_belongs_to_its_cluster_and_says_so_in_an_event(parameters: Object, said: str) -> None:
    world = cluster()
    world.put(born(backup(parameters=parameters), world.now))
    (ref,) = [ref for ref in world.objects if ref.kind == CLUSTER_BACKUP]
    notes = ClusterBackupHandler().compile(world.objects[ref], world, world.now).notes
    world.settle()

    found = world.objects[ref]
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Cluster", "kaas-mgmt")
    assert said in found["status"]["message"]
    assert [(note.reason, note.message, note.warning) for note in notes] == [("BackupFailed", found["status"]["message"], True)]
    assert ClusterBackupHandler().compile(found, world, world.now).notes == ()


LINE = "secret_access_key = AbCdEf0123456789"


@pytest.mark.parametrize(
    "given",
    [
        {"remoteConfig": {**CONFIG, LINE: "x"}},
        {"remoteConfig": {**CONFIG, "type": LINE}},
        {"remoteConfigSecretKey": LINE},
        {"remoteName": f"[swift]\n{LINE}"},
    ],
)
def test_a_line_of_a_configuration_in_the_wrong_place_is_never_quoted(given: Object) -> None:
    told = refusal(RCloneCredentialHandler(), credential(**given))
    assert told
    assert "AbCdEf" not in told
