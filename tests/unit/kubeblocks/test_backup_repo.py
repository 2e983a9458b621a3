"""BackupRepos over time: repeated checks, growing pauses, timeouts, changes; and what templates make of parameters."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.kubeblocks.memory import Memory, bucket, condition, provider, thing

from holdfast.core.report import Failure
from holdfast.core.times import parse_time
from holdfast.dialects.kubeblocks import names, parameters, rendering

HOME = "default"


def world(*objects: object) -> Memory:
    made = Memory(provider("minio"), bucket(), *objects)  # type: ignore[arg-type]
    made.settle()
    return made


def check_of(memory: Memory, name: str = "cloud") -> str:
    return names.pre_check(memory.find("BackupRepo", name, ""))


def passed(memory: Memory) -> Memory:
    memory.finish(check_of(memory))
    memory.settle()
    memory.finish(names.discovery(memory.find("BackupRepo", "cloud", "")), details={"made": 0, "there": 0, "leftOut": 0})
    memory.settle()
    return memory


def test_a_new_repository_is_checked_before_it_is_ready() -> None:
    memory = world()
    assert memory.status("BackupRepo", "cloud")["phase"] == "PreChecking"
    assert memory.names("Job") == [check_of(memory)]
    mover, arguments, _ = memory.call(check_of(memory))
    assert (mover, arguments) == ("repository-check", {"name": "cloud"})

    passed(memory)
    assert memory.status("BackupRepo", "cloud")["phase"] == "Ready"
    assert memory.names("Job") == []


def test_a_ready_repository_is_checked_again_after_an_hour_and_stays_ready_meanwhile() -> None:
    memory = passed(world())
    memory.later(minutes=59)
    memory.settle()
    assert memory.names("Job") == []
    memory.later(minutes=1)
    memory.settle()
    assert memory.names("Job") == [check_of(memory)]
    assert memory.status("BackupRepo", "cloud")["phase"] == "Ready"

    memory.finish(check_of(memory), failure=Failure("PreCheckFailed", "the bucket is gone"))
    memory.settle()
    status = memory.status("BackupRepo", "cloud")
    assert status["phase"] == "Failed"
    assert "the bucket is gone" in condition(status, "PreCheckPassed")["message"]


def test_a_failing_check_is_tried_again_in_growing_pauses_of_at_most_ten_minutes() -> None:
    memory = world()
    pauses: list[timedelta] = []
    for _ in range(12):
        memory.finish(check_of(memory), failure=Failure("PreCheckFailed", "no route"))
        failed = memory.now
        memory.settle()
        said = condition(memory.status("BackupRepo", "cloud"), "PreCheckPassed")["message"]
        again = parse_time(said.rpartition("next attempt is at ")[2])
        memory.now = again
        memory.settle()
        pauses.append(again - failed)
    assert pauses[0] == timedelta(seconds=10)
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(minutes=10)

    passed(memory)
    assert memory.status("BackupRepo", "cloud")["phase"] == "Ready"


def test_22_a_check_that_takes_fifteen_minutes_has_timed_out() -> None:
    memory = world()
    job = memory.find("Job", check_of(memory), HOME)
    assert job["spec"]["activeDeadlineSeconds"] == 900
    job["status"] = {
        "startTime": "2026-11-20T13:42:30Z",
        "conditions": [
            {"type": "Failed", "reason": "DeadlineExceeded", "status": "True", "lastTransitionTime": "2026-11-20T13:57:30Z"}
        ],
    }
    memory.later(minutes=16)
    memory.settle()
    said = condition(memory.status("BackupRepo", "cloud"), "PreCheckPassed")
    assert said["message"].startswith("timeout: ")
    assert said["reason"] == "PreCheckFailed"


def test_a_change_during_the_check_replaces_the_job() -> None:
    memory = world()
    before = memory.find("Job", check_of(memory), HOME)["metadata"]["labels"]["holdfast.dev/digest"]
    memory.add(bucket(config={"bucket": "other", "endpoint": "https://s3.example.org"}))
    memory.settle()
    assert memory.find("Job", check_of(memory), HOME)["metadata"]["labels"]["holdfast.dev/digest"] != before
    assert condition(memory.status("BackupRepo", "cloud"), "PreCheckPassed")["status"] == "Unknown"


@pytest.mark.parametrize(
    ("name", "config", "entries", "expected"),
    [
        (
            "s3",
            {"bucket": "b", "region": "eu-west-1"},
            {},
            ("provider = AWS", "endpoint = https://s3.eu-west-1.amazonaws.com\n"),
        ),
        ("s3", {"bucket": "b", "region": "cn-north-1"}, {}, ("endpoint = https://s3.cn-north-1.amazonaws.com.cn\n",)),
        (
            "minio",
            {"bucket": "b", "endpoint": "http://m:9000"},
            {},
            ("provider = Minio", "endpoint = http://m:9000", "root = b"),
        ),
        ("oss", {"bucket": "b", "region": "r"}, {}, ("provider = Alibaba", "endpoint = https://oss-r.aliyuncs.com")),
        ("obs", {"bucket": "b", "region": "r"}, {}, ("provider = HuaweiOBS", "endpoint = https://obs.r.myhuaweicloud.com")),
        ("cos", {"bucket": "b", "region": "r"}, {}, ("provider = TencentCOS", "endpoint = https://cos.r.myqcloud.com")),
        ("gcs-s3comp", {"bucket": "b", "region": "r"}, {}, ("provider = GCS", "endpoint = https://storage.googleapis.com")),
        (
            "s3-compatible",
            {"bucket": "b", "endpoint": "https://o", "forcePathStyle": "true", "insecure": "true", "noCheckBucket": "true"},
            {},
            ("provider = Other", "force_path_style = true", "no_check_certificate = true", "no_check_bucket = true"),
        ),
        (
            "azureblob",
            {"container": "c"},
            {"accountName": "a", "accountKey": "a2V5"},
            ("type = azureblob", "account = a\n", "key = a2V5\n", "root = c"),
        ),
        (
            "ftp",
            {"ftpHost": "h"},
            {"ftpUser": "u", "ftpPassword": "p"},
            ("type = ftp", "host = h", "port = 21", "pass.need_obscure = p", "tls = false"),
        ),
    ],
)
def test_a_built_in_provider_writes_the_tools_configuration(
    name: str, config: dict[str, str], entries: dict[str, str], expected: tuple[str, ...]
) -> None:
    repo = Memory().add(bucket(storageProviderRef=name, config=config))
    made = rendering.tool_config(repo, provider(name), HOME)
    assert made.recipe is not None
    text = made.recipe.make(entries or {"accessKeyId": "id", "secretAccessKey": "secret"})["datasafed.conf"]
    assert text.startswith("[storage]\n")
    for part in expected:
        assert part in text
    assert "<no value>" not in text


def test_the_nfs_provider_makes_a_storage_class() -> None:
    config = {"nfsServer": "nas", "nfsShare": "/x", "nfsMountOptions": "hard,nfsvers=4.1"}
    repo = Memory().add(bucket(storageProviderRef="nfs", accessMethod="Mount", config=config))
    made = rendering.storage_class(repo, provider("nfs"), HOME)
    assert made is not None
    assert (made["provisioner"], made["parameters"]) == ("nfs.csi.k8s.io", {"server": "nas", "share": "/x"})
    assert made["mountOptions"] == ["hard", "nfsvers=4.1"]
    assert made["reclaimPolicy"] == "Retain"


def test_the_csi_driver_of_a_bucket_gets_its_secret_and_the_class_only_its_name() -> None:
    repo = Memory().add(bucket(accessMethod="Mount"))
    secret = rendering.csi_secret(repo, provider("minio"), HOME)
    made = rendering.storage_class(repo, provider("minio"), HOME)
    assert secret is not None
    assert secret.recipe is not None
    assert made is not None
    entries = secret.recipe.make({"accessKeyId": "id", "secretAccessKey": "s3cret"})
    assert (entries["accessKeyID"], entries["secretAccessKey"], entries["endpoint"]) == (
        "id",
        "s3cret",
        "https://s3.example.org",
    )
    assert made["parameters"]["csi.storage.k8s.io/node-publish-secret-name"] == secret.target.name
    assert "--memory-limit 512 --read-ahead-large 20480" in made["parameters"]["options"]


def test_a_claim_of_the_pvc_provider_takes_its_parameters_and_the_capacity() -> None:
    config = {"storageClassName": "fast", "accessMode": "ReadWriteMany"}
    given = bucket(storageProviderRef="pvc", accessMethod="Mount", config=config, volumeCapacity="5Gi")
    repo = Memory().add(given)
    spec = rendering.claim(repo, provider("pvc"), HOME, "shop", "c")["spec"]
    assert spec == {
        "storageClassName": "fast",
        "accessModes": ["ReadWriteMany"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": "5Gi"}},
    }


def test_a_credential_with_a_line_break_cant_add_lines_to_the_configuration() -> None:
    repo = Memory().add(bucket())
    with pytest.raises(ValueError, match="entry accessKeyId has more than one line") as caught:
        parameters.with_credentials(repo, provider("minio"), {"accessKeyId": "a\n[storage]", "secretAccessKey": "s"})
    assert "[storage]" not in str(caught.value)


def test_no_credential_is_in_the_message_of_a_template_that_fails_with_it() -> None:
    broken = provider("minio")
    broken["spec"]["datasafedConfigTemplate"] = '[storage]\nkey = {{ index (splitList "-" .Parameters.secretAccessKey) 9 }}\n'
    repo = Memory().add(bucket())
    recipe = rendering.tool_config(repo, broken, HOME).recipe
    assert recipe is not None
    with pytest.raises(ValueError, match="datasafedConfigTemplate fails") as caught:
        recipe.make({"accessKeyId": "id", "secretAccessKey": "top-secret"})
    assert "top" not in str(caught.value)


def test_the_password_of_deduplicated_backups_is_made_once_and_named() -> None:
    policy = thing(
        "BackupPolicy",
        "shop",
        backupRepoName="cloud",
        useKopia=True,
        backupMethods=[{"name": "dump", "actionSetName": "dump"}],
        target={"podSelector": {"matchLabels": {"a": "b"}}},
    )
    memory = passed(world(policy))
    assert memory.status("BackupRepo", "cloud")["kopiaPasswordSecretName"] == "kopia-password-cloud"
    made = [effect.copy for effect in memory.copied if effect.copy.target.name == "kopia-password-cloud"]
    assert made[0].recipe is not None
    assert made[0].recipe.once is True
    assert len(made[0].recipe.make({})["password"]) > 40
