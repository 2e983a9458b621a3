"""Storages and repositories are proven before they are used; what is wrong with one is said in words."""

from pathlib import Path

import pytest
import yaml
from tests.movers_builders import credentials_dir, perform_call, s3_server

from holdfast.core.calls import RepositoryInit, StorageInit, StorageTarget, Wipe
from holdfast.movers.stores import open_store
from holdfast.repo.stores.limits import ConcurrencyLimitedStore
from holdfast.repo.stores.wrapped import find_inner

DOCUMENT = {"kind": "BackendMeta", "repositories": []}


def initialize(url: str, credentials: str = "") -> tuple[str, str]:
    report = perform_call(StorageInit(StorageTarget(url, {}, credentials), DOCUMENT))
    return (report.failure.reason, report.failure.message) if report.failure else ("", "")


def test_a_local_storage_gets_its_metadata_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "mounted" / "prefix"

    assert initialize(str(place)) == ("", "")

    assert [path.name for path in place.iterdir()] == ["metadata.yaml"]
    written = yaml.safe_load((place / "metadata.yaml").read_text())
    assert written["kind"] == "BackendMeta"
    assert written["creationTimestamp"]


def test_a_storage_that_was_initialised_keeps_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("kind: BackendMeta\nfrom: before\n")

    assert initialize(str(tmp_path)) == ("", "")

    assert "before" in (tmp_path / "metadata.yaml").read_text()


def test_a_path_that_can_not_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    reason, message = initialize(str(tmp_path / "file" / "below"))

    assert reason == "NoFolder"
    assert "below" in message


def test_a_bucket_is_made_when_it_is_missing(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as endpoint:
        assert initialize(f"s3:{endpoint}/fresh-bucket/some/prefix", credentials_dir(tmp_path)) == ("", "")

    assert (tmp_path / "s3" / "fresh-bucket" / "some" / "prefix" / "metadata.yaml").is_file()


@pytest.mark.parametrize(("key", "secret"), [("AKIDHOLDFAST", "wrong-secret"), ("AKIDSOMEBODYELSE", "wrong-secret")])
def test_a_wrong_key_is_called_a_wrong_key(tmp_path: Path, key: str, secret: str) -> None:
    with s3_server(tmp_path / "s3") as endpoint:
        reason, message = initialize(f"s3:{endpoint}/bucket", credentials_dir(tmp_path, key, secret))

    assert reason == "BadCredentials"
    assert secret not in message


def test_an_endpoint_that_is_down_is_named(tmp_path: Path) -> None:
    reason, message = initialize("s3:http://127.0.0.1:9/bucket", credentials_dir(tmp_path))

    assert reason == "StoreUnavailable"
    assert "127.0.0.1:9" in message


def test_a_secret_without_a_key_is_named(tmp_path: Path) -> None:
    folder = Path(credentials_dir(tmp_path))
    (folder / "AWS_SECRET_ACCESS_KEY").unlink()

    reason, message = initialize("s3:http://127.0.0.1:9/bucket", str(folder))

    assert reason == "IncompleteSecret"
    assert "AWS_SECRET_ACCESS_KEY" in message


def test_a_repository_is_recorded_and_replaced_when_it_changes(tmp_path: Path) -> None:
    for path in ("/a", "/b"):
        call = RepositoryInit("repo", StorageTarget(str(tmp_path / "repo")), {"spec": {"path": path}})
        assert perform_call(call).failure is None
        assert yaml.safe_load((tmp_path / "repo" / "repository.yaml").read_text())["spec"]["path"] == path


def test_wipe_removes_one_folder_and_spares_its_neighbour(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "x").touch()

    report = perform_call(Wipe("mine", StorageTarget(str(tmp_path / "mine"))))

    assert report.failure is None
    assert report.results[0].files == 1
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_wipe_in_s3_spares_names_that_only_begin_alike(tmp_path: Path) -> None:
    for name in ("mine", "mine-too"):
        (tmp_path / "s3" / "bucket" / name).mkdir(parents=True)
        (tmp_path / "s3" / "bucket" / name / "x").touch()
    with s3_server(tmp_path / "s3") as endpoint:
        target = StorageTarget(f"s3:{endpoint}/bucket/mine", {}, credentials_dir(tmp_path))
        assert perform_call(Wipe("mine", target)).results[0].files == 1

    assert not (tmp_path / "s3" / "bucket" / "mine" / "x").exists()
    assert (tmp_path / "s3" / "bucket" / "mine-too" / "x").exists()


@pytest.mark.parametrize("url", ["/", "/mnt", "s3:http://127.0.0.1:9/bucket"])
def test_wipe_refuses_roots(tmp_path: Path, url: str) -> None:
    report = perform_call(Wipe("everything", StorageTarget(url, {}, credentials_dir(tmp_path))))

    assert report.failure is not None
    assert report.failure.reason == "RefusedToWipe"


def test_the_connections_that_a_storage_allows_are_what_its_store_takes(tmp_path: Path) -> None:
    limited = open_store(StorageTarget(str(tmp_path), {"connections": "3"}))
    free = open_store(StorageTarget(str(tmp_path)))

    assert find_inner(limited, ConcurrencyLimitedStore) is not None
    assert find_inner(free, ConcurrencyLimitedStore) is None
