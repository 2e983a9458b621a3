"""BackupRepos and StorageProviders of KubeBlocks: prepared, checked by a real Job, found again, guarded when deleted."""

import base64
import json
from pathlib import Path

import pytest
from tests.kubeblocks_world import GROUP, REST, World, condition, repo, secret, status, thing, world
from tests.movers_builders import KEY, SECRET, s3_server

from holdfast.core.objects import Object
from holdfast.kube.builtin import JOBS, PVCS, SECRETS, STORAGECLASSES
from holdfast.kube.errors import NotFound
from holdfast.movers.datasafed.codecs import sealer

__all__ = ["world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


def bucket(name: str, endpoint: str, *, folder: str = "backups", **spec: object) -> Object:
    config = {"bucket": folder, "endpoint": endpoint}
    credential = {"name": f"{name}-keys", "namespace": "default"}
    return repo(name, "minio", accessMethod="Tool", config=config, credential=credential, **spec)


def keys(name: str, key: str = SECRET) -> Object:
    return secret(f"{name}-keys", accessKeyId=KEY, secretAccessKey=key)


async def test_a_provider_without_its_csi_driver_says_what_still_works(world: World) -> None:
    found = await world.phase("StorageProvider", "minio", "NotReady")
    said = condition(found, "CSIDriverInstalled")
    assert (said["status"], said["reason"]) == ("Unknown", "CheckCSIDriverFailed")
    assert "accessMethod Tool" in said["message"]
    assert (await world.phase("StorageProvider", "pvc", "Ready"))["conditions"][0]["status"] == "True"

    await world.apply({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "a.csi"}, "spec": {}})
    await world.apply(thing("StorageProvider", "mine", csiDriverName="a.csi"))
    ready = await world.phase("StorageProvider", "mine", "Ready")
    assert condition(ready, "CSIDriverInstalled")["reason"] == "CSIDriverObjectFound"


async def test_a_mounted_repository_is_checked_and_leaves_nothing_of_the_check(world: World) -> None:
    await world.apply(repo("mounted", default=True, config={"accessMode": "ReadWriteMany"}, volumeCapacity="1Gi"))

    found = await world.phase("BackupRepo", "mounted", "Ready")

    assert found["isDefault"] is True
    assert found["backupPVCName"].startswith("pvc-mounted-")
    assert "toolConfigSecretName" not in found
    assert [item["status"] for item in found["conditions"]][:5] == ["True"] * 5
    await world.wait("BackupRepo", "mounted", lambda obj: condition(status(obj), "BackupsRediscovered").get("status") == "True")
    for name in [
        each["metadata"]["name"]
        for each in (await world.client.list(JOBS, "default")).items
        if "mounted" in each["metadata"]["name"]
    ]:
        await world.gone(JOBS, name)
    claims = [each["metadata"]["name"] for each in (await world.client.list(PVCS, "default")).items]
    for name in [each for each in claims if each.startswith("pre-check") and "mounted" in each]:
        await world.gone(PVCS, name)
    await world.client.delete(REST["BackupRepo"], "mounted", None)
    await world.gone(REST["BackupRepo"], "mounted")


async def test_a_bucket_is_reached_by_the_tool_with_a_config_that_only_a_secret_holds(world: World, tmp_path: Path) -> None:
    (tmp_path / "s3" / "backups").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(keys("tool"), bucket("tool", endpoint))
        found = await world.phase("BackupRepo", "tool", "Ready")

    made = await world.client.get(SECRETS, found["toolConfigSecretName"], "default")
    config = base64.b64decode(made["data"]["datasafed.conf"]).decode()
    assert config.startswith("[storage]\ntype = s3\n")
    assert f"secret_access_key = {SECRET}" in config
    assert "root = backups" in config
    assert list((tmp_path / "s3" / "backups").iterdir()) == [], "the file of the check is deleted"
    whole = json.dumps(await world.client.get(REST["BackupRepo"], "tool", None))
    assert SECRET not in whole


async def test_22_a_failed_check_says_why_and_heals_when_the_credential_is_right(world: World, tmp_path: Path) -> None:
    (tmp_path / "s3" / "backups").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(keys("wrong", "not-the-secret"), bucket("wrong", endpoint))
        found = await world.phase("BackupRepo", "wrong", "Failed")
        said = condition(found, "PreCheckPassed")
        assert (said["status"], said["reason"]) == ("False", "PreCheckFailed")
        assert "not-the-secret" not in said["message"]
        assert "the next attempt is at" in said["message"]

        await world.apply(keys("wrong"))
        await world.phase("BackupRepo", "wrong", "Ready")


async def test_a_missing_credential_is_waited_for(world: World, tmp_path: Path) -> None:
    (tmp_path / "s3" / "backups").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(bucket("late", endpoint))
        found = await world.wait(
            "BackupRepo", "late", lambda obj: condition(status(obj), "ParametersChecked").get("status") == "False"
        )
        said = condition(status(found), "ParametersChecked")
        assert said["reason"] == "CredentialSecretNotFound"
        assert "default/late-keys" in said["message"]
        await world.apply(secret("late-keys", accessKeyId=KEY))
        await world.wait(
            "BackupRepo",
            "late",
            lambda obj: "has no entry secretAccessKey" in condition(status(obj), "ParametersChecked").get("message", ""),
        )
        await world.apply(keys("late"))
        await world.phase("BackupRepo", "late", "Ready")


async def test_22_a_changed_credential_is_tried_at_once_whether_it_breaks_the_repository_or_heals_it(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "s3" / "backups").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(keys("turned"), bucket("turned", endpoint))
        before = await world.phase("BackupRepo", "turned", "Ready")
        await world.apply(secret("turned-keys", accessKeyId=KEY, secretAccessKey="wrong"))
        broken = await world.phase("BackupRepo", "turned", "Failed")
        await world.apply(keys("turned"))
        healed = await world.phase("BackupRepo", "turned", "Ready")

    assert condition(broken, "PreCheckPassed")["reason"] == "PreCheckFailed"
    assert "wrong" not in str(broken)
    assert len({each["checkedCredential"] for each in (before, broken, healed)}) == 3


async def test_22_a_change_during_the_check_replaces_its_job(world: World, tmp_path: Path) -> None:
    (tmp_path / "s3" / "right").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(keys("hasty"), bucket("hasty", endpoint, folder="absent"))
        await world.apply(bucket("hasty", endpoint, folder="right"))
        found = await world.phase("BackupRepo", "hasty", "Ready")
        before = found["preCheckDigest"]
        await world.apply(bucket("hasty", endpoint, folder="right", pathPrefix="team"))
        changed = await world.wait("BackupRepo", "hasty", lambda obj: status(obj).get("preCheckDigest") != before)
    assert status(changed)["phase"] == "Ready"


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (
            "typo",
            {"config": {"bucket": "b", "endpoint": "http://e", "buckett": "c"}},
            "spec.config.buckett: is no parameter of",
        ),
        (
            "clear",
            {"config": {"bucket": "b", "endpoint": "http://e", "accessKeyId": "k"}},
            "spec.config.accessKeyId: is a credential",
        ),
        ("lacking", {"config": {"bucket": "b"}}, "spec.config.endpoint: is needed by StorageProvider minio"),
        (
            "badly",
            {"config": {"bucket": "b", "endpoint": "http://e", "geesefsMemoryLimit": "much"}},
            "spec.config.geesefsMemoryLimit",
        ),
        ("keyless", {"credential": {}}, "spec.credential.name: is needed"),
    ],
)
async def test_parameters_are_held_against_the_schema_of_the_provider(
    world: World, name: str, change: Object, expected: str
) -> None:
    spec = bucket(name, "http://127.0.0.1:1")["spec"] | change
    await world.apply({**bucket(name, ""), "spec": spec})
    found = await world.phase("BackupRepo", name, "Failed")
    said = condition(found, "ParametersChecked")
    assert said["reason"] == "ParametersInvalid"
    assert expected in said["message"]


async def test_a_repository_waits_for_its_provider(world: World) -> None:
    await world.apply(repo("early", "later"))
    found = await world.phase("BackupRepo", "early", "Failed")
    assert condition(found, "StorageProviderReady")["reason"] == "StorageProviderNotFound"
    template = "spec:\n  accessModes: [ReadWriteMany]\n"
    await world.apply(thing("StorageProvider", "later", persistentVolumeClaimTemplate=template))
    await world.phase("BackupRepo", "early", "Ready")
    await world.client.delete(REST["BackupRepo"], "early", None)


async def test_a_template_that_writes_a_credential_into_a_storage_class_is_refused(world: World) -> None:
    schema = {"type": "object", "properties": {"token": {"type": "string"}}}
    await world.apply(
        thing(
            "StorageProvider",
            "leaky",
            storageClassTemplate="provisioner: holdfast.dev/local\nparameters: {token: {{ .Parameters.token }}}\n",
            parametersSchema={"openAPIV3Schema": schema, "credentialFields": ["token"]},
        ),
        secret("leaky-keys", token="t0p"),
        repo("leaky", "leaky", credential={"name": "leaky-keys", "namespace": "default"}),
    )
    found = await world.phase("BackupRepo", "leaky", "Failed")
    said = condition(found, "StorageClassCreated")
    assert (said["reason"], "would write a credential" in said["message"]) == ("PrepareStorageClassFailed", True)


async def test_a_provider_with_a_template_that_cant_be_read_is_refused_with_its_line(world: World) -> None:
    broken = thing("StorageProvider", "broken", datasafedConfigTemplate="[storage]\ntype = {{ .Parameters.type\n")
    answer = await world.refused(broken)
    assert "datasafedConfigTemplate" in answer
    assert "line 2" in answer


async def test_23_the_storage_class_of_a_repository_is_made_for_it_and_goes_with_it(world: World) -> None:
    classes = [each for each in (await world.client.list(STORAGECLASSES)).items]
    provisioner = classes[0]["provisioner"]
    await world.apply(
        thing(
            "StorageProvider",
            "classy",
            storageClassTemplate=f"provisioner: {provisioner}\n",
        ),
        repo("classy", "classy", pvReclaimPolicy="Delete", volumeCapacity="1Gi"),
    )
    found = await world.phase("BackupRepo", "classy", "Ready")
    made = await world.client.get(STORAGECLASSES, found["generatedStorageClassName"], None)
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert made["metadata"]["labels"][f"{GROUP}/backup-repo-name"] == "classy"

    await world.client.delete(REST["BackupRepo"], "classy", None)
    await world.gone(REST["BackupRepo"], "classy")
    with pytest.raises(NotFound):
        await world.client.get(STORAGECLASSES, found["generatedStorageClassName"], None)


async def test_23_a_repository_with_backups_cant_be_deleted_until_they_are_gone(world: World) -> None:
    await world.apply(repo("used", config={"accessMode": "ReadWriteMany"}))
    await world.phase("BackupRepo", "used", "Ready")
    labels = {f"{GROUP}/backup-repo-name": "used"}
    kept = thing(
        "Backup",
        "kept",
        labels=labels,
        annotations={f"{GROUP}/skip-reconciliation": "true"},
        backupPolicyName="p",
        backupMethod="m",
    )
    await world.apply(kept)

    await world.client.delete(REST["BackupRepo"], "used", None)
    found = await world.phase("BackupRepo", "used", "Deleting")
    said = condition(found, "DerivedObjectsDeleted")
    assert (said["reason"], "default/kept" in said["message"]) == ("HaveAssociatedBackups", True)

    await world.client.delete(REST["Backup"], "kept", "default")
    await world.gone(REST["BackupRepo"], "used")


async def test_encrypted_backups_are_found_again_once_policy_and_secret_are_back(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / "backups" / "default" / "dark"
    folder.mkdir(parents=True)
    record = thing("Backup", "dark", backupPolicyName="dark", backupMethod="m")
    found = {"phase": "Completed", "path": "/default/dark", "totalSize": "1Ki"}
    seal = sealer("AES-192-CFB", "open sesame")
    (folder / "kubeblocks-backup.json.enc").write_bytes(b"".join(seal([json.dumps({**record, "status": found}).encode()])))
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(keys("dark"), bucket("dark", endpoint))
        searched = await world.wait(
            "BackupRepo", "dark", lambda obj: condition(status(obj), "BackupsRediscovered").get("status") == "True"
        )
        told = condition(status(searched), "BackupsRediscovered")
        assert (told["reason"], "1 of these are encrypted" in told["message"]) == ("RecordsSealed", True)
        config = {"algorithm": "AES-192-CFB", "passPhraseSecretKeyRef": {"name": "dark", "key": "phrase"}}
        target = {"podSelector": {"matchLabels": {"a": "b"}}}
        way = {"name": "m", "actionSetName": "none"}
        await world.apply(
            thing("BackupPolicy", "dark", backupMethods=[way], target=target, encryptionConfig=config),
            secret("dark", phrase="open sesame"),
        )
        again = await world.phase("Backup", "dark", "Completed")
        done = await world.wait(
            "BackupRepo", "dark", lambda obj: condition(status(obj), "BackupsRediscovered").get("reason") == "Searched"
        )

    assert again["totalSize"] == "1Ki"
    assert condition(status(done), "BackupsRediscovered")["message"].startswith("1 Backups were found there and made again")


async def test_backups_are_found_again_from_the_bucket_in_a_fresh_cluster(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "s3" / "backups" / "team" / "default" / "old"
    folder.mkdir(parents=True)
    found = {
        "phase": "Completed",
        "path": "/team/default/old",
        "totalSize": "1Ki",
        "backupRepoName": "another",
        "expiration": "2020-01-01T00:00:00Z",
    }
    record = thing("Backup", "old", labels={"a": "b"}, backupPolicyName="p", backupMethod="m", deletionPolicy="Delete")
    (folder / "kubeblocks-backup.json").write_text(json.dumps({**record, "status": found}))
    (folder / "data.zst").write_bytes(b"data")
    elsewhere = folder.parent / "nowhere"
    elsewhere.mkdir()
    lost = thing("Backup", "lost", namespace="no-such-namespace", backupPolicyName="p", backupMethod="m")
    (elsewhere / "kubeblocks-backup.json").write_text(json.dumps({**lost, "status": found}))
    half = folder.parent / "half" / "db-0"
    half.mkdir(parents=True)
    partial = thing("Backup", "half", backupPolicyName="p", backupMethod="m")
    of_two = {**found, "target": {"selectedTargetPods": ["db-0", "db-1"]}}
    (half / "kubeblocks-backup.json").write_text(json.dumps({**partial, "status": of_two}))
    with s3_server(tmp_path / "s3") as endpoint:
        await world.apply(keys("fresh"), bucket("fresh", endpoint, pathPrefix="team"))
        await world.wait("Backup", "old", lambda obj: status(obj).get("phase") == "Completed")
        searched = await world.wait(
            "BackupRepo", "fresh", lambda obj: condition(status(obj), "BackupsRediscovered").get("status") == "True"
        )
    told = condition(status(searched), "BackupsRediscovered")["message"]
    assert told == "1 Backups were found there and made again, 0 were known, 2 left out"
    with pytest.raises(NotFound):
        await world.client.get(REST["Backup"], "half", "default")
    again = await world.client.get(REST["Backup"], "old", "default")
    assert again["metadata"]["labels"] | {"a": "b", "holdfast.dev/rediscovered": "true"} == again["metadata"]["labels"]
    assert again["status"]["backupRepoName"] == "fresh"
    assert again["spec"]["deletionPolicy"] == "Retain"
    assert (folder / "data.zst").exists()
