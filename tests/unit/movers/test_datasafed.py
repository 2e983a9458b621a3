"""`datasafed` as scripts call it: in a directory, in an S3 bucket, sealed, and by the client for foreign images."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import IO, cast

import pytest
from tests import movers_builders as builders
from tests import tools

from holdfast.core.calls import DatasafedAttend, DatasafedDelete
from holdfast.movers.datasafed import codecs
from holdfast.movers.datasafed.attend import bounded, conclude
from holdfast.movers.datasafed.command import Streams, main
from holdfast.movers.datasafed.faults import DatasafedError
from holdfast.movers.datasafed.jobs import CLIENT
from holdfast.movers.datasafed.keeper import Kept
from holdfast.repo import keys

TEXT = b"".join(b"row %d\n" % number for number in range(200_000))
SEALED = {"DATASAFED_ENCRYPTION_ALGORITHM": "AES-256-CFB", "DATASAFED_ENCRYPTION_PASS_PHRASE": "a phrase for tests"}


def open_file(path: str, mode: str) -> IO[bytes]:
    return cast("IO[bytes]", open(path, mode))


class Shell:
    """Calls the command with an environment; `said` is what it printed as errors."""

    def __init__(self, env: Mapping[str, str], capsys: pytest.CaptureFixture[str], *first: str) -> None:
        self.env, self._first, self._capsys, self.said = dict(env), first, capsys, ""

    def __call__(self, *words: str, data: bytes = b"", code: int = 0) -> bytes:
        out = io.BytesIO()
        ended = main([*self._first, *words], {**os.environ, **self.env}, Streams(io.BytesIO(data), out, open_file))
        self.said = self._capsys.readouterr().err
        assert ended == code, self.said
        return out.getvalue()

    def having(self, **more: str) -> "Shell":
        return Shell({**self.env, **more}, self._capsys, *self._first)


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", 256)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    with builders.s3_server(folder) as found:
        yield found


@pytest.fixture(params=["local", "s3", "sealed", "dedup", "dedup-s3"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> Shell:
    dedup = {"DATASAFED_KOPIA_REPO_ROOT": "/ns/kopia", "DATASAFED_KOPIA_PASSWORD": "a password for tests"}
    if request.param.endswith("s3"):
        env = dedup if request.param == "dedup-s3" else {}
        return Shell(env, capsys, "-c", str(s3_config(tmp_path, endpoint, tmp_path.name)))
    env = {"DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path / "repository")}
    (tmp_path / "repository").mkdir()
    more = {"sealed": SEALED, "dedup": dedup}.get(request.param, {})
    return Shell({**env, **more}, capsys)


def s3_config(folder: Path, endpoint: str, root: str) -> Path:
    path = folder / "datasafed.conf"
    path.write_text(
        f"[storage]\ntype = s3\nprovider = Minio\nendpoint = {endpoint}\nforce_path_style = true\n"
        f"access_key_id = {builders.KEY}\nsecret_access_key = {builders.SECRET}\nroot = bucket/{root}\n"
    )
    return path


def test_what_is_pushed_comes_back_the_same_and_is_listed_with_its_size(shell: Shell) -> None:
    shell("push", "-", "/full/data.txt", data=TEXT)
    shell("push", "-", "/full/small", data=b"x")

    assert shell("pull", "full/data.txt", "-") == TEXT
    assert shell("list", "full/data.txt") == b"full/data.txt\n"
    assert shell("list", "/") == b"full/\n"
    assert shell("list", "-f", "-r", "-s", "size", "/") == b"full/small\nfull/data.txt\n"
    assert shell("stat", "/") == f"TotalSize: {len(TEXT) + 1}\nEntries: 3\nDirs: 1\nFiles: 2\n".encode()
    assert json.loads(shell("stat", "--json", "full/data.txt"))["total_size"] == len(TEXT)


def test_a_base_path_is_before_every_path_and_is_not_printed(shell: Shell) -> None:
    inner = shell.having(DATASAFED_BACKEND_BASE_PATH="/ns/backup-1")

    inner("push", "-", "/data", data=b"inner")

    assert inner("list", "/") == b"data\n"
    assert shell("pull", "ns/backup-1/data", "-") == b"inner"
    assert shell("list", "ns/backup-1") == b"ns/backup-1/data\n"


def test_a_second_push_replaces_the_first(shell: Shell) -> None:
    shell("push", "-", "state", data=b"old")
    shell("push", "-", "state", data=b"new")

    assert shell("pull", "state", "-") == b"new"


def test_files_and_folders_go_when_they_are_removed(shell: Shell) -> None:
    for name in ("a/1", "a/2", "b/1"):
        shell("push", "-", name, data=b"content")

    shell("rm", "a/1")
    shell("rm", "a/none")
    assert shell("list", "a") == b"a/2\n"
    shell("rm", "-r", "a")
    assert shell("list", "/") == b"b/\n"
    shell("rmdir", "b", code=1)
    assert "not empty" in shell.said


def test_listings_know_time_names_and_forms(shell: Shell) -> None:
    shell("push", "-", "wal/0001.zst", data=b"1")
    shell("push", "-", "wal/0002.zst", data=b"22")
    shell("push", "-", "wal/note", data=b"")
    now = int(time.time())

    assert shell("list", "--name", "*.zst", "wal") == b"wal/0001.zst\nwal/0002.zst\n"
    assert shell("list", "--reverse", "--name", "*.zst", "wal") == b"wal/0002.zst\nwal/0001.zst\n"
    assert shell("list", "--older-than", str(now - 100), "wal") == b""
    assert len(shell("list", "--newer-than", str(now - 100), "wal").splitlines()) == 3
    entries = json.loads(shell("list", "-o", "json", "wal"))
    assert [(entry["path"], entry["size"], entry["is_dir"]) for entry in entries][1] == ("wal/0002.zst", 2, False)
    assert abs(entries[0]["mtime"] - now) < 100
    assert shell("list", "-o", "long", "wal/0001.zst").split(b"\t")[1:] == [b"1", b"wal/0001.zst\n"]


def test_a_missing_file_is_an_error_that_names_it(shell: Shell) -> None:
    shell("pull", "nothing/here", "-", code=1)

    assert "nothing/here" in shell.said
    assert "does not exist" in shell.said


@pytest.mark.parametrize("algorithm", codecs.ALGORITHMS)
def test_every_compression_undoes_itself(algorithm: str) -> None:
    blocks = [TEXT[at : at + 65_521] for at in range(0, len(TEXT), 65_521)]

    packed = b"".join(codecs.compressor(algorithm)(blocks))

    assert len(packed) < len(TEXT)
    pieces = [packed[at : at + 4099] for at in range(0, len(packed), 4099)]
    assert b"".join(codecs.decompressor(algorithm)(pieces)) == TEXT


@pytest.mark.parametrize("algorithm", codecs.ALGORITHMS)
def test_a_compressed_file_that_was_cut_is_noticed(algorithm: str) -> None:
    packed = b"".join(codecs.compressor(algorithm)([TEXT]))

    with pytest.raises(DatasafedError):
        list(codecs.decompressor(algorithm)([packed[: len(packed) // 2]]))


@pytest.mark.parametrize(("program", "algorithm"), [("gzip", "gzip"), ("gzip", "pgzip-best-speed"), ("zstd", "zstd-fastest")])
def test_common_programs_read_what_is_compressed(program: str, algorithm: str) -> None:
    packed = b"".join(codecs.compressor(algorithm)([TEXT]))

    assert subprocess.run([program, "-dc"], input=packed, capture_output=True, check=True).stdout == TEXT


def test_files_in_several_parts_are_read_to_their_end() -> None:
    for algorithm in ("gzip", "zstd"):
        packed = b"".join(codecs.compressor(algorithm)([b"one"])) + b"".join(codecs.compressor(algorithm)([b"two"]))

        assert b"".join(codecs.decompressor(algorithm)([packed])) == b"onetwo"


def test_s2_is_refused_by_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = Shell({"DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path)}, capsys)

    shell("push", "-z", "s2-default", "-", "x", code=1)

    assert "s2-default is not supported" in shell.said
    assert shell("list", "/") == b""


def test_sealed_files_have_the_documented_form() -> None:
    """AES-256 in CFB mode after 16 bytes, key from HKDF-SHA256 with salt `encryption`: computed here by the hash itself."""
    import hashlib
    import hmac

    sealed = b"".join(codecs.sealer("AES-256-CFB", "phrase")([b"secret text"]))

    fresh = hmac.new(b"encryption", b"phrase", hashlib.sha256).digest()
    key = hmac.new(fresh, b"\x01", hashlib.sha256).digest()
    opened = subprocess.run(
        ["openssl", "enc", "-d", "-aes-256-cfb", "-K", key.hex(), "-iv", sealed[:16].hex()],
        input=sealed[16:],
        capture_output=True,
        check=True,
    ).stdout
    assert opened == b"secret text"
    assert b"secret" not in sealed


def test_what_two_files_share_is_stored_once_and_given_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(tools.restic()).parent}:{os.environ['PATH']}")
    env = {
        "DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path),
        "DATASAFED_KOPIA_REPO_ROOT": "/kopia",
        "DATASAFED_KOPIA_PASSWORD": "a password for tests",
    }
    shell = Shell(env, capsys)
    data = os.urandom(8_000_000)

    def stored() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "kopia").rglob("*") if path.is_file())

    shell("push", "-", "b1/data", data=data)
    once = stored()
    shell("push", "-", "b2/data", data=b"new" + data)

    assert stored() - once < len(data) // 2
    assert shell("pull", "b2/data", "-") == b"new" + data
    shell("rm", "-r", "b1")
    shell("rm", "-r", "b2")
    assert stored() < 100_000


def test_sealed_files_lie_under_a_suffix_and_hide_their_overhead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell({"DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path), **SEALED}, capsys)

    shell("push", "-", "data", data=b"12345")

    assert (tmp_path / "data.enc").stat().st_size == 5 + codecs.SEAL_BYTES
    assert b"TotalSize: 5\n" in shell("stat", "data")


def test_paths_never_lead_out_of_the_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell({"DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path / "in")}, capsys)

    for path in ("../x", "a/../../x"):
        shell("push", "-", path, data=b"x", code=1)
    assert not (tmp_path / "x").exists()


def test_getconf_prints_a_value(tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell({}, capsys)

    assert shell("getconf", "storage.provider", "-c", str(s3_config(tmp_path, endpoint, ""))) == b"Minio\n"


def test_a_loopback_store_is_reached_by_the_name_of_the_machine(tmp_path: Path, endpoint: str) -> None:
    from holdfast.movers.datasafed.settings import read_settings, storage_of

    config = str(s3_config(tmp_path, endpoint, ""))
    options, _ = storage_of(read_settings({"HOLDFAST_LOOPBACK": "host.example"}, config))

    assert options["endpoint"] == endpoint.replace("127.0.0.1", "host.example")


SERVE = """
import sys
from pathlib import Path
from holdfast.movers.datasafed.server import Server
server = Server(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    server.serve(5)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, int]]:
    """The client's program in a folder of its own, and the process of the server beside it."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "datasafed"
    program.write_bytes(CLIENT.read_bytes())
    program.chmod(0o755)
    server = subprocess.Popen([sys.executable, "-c", SERVE, str(folder)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    yield program, server.pid
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture
def client(served: tuple[Path, int]) -> Path:
    return served[0]


def test_the_client_reads_and_writes_files_of_its_own(client: Path, tmp_path: Path) -> None:
    env = {"DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path / "repository")}
    (tmp_path / "repository").mkdir()
    (tmp_path / "source").write_bytes(TEXT)

    subprocess.run([client, "push", "-z", "zstd", "source", "a/data"], env=env, cwd=tmp_path, check=True)
    subprocess.run([client, "pull", "-d", "zstd", "a/data", "target"], env=env, cwd=tmp_path, check=True)
    listed = subprocess.run([client, "list", "-r", "/"], env=env, capture_output=True, check=True).stdout
    missing = subprocess.run([client, "push", "none", "x"], env=env, cwd=tmp_path, capture_output=True, check=False)

    assert (tmp_path / "target").read_bytes() == TEXT
    assert listed == b"a/\na/data\n"
    assert (missing.returncode, missing.stderr) == (1, b"Error: none: No such file or directory\n")


@pytest.mark.parametrize("sees", [True, False], ids=["the server sees it", "the end of its input is seen first"])
@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_client_that_is_killed_leaves_nothing_under_the_final_name(
    kind: str, sees: bool, served: tuple[Path, int], tmp_path: Path, endpoint: str
) -> None:
    client, server = served
    env = {"DATASAFED_LOCAL_BACKEND_PATH": str(tmp_path)}
    config: list[str] = []
    if kind == "s3":
        env, config = {}, ["-c", str(s3_config(tmp_path, endpoint, "killed"))]
    push = subprocess.Popen([client, *config, "push", "-", "half"], env=env, stdin=subprocess.PIPE)
    assert push.stdin is not None
    push.stdin.write(b"x" * 20_000_000)
    push.stdin.flush()
    if not sees:
        os.kill(server, signal.SIGSTOP)

    try:
        push.kill()
        push.wait()
        push.stdin.close()
        if not sees:
            wait_until(lambda: not living("ppid", server))
    finally:
        os.kill(server, signal.SIGCONT)

    listed = subprocess.run([client, *config, "list", "-r", "/"], env=env, capture_output=True, check=True).stdout
    assert b"half" not in listed
    if kind == "local":
        wait_until(lambda: not living("ppid", server))
        assert list((tmp_path / ".datasafed").iterdir()) == []


WRITER = """
import os, signal, sys
from holdfast.movers.datasafed.keeper import Kept
program = Kept(["sh", "-c", "cat >out; : >ended"], os.environ)
print(program._keeper.pid, flush=True)
for _ in range(int(sys.argv[1])):
    program.write(bytes(100_000))
if sys.argv[2] == "ends":
    sys.exit(program.finish()[0])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("blocks", [0, 5])
@pytest.mark.parametrize("way", ["dies", "ends"])
def test_a_program_sees_the_end_of_its_input_only_if_its_writer_said_so(way: str, blocks: int, tmp_path: Path) -> None:
    writer = subprocess.run(
        [sys.executable, "-c", WRITER, str(blocks), way], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False
    )
    wait_until(lambda: not living("pgid", int(writer.stdout)))

    assert (tmp_path / "ended").exists() == (way == "ends")
    if way == "ends":
        assert (tmp_path / "out").stat().st_size == blocks * 100_000


def test_a_program_that_fails_is_told_with_its_words() -> None:
    with Kept(["sh", "-c", "echo no room >&2; exit 3"], os.environ) as program:
        with contextlib.suppress(BrokenPipeError):
            program.write(bytes(1_000_000))
        assert program.finish() == (3, b"no room\n")


def living(field: str, number: int) -> list[int]:
    """The processes of a parent or a group that are not yet dead."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, *numbers = (entry / "stat").read_text().rpartition(")")[2].split()
            if state != "Z" and int(numbers[("ppid", "pgid").index(field)]) == number:
                found.append(int(entry.name))
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_script_says_is_checked_against_what_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASAFED_LOCAL_BACKEND_PATH", str(tmp_path))
    monkeypatch.setenv("DATASAFED_BACKEND_BASE_PATH", "/ns/b1")
    call = DatasafedAttend("/bin", info="/info", record={"metadata": {"name": "b1"}}, record_file="kubeblocks-backup.json")

    assert "nothing lies" in conclude(call, {"totalSize": "12"})["problem"]
    assert not (tmp_path / "ns").exists()

    (tmp_path / "ns/b1").mkdir(parents=True)
    (tmp_path / "ns/b1/data").write_bytes(b"0123456789ab")
    found = conclude(call, {"totalSize": "12", "extras": [{"gtid": "1"}]})
    record = json.loads((tmp_path / "ns/b1/kubeblocks-backup.json").read_text())

    assert (found["storedBytes"], "problem" in found) == (12, False)
    assert record["metadata"] == {"name": "b1"}
    assert (record["status"]["totalSize"], record["status"]["extras"]) == ("12", [{"gtid": "1"}])


def test_details_too_long_for_a_report_lose_their_extras_only() -> None:
    assert bounded({"totalSize": "1", "extras": [{"x": "y" * 5000}]}) == {"totalSize": "1"}


def test_only_the_folder_of_the_named_backup_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASAFED_LOCAL_BACKEND_PATH", str(tmp_path))
    for name in ("ns/p/b1/data", "ns/p/b1/sub/more", "ns/other/b2/data"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    refused = builders.perform_call(DatasafedDelete("/ns", "b1")).failure
    gone = builders.perform_call(DatasafedDelete("/ns/p/b1", "b1"))
    again = builders.perform_call(DatasafedDelete("/ns/p/b1", "b1"))

    assert refused is not None
    assert refused.reason == "RefusedToDelete"
    assert gone.failure is again.failure is None
    assert not (tmp_path / "ns/p").exists()
    assert (tmp_path / "ns/other/b2/data").exists()
