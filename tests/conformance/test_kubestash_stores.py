"""Every provider of a BackupStorage, through the movers and against a server of its kind: the files of KubeStash's layout.

Google and Azure are emulators; the same calls are made against them as against a directory.
"""

import contextlib
import json
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import yaml
from tests.movers_builders import credentials_dir, password_file, perform_call, s3_server
from tests.store_servers import AZURE_ACCOUNT, AZURE_KEY, azure_server, google_server
from tests.tools import rclone

from holdfast.core.calls import (
    Forget,
    Forgotten,
    Listed,
    Records,
    RepositoryInit,
    RepositoryTarget,
    Retention,
    StorageInit,
    StorageTarget,
    StorageWipe,
    VolumeBackup,
    Wipe,
)
from holdfast.core.report import Report
from holdfast.movers.documents import open_documents
from holdfast.movers.stores import environment

META = {"kind": "BackendMeta", "operatorVersion": "holdfast", "repositories": []}


@contextlib.contextmanager
def _local(folder: Path) -> Generator[StorageTarget]:
    yield StorageTarget(str(folder / "local" / "prefix"))


@contextlib.contextmanager
def _s3(folder: Path) -> Generator[StorageTarget]:
    with s3_server(folder / "s3") as endpoint:
        yield StorageTarget(f"s3:{endpoint}/bucket/prefix", {}, credentials_dir(folder))


@contextlib.contextmanager
def _google(folder: Path) -> Generator[StorageTarget]:
    with google_server() as address:
        keys = folder / "google-keys"
        keys.mkdir()
        key = {"gcs_base_url": address.removesuffix("/storage/v1/")}
        (keys / "GOOGLE_SERVICE_ACCOUNT_JSON_KEY").write_text(json.dumps(key))
        yield StorageTarget("gs:bucket:/prefix", {}, str(keys))


@contextlib.contextmanager
def _azure(folder: Path) -> Generator[StorageTarget]:
    with azure_server() as endpoint:
        keys = folder / "azure-keys"
        keys.mkdir()
        (keys / "AZURE_ACCOUNT_KEY").write_text(AZURE_KEY)
        (keys / "AZURE_ENDPOINT").write_text(endpoint)
        target = StorageTarget("azure:container:/prefix", {"account": AZURE_ACCOUNT}, str(keys))
        _make_container(environment(target))
        yield target


def _make_container(env: dict[str, str]) -> None:
    settings = {"TYPE": "azureblob", "ACCOUNT": AZURE_ACCOUNT, "KEY": AZURE_KEY, "ENDPOINT": env["AZURE_ENDPOINT"]}
    named = {f"RCLONE_CONFIG_AZ_{name}": value for name, value in settings.items()}
    subprocess.run([rclone(), "mkdir", "az:container"], env=named, check=True, capture_output=True)


SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[StorageTarget]]] = {
    "local": _local,
    "s3": _s3,
    "gcs": _google,
    "azure": _azure,
}


@pytest.fixture(params=SERVERS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[StorageTarget]:
    with SERVERS[request.param](tmp_path) as target:
        yield target


def below(root: StorageTarget, path: str) -> StorageTarget:
    return StorageTarget(f"{root.url}/{path}", root.options, root.credentials_dir)


def good(report: Report) -> Report:
    assert report.failure is None, report.failure
    return report


def names(root: StorageTarget) -> list[str]:
    return sorted(open_documents(root).names())


def read(root: StorageTarget, name: str) -> dict[str, object]:
    return yaml.safe_load(open_documents(root).read(name) or b"")


def initialise(root: StorageTarget, *repositories: str) -> None:
    good(perform_call(StorageInit(root, META)))
    for name in repositories:
        document = {"kind": "Repository", "metadata": {"name": name, "namespace": "demo"}}
        listed = Listed(root, "demo", name, f"/demo/{name}")
        good(perform_call(RepositoryInit(name, below(root, f"demo/{name}"), document, listed)))


def test_a_repository_lives_and_goes_in_the_documented_layout(root: StorageTarget, tmp_path: Path) -> None:
    initialise(root, "one", "two")
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("hello")
    component = "repository/v1/daily/dump-pod-0"
    target = RepositoryTarget("one", below(root, f"demo/one/{component}"), password_file(tmp_path), "dump-pod-0")
    (result,) = good(perform_call(VolumeBackup((target,), (str(source),), host="pod"))).results
    snapshot = {"kind": "Snapshot", "metadata": {"name": "one-run"}}
    records = Records(below(root, "demo/one"), {"one-run": snapshot})
    good(perform_call(Retention((), records)))

    found = names(root)
    assert {"metadata.yaml", "demo/one/repository.yaml", "demo/one/snapshots/one-run.yaml"} <= set(found)
    assert f"demo/one/{component}/config" in found
    assert read(root, "metadata.yaml")["repositories"] == [
        {"name": "one", "namespace": "demo", "path": "demo/one"},
        {"name": "two", "namespace": "demo", "path": "demo/two"},
    ]

    forget = Forget(target, (Forgotten("one-run", result.snapshot_ids),))
    good(perform_call(Retention((forget,), Records(below(root, "demo/one"), delete=("one-run",)))))
    assert "demo/one/snapshots/one-run.yaml" not in names(root)

    good(perform_call(Wipe("one", below(root, "demo/one"), Listed(root, "demo", "one", "/demo/one"))))
    assert [name for name in names(root) if name.startswith("demo/one/")] == []
    assert read(root, "metadata.yaml")["repositories"] == [{"name": "two", "namespace": "demo", "path": "demo/two"}]


def test_wiping_a_storage_leaves_what_is_not_ours(root: StorageTarget) -> None:
    initialise(root, "one", "two")
    place = open_documents(root)
    place.write("demo/neighbour/file", b"theirs")
    place.write("other.txt", b"theirs")

    good(perform_call(StorageWipe("demo/storage", root)))

    assert names(root) == ["demo/neighbour/file", "other.txt"]


def test_a_record_stays_when_its_data_could_not_be_forgotten(root: StorageTarget, tmp_path: Path) -> None:
    initialise(root, "one")
    records = Records(below(root, "demo/one"), {"one-run": {"kind": "Snapshot"}})
    good(perform_call(Retention((), records)))
    missing = RepositoryTarget("one", below(root, "demo/one/repository/v1/daily/dump"), password_file(tmp_path), "dump")

    report = perform_call(
        Retention(
            (Forget(missing, (Forgotten("one-run", ("ab" * 32,)),)),), Records(below(root, "demo/one"), delete=("one-run",))
        )
    )

    assert report.failure is not None
    assert "demo/one/snapshots/one-run.yaml" in names(root)


def test_a_path_that_leads_out_of_the_storage_is_not_followed(tmp_path: Path) -> None:
    root = StorageTarget(str(tmp_path / "storage" / "inner"))
    initialise(root)
    (tmp_path / "storage" / "victim").mkdir()
    (tmp_path / "storage" / "victim" / "file").touch()
    listed = [{"name": "x", "namespace": "demo", "path": "../victim"}]
    open_documents(root).write("metadata.yaml", yaml.safe_dump({**META, "repositories": listed}).encode())

    report = perform_call(StorageWipe("demo/storage", root))

    assert report.failure is not None
    assert report.failure.reason == "BadMetadata"
    assert (tmp_path / "storage" / "victim" / "file").exists()
