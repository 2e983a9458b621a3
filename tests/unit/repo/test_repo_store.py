"""What a directory and retries promise, and what is special about S3; tests/conformance/test_repo_stores.py has the rest."""

import errno
import os
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.movers_builders import KEY, SECRET, s3_server
from tests.repo_tls import tls_s3_server

from holdfast.repo.errors import (
    AccessDenied,
    BadCredentials,
    BadLocation,
    Damaged,
    NoBucket,
    ObjectExists,
    ObjectNotFound,
    RepositoryError,
    StoreFull,
    StoreUnavailable,
)
from holdfast.repo.store import Entry, Kind, Store, is_id, path_of
from holdfast.repo.stores import local, open_store
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.stores.retry import RetryingStore
from holdfast.repo.stores.s3 import open_s3, parse_s3

ENV = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
NAME = "ab" * 32
PACK = path_of("data", NAME)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3") / "root"
    (folder / "bucket").mkdir(parents=True)
    with s3_server(folder) as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "retrying"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    local = LocalStore(tmp_path / "store")
    made = RetryingStore(local) if request.param == "retrying" else local
    made.create()
    yield made
    made.close()


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_what_was_put_is_got(store: Store, form: type) -> None:
    store.put(PACK, form(b"0123456789" * 1000))

    assert store.get(PACK) == b"0123456789" * 1000
    assert store.get(PACK, 3, 4) == b"3456"
    assert store.get(PACK, 9995) == b"56789"
    assert store.size(PACK) == 10000


def test_every_folder_lists_its_own(store: Store) -> None:
    kinds: tuple[Kind, ...] = ("data", "index", "keys", "locks", "snapshots")
    for number, kind in enumerate(kinds):
        store.put(path_of(kind, f"{number}" * 64), b"x" * (number + 1))

    assert {kind: list(store.list(kind)) for kind in kinds} == {
        kind: [Entry(f"{number}" * 64, number + 1)] for number, kind in enumerate(kinds)
    }


def test_many_objects_are_all_listed(store: Store) -> None:
    names = {f"{number:064x}" for number in range(120)}
    for name in names:
        store.put(path_of("index", name), b"x")

    assert {entry.name for entry in store.list("index")} == names


def test_a_missing_object_is_missing_for_every_operation(store: Store) -> None:
    for action in (
        lambda: store.get(PACK),
        lambda: store.get(PACK, 1, 2),
        lambda: store.size(PACK),
        lambda: store.delete(PACK),
    ):
        with pytest.raises(ObjectNotFound):
            action()


def test_deleted_is_gone(store: Store) -> None:
    store.put(PACK, b"x")
    store.delete(PACK)

    with pytest.raises(ObjectNotFound):
        store.get(PACK)
    assert list(store.list("data")) == []


def test_config_is_never_overwritten(store: Store) -> None:
    store.put("config", b"first")

    with pytest.raises(ObjectExists):
        store.put("config", b"later")
    assert store.get("config") == b"first"


def test_putting_the_same_content_again_is_no_error(store: Store) -> None:
    store.put(PACK, b"same")
    store.put(PACK, b"same")

    assert store.get(PACK) == b"same"


def test_a_range_beyond_the_end_is_an_error_and_not_less_data(store: Store) -> None:
    store.put(PACK, b"short")

    with pytest.raises(RepositoryError):
        store.get(PACK, 2, 100)


def test_threads_may_write_at_once(store: Store) -> None:
    names = [f"{number:064x}" for number in range(16)]
    threads = [threading.Thread(target=store.put, args=(path_of("data", name), name.encode())) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(store.get(path_of("data", name)) == name.encode() for name in names)


def test_a_directory_ignores_what_is_not_an_id(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create()
    (tmp_path / "keys" / "notes.txt").write_text("mine")

    assert list(store.list("keys")) == []
    assert not is_id("ab" * 31 + "ZZ")


def test_a_full_disk_says_so_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.create()

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(local.os, "write", full)
    with pytest.raises(StoreFull, match="free some space"):
        store.put(PACK, b"content")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(store.list("data")) == []


def test_a_file_system_without_links_still_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.create()

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(local.os, "link", no_links)
    store.put("config", b"first")
    with pytest.raises(ObjectExists):
        store.put("config", b"later")
    assert store.get("config") == b"first"


def test_temporary_files_of_dead_writers_go_after_a_day(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create()
    old, young = tmp_path / "tmp" / "old", tmp_path / "tmp" / "young"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - local.SWEEP_AFTER - 60,) * 2)
    store.close()

    assert not old.exists()
    assert young.exists()


def test_s3_refusals_are_told_apart(endpoint: str) -> None:
    url = f"s3:{endpoint}/bucket/x"
    for env, target, kind, hint in (
        ({**ENV, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}, url, BadCredentials, "SignatureDoesNotMatch"),
        ({**ENV, "AWS_ACCESS_KEY_ID": "nobody"}, url, BadCredentials, "InvalidAccessKeyId"),
        (ENV, f"s3:{endpoint}/missing/x", NoBucket, "'missing' does not exist"),
        (ENV, "s3:http://127.0.0.1:1/bucket", StoreUnavailable, "127.0.0.1:1"),
    ):
        with pytest.raises(kind, match=hint) as caught:
            open_s3(target, env).get("config")
        assert env["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


def test_s3_needs_both_halves_of_the_credentials() -> None:
    with pytest.raises(BadCredentials, match="AWS_SECRET_ACCESS_KEY"):
        open_store("s3:https://host/bucket", {"AWS_ACCESS_KEY_ID": "only"})


@pytest.mark.parametrize(
    ("url", "endpoint", "bucket", "prefix"),
    [
        ("s3:http://host:9000/bucket/a/b/", "http://host:9000", "bucket", "a/b"),
        ("s3:https://host/bucket", "https://host", "bucket", ""),
        ("s3:s3.amazonaws.com/bucket/p", "https://s3.amazonaws.com", "bucket", "p"),
        ("s3://host/bucket", "https://host", "bucket", ""),
    ],
)
def test_s3_urls(url: str, endpoint: str, bucket: str, prefix: str) -> None:
    location = parse_s3(url)

    assert (location.endpoint, location.bucket, location.prefix) == (endpoint, bucket, prefix)


@pytest.mark.parametrize(
    "url",
    ["s3:", "s3:http://host", "s3:ftp://host/b", "rest:ftp://host/", "ftp:host", "azure:", "", "s3:http://me:secret@host/b"],
)
def test_a_bad_url_is_refused_without_repeating_a_secret(url: str) -> None:
    with pytest.raises(BadLocation) as caught:
        open_store(url, ENV)
    assert "secret@" not in str(caught.value)


def test_a_path_is_a_directory_store(tmp_path: Path) -> None:
    assert open_store(str(tmp_path), {}).location == open_store(f"local:{tmp_path}", {}).location == str(tmp_path)


class Flaky:
    """Fails an operation a number of times, before or after it was done."""

    def __init__(self, inner: Store, operation: str, times: int) -> None:
        self.left, self.operation, self.inner = times, operation, inner

    def __call__(self, operation: str, path: str) -> None:
        if operation == self.operation and self.left:
            self.left -= 1
            raise StoreUnavailable("connection reset")


@pytest.mark.parametrize("operation", ["put", "get", "list", "size", "delete"])
def test_passing_faults_are_tried_again_with_growing_pauses(tmp_path: Path, operation: str) -> None:
    inner, pauses = LocalStore(tmp_path), list[float]()
    inner.create()
    store = RetryingStore(FaultyStore(inner, Flaky(inner, operation, 3)), pause=pauses.append)
    store.put(PACK, b"content")

    assert store.get(PACK) == b"content"
    assert store.size(PACK) == 7
    assert [entry.name for entry in store.list("data")] == [NAME]
    store.delete(PACK)
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


def test_retries_end(tmp_path: Path) -> None:
    inner = LocalStore(tmp_path)
    store = RetryingStore(FaultyStore(inner, Flaky(inner, "get", 99)), attempts=4, pause=lambda _: None)

    with pytest.raises(StoreUnavailable, match="tried 4 times"):
        store.get(PACK)


class LostAnswers(LocalStore):
    """Does what it is told, and loses the first answer."""

    lost = False

    def _answer(self) -> None:
        if not self.lost:
            self.lost = True
            raise StoreUnavailable("the answer was lost")

    def put(self, path: str, data: bytes | bytearray | memoryview) -> None:
        super().put(path, data)
        self._answer()

    def delete(self, path: str) -> None:
        super().delete(path)
        self._answer()


def test_a_lost_answer_to_a_write_or_delete_is_no_failure(tmp_path: Path) -> None:
    writer = LostAnswers(tmp_path)
    writer.create()
    RetryingStore(writer, pause=lambda _: None).put("config", b"content")
    remover = LostAnswers(tmp_path)
    RetryingStore(remover, pause=lambda _: None).delete("config")

    assert not (tmp_path / "config").exists()


def test_what_cannot_pass_is_not_tried_again(tmp_path: Path) -> None:
    def denied(operation: str, path: str) -> None:
        raise AccessDenied("no")

    pauses: list[float] = []
    with pytest.raises(AccessDenied):
        RetryingStore(FaultyStore(LocalStore(tmp_path), denied), pause=pauses.append).get(PACK)
    assert pauses == []


def test_a_file_that_shrank_is_damage(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create()
    store.put(PACK, b"0123456789")
    (tmp_path / PACK).chmod(0o600)
    os.truncate(tmp_path / PACK, 4)

    with pytest.raises(Damaged, match="cut short"):
        store.get(PACK, 2, 5)


def test_s3_over_tls_trusts_the_given_ca_and_nothing_less(tmp_path: Path) -> None:
    (tmp_path / "root" / "bucket").mkdir(parents=True)
    with tls_s3_server(tmp_path / "root") as (endpoint, ca):
        url = f"s3:{endpoint}/bucket"
        assert endpoint.startswith("https://")
        for extra in ({"AWS_CA_BUNDLE": str(ca)}, {"AWS_INSECURE_TLS": "true"}):
            store = open_s3(url, ENV | extra)
            store.put(PACK, b"0123456789")
            assert store.get(PACK, 2, 3) == b"234"
        with pytest.raises(StoreUnavailable):
            open_s3(url, ENV).get(PACK)
        with pytest.raises(BadLocation, match="no such file"):
            open_s3(url, ENV | {"AWS_CA_BUNDLE": "/no such file"})
