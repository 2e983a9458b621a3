"""One suite that every store passes, against real servers on this machine.

Each back end is opened as a user opens it, by its URL and its environment. `place` gives a fresh repository folder in it.
"""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import botocore.session
import pytest
from tests import store_servers, tools
from tests.movers_builders import s3_server
from tests.store_servers import AZURE_ACCOUNT, AZURE_KEY, REST_PASSWORD, REST_USER, Proxy, proxy, s3_environment

from holdfast.repo.errors import (
    AccessDenied,
    BadCredentials,
    ObjectExists,
    ObjectNotFound,
    RepositoryError,
    StoreError,
    StoreUnavailable,
)
from holdfast.repo.repository import Repository
from holdfast.repo.store import KINDS, Entry, Store, path_of
from holdfast.repo.stores import open_store
from holdfast.repo.stores.retry import RetryingStore

BACKENDS = ("local", "s3", "s3-versions", "rest", "sftp", "webdav", "azure", "google")
REMOTE = BACKENDS[1:]
ON_FOLDERS = ("local", "s3", "rest", "sftp", "webdav")
"""Those whose server keeps objects as files of a folder that the tests can see."""

REST_ENV = {"RESTIC_REST_USERNAME": REST_USER, "RESTIC_REST_PASSWORD": REST_PASSWORD}
AZURE_ENV = {"AZURE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_ACCOUNT_KEY": AZURE_KEY}


class Backend:
    """A kind of store: where its server is, and how a repository in it is opened."""

    def __init__(self, name: str, folder: Path, stack: ExitStack) -> None:
        self.name, self.folder, self.address = name, folder, ""
        self.env: dict[str, str] = {}
        self._number = 0
        getattr(self, f"_start_{name.replace('-', '_')}")(stack)

    def _start_local(self, stack: ExitStack) -> None:
        self.folder.mkdir()

    def _start_s3(self, stack: ExitStack) -> None:
        (self.folder / "bucket").mkdir(parents=True)
        self.address = stack.enter_context(s3_server(self.folder))
        self.env = s3_environment()

    def _start_s3_versions(self, stack: ExitStack) -> None:
        self.address = stack.enter_context(store_servers.moto_server())
        self.env = s3_environment()
        client = botocore.session.get_session().create_client(
            "s3", endpoint_url=self.address, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
        )
        client.create_bucket(Bucket="bucket", ObjectLockEnabledForBucket=True)

    def _start_rest(self, stack: ExitStack) -> None:
        self.address = stack.enter_context(store_servers.rest_server(self.folder))
        self.env = REST_ENV

    def _start_sftp(self, stack: ExitStack) -> None:
        self.folder.mkdir()
        server = stack.enter_context(store_servers.ssh_server(self.folder.parent / "ssh"))
        self.ssh = server
        self.address, self.env = f"127.0.0.1:{server.port}", server.environment()

    def _start_webdav(self, stack: ExitStack) -> None:
        self.address = stack.enter_context(store_servers.webdav_server(self.folder))
        self.env = webdav_environment(self.address)

    def _start_azure(self, stack: ExitStack) -> None:
        self.address = stack.enter_context(store_servers.azure_server())
        self.env = {**AZURE_ENV, "AZURE_ENDPOINT": self.address}
        settings = {"TYPE": "azureblob", "ACCOUNT": AZURE_ACCOUNT, "KEY": AZURE_KEY, "ENDPOINT": self.address}
        named = {f"RCLONE_CONFIG_AZ_{name}": value for name, value in settings.items()}
        subprocess.run([tools.rclone(), "mkdir", "az:container"], env=named, check=True, capture_output=True)

    def _start_google(self, stack: ExitStack) -> None:
        self.address = stack.enter_context(store_servers.google_server())
        self.env = {"RCLONE_GCS_ENDPOINT": self.address, "RCLONE_GCS_ANONYMOUS": "true"}

    def url(self, path: str, address: str = "") -> str:
        at = address or self.address
        return {
            "local": lambda: str(self.folder / path),
            "s3": lambda: f"s3:{at}/bucket/{path}",
            "s3-versions": lambda: f"s3:{at}/bucket/{path}",
            "rest": lambda: f"rest:{at}{quote(path)}/",
            "sftp": lambda: f"sftp://{self.ssh.user}@{at}/{self.folder / path}",
            "webdav": lambda: f"rclone:dav:{path}",
            "azure": lambda: f"azure:container:/{path}",
            "google": lambda: f"gs:bucket:/{path}",
        }[self.name]()

    def next_path(self) -> str:
        self._number += 1
        return f"place-{self._number}"

    def behind(self, door: Proxy) -> dict[str, str]:
        """The environment of somebody who reaches the server through a proxy."""
        if self.name == "sftp":
            self.ssh.trust(door.port)
        return {name: door.instead_of(value) for name, value in self.env.items()}


def webdav_environment(address: str, password: str = REST_PASSWORD) -> dict[str, str]:
    hidden = subprocess.run([tools.rclone(), "obscure", "-"], input=password.encode(), capture_output=True, check=True)
    settings = {"TYPE": "webdav", "URL": address, "VENDOR": "other", "USER": REST_USER, "PASS": hidden.stdout.decode().strip()}
    return {f"RCLONE_CONFIG_DAV_{name}": value for name, value in settings.items()} | {"RCLONE_CONFIG": "/notfound"}


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Backend]]:
    """Servers that are started at first use and live as long as the module."""
    with ExitStack() as stack:
        made: dict[str, Backend] = {}

        def get(name: str) -> Backend:
            if name not in made:
                made[name] = Backend(name, tmp_path_factory.mktemp(name) / "root", stack)
            return made[name]

        yield get


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, backends: Callable[[str], Backend]) -> Backend:
    return backends(request.param)


@pytest.fixture(scope="module")
def store(backend: Backend) -> Iterator[Store]:
    """One repository folder for all tests that use names of their own."""
    made = open_store(backend.url("shared"), backend.env)
    made.create()
    yield made
    made.close()


@pytest.fixture
def place(backend: Backend) -> Generator[Store]:
    """A folder in which nothing is yet."""
    made = open_store(backend.url(backend.next_path()), backend.env)
    made.create()
    yield made
    made.close()


def content(size: int = 10_000) -> tuple[str, bytes]:
    """A pack: its path, and bytes nobody has seen."""
    data = os.urandom(size)
    return path_of("data", hashlib.sha256(data).hexdigest()), data


@pytest.mark.parametrize("form", [bytes, memoryview])
def test_what_was_put_is_got_whole_and_in_parts(store: Store, form: type) -> None:
    path, data = content()
    store.put(path, form(data))

    assert store.get(path) == data
    assert store.get(path, 3, 4) == data[3:7]
    assert store.get(path, 9_995) == data[9_995:]
    assert store.get(path, 0, 10_000) == data
    assert store.size(path) == 10_000


def test_an_object_as_large_as_a_pack_comes_back(store: Store) -> None:
    path, data = content(20 << 20)
    store.put(path, data)

    assert hashlib.sha256(store.get(path)).digest() == hashlib.sha256(data).digest()
    assert store.get(path, 17 << 20, 100) == data[17 << 20 : (17 << 20) + 100]


def test_a_missing_object_is_missing_for_every_operation(store: Store) -> None:
    path, _ = content()
    for action in (store.get, store.size, store.delete, lambda path: store.get(path, 1, 2)):
        with pytest.raises(ObjectNotFound):
            action(path)


def test_deleted_is_gone(store: Store) -> None:
    path, data = content()
    store.put(path, data)
    store.delete(path)

    with pytest.raises(ObjectNotFound):
        store.get(path)


def test_putting_the_same_content_again_is_no_error(store: Store) -> None:
    path, data = content()
    store.put(path, data)
    store.put(path, data)

    assert store.get(path) == data


def test_a_range_beyond_the_end_is_an_error_and_not_less_data(store: Store) -> None:
    path, data = content(5)
    store.put(path, data)

    with pytest.raises(RepositoryError):
        store.get(path, 2, 100)


def test_threads_may_write_and_read_at_once(store: Store) -> None:
    packs = dict(content(3_000) for _ in range(48))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: store.put(path, packs[path]), packs))
        got = dict(zip(packs, pool.map(store.get, packs), strict=True))

    assert got == packs


def test_every_folder_lists_its_own_and_config_is_never_overwritten(place: Store) -> None:
    assert {kind: list(place.list(kind)) for kind in KINDS} == {kind: [] for kind in KINDS}
    for number, kind in enumerate(KINDS):
        place.put(path_of(kind, f"{number}" * 64), b"x" * (number + 1))
    place.put("config", b"first")

    assert {kind: list(place.list(kind)) for kind in KINDS} == {
        kind: [Entry(f"{number}" * 64, number + 1)] for number, kind in enumerate(KINDS)
    }
    with pytest.raises(ObjectExists):
        place.put("config", b"later")
    assert place.get("config") == b"first"


def test_a_repository_may_have_an_odd_path(backend: Backend) -> None:
    path, data = content()
    odd = "a b/ü%41+'q' & so"
    with contextlib.closing(open_store(backend.url(odd), backend.env)) as store:
        store.create()
        store.put(path, data)
        assert [entry.size for entry in store.list("data")] == [10_000]
        assert store.get(path) == data
    if backend.name in ON_FOLDERS:
        root = backend.folder / "bucket" if backend.name == "s3" else backend.folder
        assert (root / odd / "data").is_dir()


def test_many_objects_are_all_listed_though_others_wrote_them(backend: Backend) -> None:
    path = backend.next_path()
    with contextlib.closing(open_store(backend.url(path), backend.env)) as store:
        store.create()
        if backend.name in ("local", "rest", "sftp", "webdav"):
            names = {f"{number:064x}" for number in range(10_000 if backend.name in ("local", "rest") else 1_200)}
            folder = backend.folder / path / "snapshots"
            folder.mkdir(exist_ok=True, parents=True)
            for name in names:
                (folder / name).touch()
        else:
            names = {f"{number:064x}" for number in range(1_200 if backend.name == "s3" else 150)}
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda name: store.put(f"snapshots/{name}", b"x"), names))
        listed = [entry.name for entry in store.list("snapshots")]

    assert len(listed) == len(names)
    assert set(listed) == names


def bare(store: Store) -> Store:
    """The store without its retries, so that a fault is seen at once."""
    assert isinstance(store, RetryingStore)
    return RetryingStore(store.inner, attempts=1)


@pytest.mark.parametrize("name", ["s3", "sftp", "webdav", "azure", "google"])
def test_an_upload_that_is_cut_leaves_nothing_to_be_seen(name: str, backends: Callable[[str], Backend]) -> None:
    backend = backends(name)
    path, data = content(4 << 20)
    where = backend.next_path()
    with (
        contextlib.closing(open_store(backend.url(where), backend.env)) as witness,
        proxy(backend.address) as door,
    ):
        witness.create()
        with contextlib.closing(
            open_store(backend.url(where, door.instead_of(backend.address)), backend.behind(door))
        ) as victim:
            door.cut_after = 1 << 20
            with pytest.raises(StoreUnavailable):
                bare(victim).put(path, data)
            assert list(witness.list("data")) == []
            with pytest.raises(ObjectNotFound):
                witness.get(path, 0, 10)

            door.cut_after = None
            victim.put(path, data)
        assert witness.get(path) == data


def answer(status: str, *headers: str, body: bytes = b"") -> Callable[[bytes, socket.socket], None]:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(headers or (f"Content-Length: {len(body)}",)), "", ""]
    return lambda head, client: client.sendall("\r\n".join(lines).encode() + body)


SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


def drop(head: bytes, client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


HARM: dict[str, Callable[[bytes, socket.socket], None]] = {
    "500": answer("500 Internal Server Error"),
    "503 SlowDown": answer("503 Slow Down", "Retry-After: 2", f"Content-Length: {len(SLOW_DOWN)}", body=SLOW_DOWN),
    "429": answer("429 Too Many Requests", "Retry-After: 2", "Content-Length: 0"),
    "dropped": drop,
    "cut short": answer("200 OK", "Content-Length: 10000", body=b"x" * 100),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["s3", "rest"])
def test_faults_that_pass_are_outlived(name: str, harm: str, backends: Callable[[str], Backend]) -> None:
    backend, pauses, left = backends(name), list[float](), [2]
    path, data = content()
    with proxy(backend.address) as door:
        opened = open_store(backend.url("shared", door.instead_of(backend.address)), backend.behind(door))
        assert isinstance(opened, RetryingStore)
        store = RetryingStore(opened.inner, pause=pauses.append)

        def spoil(head: bytes, client: socket.socket) -> bool:
            if left[0]:
                left[0] -= 1
                HARM[harm](head, client)
                return True
            return False

        witness = open_store(backend.url("shared"), backend.env)
        witness.create()
        witness.put(path, data)
        door.spoil = spoil
        assert store.get(path) == data
        store.close()

    assert len(pauses) == 2
    if name == "rest" and harm in ("503 SlowDown", "429"):
        assert min(pauses) >= 2.0


def test_a_slow_server_is_waited_for(backends: Callable[[str], Backend]) -> None:
    backend = backends("rest")
    path, data = content()
    with proxy(backend.address) as door:
        store = open_store(backend.url("shared", door.instead_of(backend.address)), backend.env)
        door.spoil = lambda head, client: time.sleep(0.5) is not None
        store.create()
        store.put(path, data)
        assert store.get(path) == data
        store.close()


WRONG: dict[str, dict[str, str]] = {
    "s3": {"AWS_SECRET_ACCESS_KEY": "wrong-secret"},
    "rest": {"RESTIC_REST_PASSWORD": "wrong-secret"},
    "azure": {"AZURE_ACCOUNT_KEY": "d3Jvbmctc2VjcmV0"},
}


@pytest.mark.parametrize("name", ["s3", "rest", "sftp", "webdav", "azure"])
def test_wrong_credentials_are_said_at_once_and_not_repeated(name: str, backends: Callable[[str], Backend]) -> None:
    backend = backends(name)
    env = {**backend.env, **WRONG.get(name, {})}
    if name == "sftp":
        env["SFTP_KEY_FILE"] = str(backend.ssh.stranger)
    if name == "webdav":
        env = webdav_environment(backend.address, "wrong-secret")
    started = time.monotonic()
    with contextlib.closing(open_store(backend.url("shared"), env)) as store:
        with pytest.raises((BadCredentials, AccessDenied)) as caught:
            store.get("config")
        with pytest.raises((BadCredentials, AccessDenied)):
            store.put("config", b"x")

    assert "wrong-secret" not in str(caught.value)
    assert "d3Jvbmctc2VjcmV0" not in str(caught.value)
    assert time.monotonic() - started < 5


def test_an_ssh_server_with_another_key_than_the_known_is_refused(backends: Callable[[str], Backend], tmp_path: Path) -> None:
    backend = backends("sftp")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{backend.ssh.port} {backend.ssh.stranger.with_suffix('.pub').read_text()}")
    env = {**backend.env, "SFTP_KNOWN_HOSTS_FILE": str(known)}
    with (
        contextlib.closing(open_store(backend.url("shared"), env)) as store,
        pytest.raises(AccessDenied, match="another host key"),
    ):
        store.create()


@pytest.mark.parametrize(
    ("url", "env"),
    [
        ("s3:http://127.0.0.1:1/bucket", s3_environment()),
        ("rest:http://127.0.0.1:1/", {}),
        ("sftp://me@127.0.0.1:1//nowhere", {"SFTP_PASSWORD": "x"}),
        ("azure:container:/x", {**AZURE_ENV, "AZURE_ENDPOINT": "http://127.0.0.1:1/account"}),
    ],
)
def test_a_server_that_is_not_there_is_named(url: str, env: dict[str, str], backends: Callable[[str], Backend]) -> None:
    if url.startswith("sftp:"):
        env = {**env, "SFTP_KNOWN_HOSTS_FILE": str(backends("sftp").ssh.known_hosts)}
    with contextlib.closing(bare(open_store(url, env))) as store, pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1\b"):
        store.get("config")


def test_a_full_server_says_so_and_keeps_nothing_of_the_object(tmp_path: Path) -> None:
    with store_servers.webdav_server(tmp_path / "root", room=2 << 20) as address:
        path, data = content(4 << 20)
        with contextlib.closing(bare(open_store("rclone:dav:x", webdav_environment(address)))) as store:
            store.create()
            with pytest.raises(StoreError):
                store.put(path, data)
            assert list(store.list("data")) == []
            small, some = content(1000)
            store.put(small, some)
            assert store.get(small) == some


def test_a_full_disk_says_so_and_keeps_nothing_of_the_object(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from holdfast.repo.errors import StoreFull\n"
        "from holdfast.repo.stores import open_store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "store = open_store(sys.argv[1], {})\n"
        "store.create()\n"
        "try:\n"
        "    store.put('data/ab/' + 'ab' * 32, bytes(2 << 20))\n"
        "except StoreFull as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)

    assert "free some space" in done.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["rest", "webdav"])
def test_the_stock_program_checks_what_was_written(name: str, backends: Callable[[str], Backend], tmp_path: Path) -> None:
    backend = backends(name)
    where = backend.next_path()
    with Repository.init(open_store(backend.url(where), backend.env), "a password for tests"):
        pass
    env = {"PATH": f"{Path(tools.rclone()).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), **backend.env}
    env |= {"RESTIC_PASSWORD": "a password for tests", "RESTIC_REPOSITORY": backend.url(where)}
    done = subprocess.run([tools.restic(), "check", "--no-cache"], env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
