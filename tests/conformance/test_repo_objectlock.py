"""Repositories under S3's object lock, judged by what the service itself says of its objects."""

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from tests.store_servers import moto_server, s3_environment

from holdfast.cli.main import main
from holdfast.repo.backup import backup
from holdfast.repo.errors import ObjectNotFound, ObjectRetained, StoreError
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.retention import extend_retention
from holdfast.repo.stores import ObjectLock, StoreOptions, open_store
from holdfast.repo.stores.objectlock import ObjectLockStore
from holdfast.repo.stores.wrapped import find_inner

PASSWORD = "a password for tests"
LOCK = StoreOptions(object_lock=ObjectLock(mode="COMPLIANCE", days=30))


class Service:
    """The service, and somebody who may do in it whatever it lets anybody do."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client: Any = botocore.session.get_session().create_client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
        )

    def bucket(self, name: str, *, lock: bool = True, default_days: int = 0) -> str:
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        if default_days:
            rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": default_days}}
            configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
            self.client.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=configuration)
        return f"s3:{self.endpoint}/{name}/repo"

    def versions(self, bucket: str) -> list[dict[str, Any]]:
        return self.client.list_object_versions(Bucket=bucket).get("Versions", [])

    def retention(self, bucket: str, key: str) -> tuple[str, float]:
        """Mode, and days from now."""
        found = self.client.head_object(Bucket=bucket, Key=key)
        left = found["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.UTC)
        return found["ObjectLockMode"], left.total_seconds() / 86400


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with moto_server() as endpoint:
        yield Service(endpoint)


def saved(url: str, tmp_path: Path, options: StoreOptions = LOCK) -> Repository:
    """A repository with one snapshot of a folder `source`."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(50_000))
    repo = Repository.init(open_store(url, s3_environment(), options), PASSWORD)
    backup(repo, [str(source)])
    return repo


def locked(repo: Repository) -> ObjectLockStore:
    store = find_inner(repo.store, ObjectLockStore)
    assert store is not None
    return store


def test_all_but_locks_is_retained_and_a_backup_overwrites_nothing(service: Service, tmp_path: Path) -> None:
    with saved(service.bucket("kept"), tmp_path):
        every = service.versions("kept")
        kept = [version["Key"] for version in every if "/locks/" not in version["Key"]]

        assert {key.split("/")[1] for key in kept} == {"config", "keys", "data", "index", "snapshots"}
        assert len(kept) == len(set(kept))
        for key in kept:
            mode, days = service.retention("kept", key)
            assert mode == "COMPLIANCE"
            assert days == pytest.approx(30, abs=0.01)


def test_what_is_retained_is_refused_to_be_deleted_with_its_date(service: Service, tmp_path: Path) -> None:
    with saved(service.bucket("refused"), tmp_path) as repo:
        snapshot = repo.snapshots()[0]
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
        with pytest.raises(ObjectRetained, match=f"can't be deleted before {until:%Y-%m-%d}.*COMPLIANCE"):
            repo.store.delete(f"snapshots/{snapshot.id}")
        assert [one.id for one in repo.snapshots()] == [snapshot.id]
        with repo.lock():
            assert len(list(repo.store.list("locks"))) == 1
        assert list(repo.store.list("locks")) == []
        version = next(one for one in service.versions("refused") if "/snapshots/" in one["Key"])
        with pytest.raises(ClientError, match="AccessDenied"):
            service.client.delete_object(Bucket="refused", Key=version["Key"], VersionId=version["VersionId"])


def test_what_somebody_deleted_or_overwrote_is_recovered_and_restores(service: Service, tmp_path: Path) -> None:
    with saved(service.bucket("attacked"), tmp_path) as repo:
        keys = [version["Key"] for version in service.versions("attacked") if "/locks/" not in version["Key"]]
        for number, key in enumerate(keys):
            if number % 2:
                service.client.delete_object(Bucket="attacked", Key=key)
            else:
                service.client.put_object(Bucket="attacked", Key=key, Body=b"pay us")
        store = locked(repo)
        assert sorted(store.recover()) == sorted(key.removeprefix("repo/") for key in keys)
        assert store.recover() == []

    with Repository.open(open_store(f"s3:{service.endpoint}/attacked/repo", s3_environment()), PASSWORD) as again:
        done = restore(again, "latest", str(tmp_path / "back"), subfolder=str(tmp_path / "source"))
    assert not done.partial
    assert (tmp_path / "back" / "file").read_bytes() == (tmp_path / "source" / "file").read_bytes()


def test_retention_of_all_that_a_snapshot_needs_is_extended(service: Service, tmp_path: Path) -> None:
    with saved(service.bucket("extended"), tmp_path) as repo:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "stranger").write_bytes(os.urandom(50_000))
        backup(repo, [str(tmp_path / "other")])
        old, new = repo.snapshots()
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=90)
        moved = extend_retention(repo, [old.id], until)

        assert f"snapshots/{old.id}" in moved
        assert {"config"} <= moved
        for path in moved:
            assert service.retention("extended", f"repo/{path}")[1] == pytest.approx(90, abs=0.01)
        assert service.retention("extended", f"repo/snapshots/{new.id}")[1] == pytest.approx(30, abs=0.01)
        packs = {path for path in moved if path.startswith("data/")}
        assert len(packs) < len(list(repo.store.list("data")))
        assert extend_retention(repo, [old.id], until) == set()


def test_a_longer_default_of_the_bucket_wins(service: Service) -> None:
    store = open_store(service.bucket("longer", default_days=45), s3_environment(), LOCK)
    store.create()
    store.put("keys/" + "ab" * 32, b"key")
    store.close()

    assert service.retention("longer", "repo/keys/" + "ab" * 32)[1] == pytest.approx(45, abs=0.01)


def test_a_bucket_without_object_lock_is_refused(service: Service) -> None:
    with (
        contextlib.closing(open_store(service.bucket("plain", lock=False), s3_environment(), LOCK)) as store,
        pytest.raises(StoreError, match="'plain' has no object lock"),
    ):
        store.create()


def test_extending_needs_a_store_that_retains(tmp_path: Path) -> None:
    with (
        Repository.init(open_store(str(tmp_path / "repo"), {}), PASSWORD) as repo,
        pytest.raises(StoreError, match="no object lock"),
    ):
        extend_retention(repo, [], datetime.datetime.now(datetime.UTC))


def test_a_missing_object_can_not_be_retained(service: Service) -> None:
    with contextlib.closing(open_store(service.bucket("missing"), s3_environment(), LOCK)) as store:
        inner = find_inner(store, ObjectLockStore)
        assert inner is not None
        with pytest.raises(ObjectNotFound):
            inner.retain("keys/none", datetime.datetime.now(datetime.UTC))


@pytest.mark.parametrize("lock", [None, LOCK.object_lock])
def test_storage_class_is_for_packs_and_encryption_for_all(service: Service, lock: ObjectLock | None) -> None:
    bucket = "classes-locked" if lock else "classes"
    options = StoreOptions(storage_class="STANDARD_IA", encryption="AES256", object_lock=lock)
    with contextlib.closing(open_store(service.bucket(bucket), s3_environment(), options)) as store:
        store.put("data/ab/" + "ab" * 32, b"pack")
        store.put("keys/" + "ab" * 32, b"key")
    pack = service.client.head_object(Bucket=bucket, Key="repo/data/ab/" + "ab" * 32)
    key = service.client.head_object(Bucket=bucket, Key="repo/keys/" + "ab" * 32)

    assert (pack["StorageClass"], pack["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert (key.get("StorageClass", "STANDARD"), key["ServerSideEncryption"]) == ("STANDARD", "AES256")


def test_each_backup_keeps_what_it_shares_with_older_ones(service: Service, tmp_path: Path) -> None:
    url = service.bucket("shared")
    with saved(url, tmp_path) as repo:
        first = {entry.name for entry in repo.store.list("data")}
    longer = StoreOptions(object_lock=ObjectLock(mode="GOVERNANCE", days=60))
    with Repository.open(open_store(url, s3_environment(), longer), PASSWORD) as repo:
        (tmp_path / "source" / "new").write_text("new")
        backup(repo, [str(tmp_path / "source")])
    kept = sorted(service.retention("shared", f"repo/data/{name[:2]}/{name}")[1] for name in first)
    assert kept == [pytest.approx(30, abs=0.01), pytest.approx(60, abs=0.01)]  # old trees, and the content that both need


@pytest.fixture
def command(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """`holdfast repo` on a bucket with object lock, its settings in the environment."""
    environment = {**s3_environment(), "RESTIC_REPOSITORY": service.bucket("by-command"), "RESTIC_PASSWORD": PASSWORD}
    environment |= {"HOLDFAST_S3_OBJECT_LOCK_MODE": "compliance", "HOLDFAST_S3_OBJECT_LOCK_DAYS": "7"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> str:
        assert main(["repo", *words]) == code
        told = capsys.readouterr()
        return told.out + told.err

    return run


def test_by_command_objects_are_retained_extended_and_recovered(
    service: Service, tmp_path: Path, command: Callable[..., str]
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(50_000))
    command("init", "-o", "s3.storage-class=STANDARD_IA")
    command("backup", "file", "-o", "s3.storage-class=STANDARD_IA", "-o", "s3.encryption=AES256")
    keys = [version["Key"] for version in service.versions("by-command") if "/locks/" not in version["Key"]]
    pack = next(key for key in keys if "/data/" in key)
    found = service.client.head_object(Bucket="by-command", Key=pack)
    assert (found["StorageClass"], found["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert {service.retention("by-command", key)[0] for key in keys} == {"COMPLIANCE"}

    told = json.loads(command("retain", "latest", "--days", "20", "--json"))
    assert len(told["moved"]) == len(keys)
    assert service.retention("by-command", pack)[1] == pytest.approx(20, abs=0.01)

    service.client.delete_object(Bucket="by-command", Key="repo/config")
    assert "there is no repository here" in command("snapshots", code=10)
    assert command("recover") == "recovered config\nrecovered 1 objects\n"
    assert "no problems were found" in command("check")


def test_settings_that_make_no_sense_are_refused(command: Callable[..., str], tmp_path: Path) -> None:
    assert "thawed" in command("snapshots", "-o", "s3.storage-class=GLACIER", code=1)
    assert "use AES256" in command("snapshots", "-o", "s3.encryption=rot13", code=1)
    assert "s3.kms-key-id is for" in command("snapshots", "-o", "s3.kms-key-id=k", code=1)
    assert "GOVERNANCE or COMPLIANCE" in command("snapshots", "-o", "s3.object-lock-mode=maybe", code=1)
    assert "is not a number" in command("snapshots", "-o", "connections=many", code=1)
    assert "is for repositories in S3" in command("-r", str(tmp_path), "snapshots", "-o", "s3.storage-class=X", code=1)
    with pytest.raises(SystemExit):
        command("snapshots", "-o", "colour=red")
