"""The command line of `holdfast repo` without a second program: addresses, passwords, messages, exit codes, shapes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.repo_program import init_cheap
from tests.repo_trees import PASSWORD

from holdfast.cli.main import main
from holdfast.cli.repo import COMMANDS
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name in list(os.environ):
        if name.startswith(("RESTIC_", "HOLDFAST_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115

    def run(*words: str, **env: str) -> Ran:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            try:
                code = main(["repo", *words])
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A repository with two snapshots of one file."""
    init_cheap(str(tmp_path / "r"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("content")
    return str(tmp_path / "r")


@pytest.fixture
def backup(run: Run, url: str, tmp_path: Path) -> Callable[..., str]:
    def backup(*words: str) -> str:
        done = run("-r", url, "backup", str(tmp_path / "source"), "--json", "-q", *words, RESTIC_PASSWORD=PASSWORD)
        return json.loads(done.out.splitlines()[-1])["snapshot_id"]

    return backup


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str, run: Run) -> None:
    said = run(command, "--help")

    assert said.code == 0
    assert f"usage: holdfast repo {command}" in said.out
    assert f"  holdfast repo {command}" in said.out.partition("Examples:")[2]


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from holdfast.cli.main import main\n"
        "try: main(['repo', 'snapshots', '--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    slow = {"numpy", "aiohttp", "obstore", "holdfast.repo.backup", "typing_extensions", "inspect", "ctypes"}
    assert not slow & set(done.stdout.splitlines()[-1].split())


def test_options_may_stand_before_and_after_the_command(run: Run, url: str) -> None:
    before = run("-r", url, "--json", "snapshots", RESTIC_PASSWORD=PASSWORD)
    after = run("snapshots", "-r", url, "--json", RESTIC_PASSWORD=PASSWORD)
    assert before == after == Ran(0, "[]\n", "")


@pytest.mark.parametrize(
    ("words", "env", "code", "said"),
    [
        ((), {}, 1, "which repository? Give --repo, or set RESTIC_REPOSITORY"),
        (("-r", "{url}"), {}, 1, "no password: give --password-file or --password-command, or set RESTIC_PASSWORD_FILE"),
        (("-r", "{url}"), {"RESTIC_PASSWORD": ""}, 1, "the password is empty"),
        (("-r", "{url}"), {"RESTIC_PASSWORD": "wrong"}, 12, "opens none"),
        (("-r", "{url}x"), {"RESTIC_PASSWORD": "any"}, 10, "no repository here"),
        (("-r", "ftp:host/path"), {"RESTIC_PASSWORD": "any"}, 1, "'ftp:host/path' is not a repository of a kind"),
        (("-r", "{url}", "--repository-file", "f"), {}, 1, "--repo and --repository-file are both given"),
        (("-r", "{url}", "-p", "/nowhere/p"), {}, 1, "the password file /nowhere/p can't be read: No such file"),
        (("-r", "{url}", "-p", "/dev/null"), {}, 1, "the password file /dev/null is empty"),
        (("-r", "{url}", "--password-command", "false"), {}, 1, "the password command false failed with exit code 1"),
        (("-r", "{url}", "--password-command", "true"), {}, 1, "the password command true printed nothing"),
        (("-r", "{url}", "--password-command", "/nowhere/x"), {}, 1, "the password command can't be run: "),
        (("-r", "{url}", "--retry-lock", "soon"), {}, 2, "'soon' is not a duration"),
    ],
)
def test_bad_input_is_named_with_what_to_do(
    words: tuple[str, ...], env: dict[str, str], code: int, said: str, run: Run, url: str
) -> None:
    done = run(*(word.format(url=url) for word in words), "snapshots", **env)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_errors_are_documents_with_json(run: Run, url: str) -> None:
    done = run("-r", url, "snapshots", "--json", RESTIC_PASSWORD="wrong")
    found = json.loads(done.err)
    assert (done.out, found["message_type"], found["code"]) == ("", "exit_error", 12)
    assert "wrong" not in found["message"]


def test_every_way_to_give_address_and_password(run: Run, url: str, tmp_path: Path) -> None:
    secret, address = tmp_path / "password", tmp_path / "address"
    secret.write_text(f" {PASSWORD}\n")
    address.write_text(f"{url}\n")
    ways: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("-r", url, "-p", str(secret)), {"RESTIC_PASSWORD": "wrong"}),
        (("--repository-file", str(address), "--password-command", f"cat '{secret}'"), {"RESTIC_REPOSITORY": "/wrong"}),
        ((), {"RESTIC_REPOSITORY": url, "RESTIC_PASSWORD_FILE": str(secret)}),
        ((), {"RESTIC_REPOSITORY_FILE": str(address), "RESTIC_PASSWORD_COMMAND": f"cat '{secret}'"}),
        ((), {"HOLDFAST_REPOSITORY": url, "RESTIC_REPOSITORY": "/wrong", "RESTIC_PASSWORD": PASSWORD}),
        (("-r", url), {"HOLDFAST_PASSWORD": PASSWORD, "RESTIC_PASSWORD": "wrong"}),
    ]
    for words, env in ways:
        assert run(*words, "snapshots", "--json", **env) == Ran(0, "[]\n", ""), (words, env)


def test_init_makes_a_repository_once(run: Run, tmp_path: Path) -> None:
    place = str(tmp_path / "new")
    made = json.loads(run("-r", place, "init", "--json", RESTIC_PASSWORD="secret").out)
    assert (made["message_type"], made["repository"]) == ("initialized", place)
    assert run("-r", place, "init", RESTIC_PASSWORD="secret").code == 1
    assert run("-r", str(tmp_path / "other"), "init").code == 1
    assert not (tmp_path / "other").exists()


def test_snapshots_are_chosen_by_prefix_latest_and_filters(
    run: Run, url: str, backup: Callable[..., str], tmp_path: Path
) -> None:
    one, two = backup("--host", "a", "--tag", "x,y"), backup("--host", "b")
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}

    def ids(*words: str) -> list[str]:
        return [found["id"] for found in json.loads(run("snapshots", "--json", *words, **env).out)]

    assert ids() == [one, two]
    assert ids(one[:9]) == [one]
    assert ids("latest", "--host", "a") == [one]
    assert ids("--tag", "x") == ids("--tag", "y,x") == ids("--tag", "nope", "--tag", "x") == [one]
    assert ids("--tag", "") == [two]
    assert ids("--path", str(tmp_path / "source")) == [one, two]
    assert ids("--path", "/elsewhere") == []
    assert "there is no snapshot 'zz'" in run("ls", "zz", **env).err
    assert "no snapshot that fits the filters" in run("ls", "latest", "--host", "c", **env).err
    done = run("ls", f"{one[:8]}:/nowhere", **env)
    assert (done.code, done.err) == (
        1,
        "holdfast repo ls: there is no '/nowhere' in the snapshot: look around with `ls`\n",
    )


def test_an_ambiguous_prefix_shows_the_candidates(run: Run, url: str) -> None:
    with Repository.open(open_store(url, {}), PASSWORD) as repo:
        names = {repo.put_json("snapshots", b'{"time":"2026-01-01T00:00:00Z","paths":["/%d"]}' % n) for n in range(40)}
    first = next(digit for digit in "0123456789abcdef" if sum(name[0] == digit for name in names) > 1)
    said = run("-r", url, "snapshots", first, RESTIC_PASSWORD=PASSWORD).err
    assert f"snapshots begin with '{first}'" in said
    assert "give more digits" in said


def test_a_backup_of_part_of_the_files_is_code_3_and_names_them(run: Run, url: str, tmp_path: Path) -> None:
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}
    (tmp_path / "source" / "gone").mkdir()
    done = run("backup", str(tmp_path / "source"), str(tmp_path / "source" / "file"), "-q", **env)
    assert (done.code, done.out[:9]) == (0, "snapshot ")
    done = run("backup", str(tmp_path / "missing"), **env)
    assert done.code == 1
    assert str(tmp_path / "missing") in done.err


def test_forget_by_name_removes_even_the_newest(run: Run, url: str, backup: Callable[..., str]) -> None:
    one = backup()
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}
    assert run("forget", one[:8], "--keep-last", "1", **env).code == 1
    assert f"would remove snapshot {one[:8]}" in run("forget", one[:8], "-n", **env).out
    assert f"removed snapshot {one[:8]}" in run("forget", one[:8], **env).out
    assert run("snapshots", "--json", **env).out == "[]\n"


def test_forget_without_rules_removes_nothing(run: Run, url: str, backup: Callable[..., str]) -> None:
    backup()
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}
    for words in ((), ("--keep-last", "0"), ("--host", "h")):
        done = run("forget", *words, **env)
        assert (done.code, "no rule was given, nothing was removed" in done.err) == (1, True)
    assert len(json.loads(run("snapshots", "--json", **env).out)) == 1


def test_a_held_lock_is_code_11_and_can_be_waited_for_or_passed_over(run: Run, url: str, backup: Callable[..., str]) -> None:
    one = backup()
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}
    with Repository.open(open_store(url, {}), PASSWORD) as repo, repo.lock(exclusive=True):
        assert run("ls", one, **env).code == 11
        assert run("ls", one, "--retry-lock", "1s", **env).code == 11
        assert run("ls", one, "--no-lock", **env).code == 0
        assert run("snapshots", **env).code == 0
        assert "removed 0 locks, left 1" in run("unlock", **env).out
        assert "removed 1 locks" in run("unlock", "--remove-all", **env).out


def test_names_can_not_play_tricks_on_a_terminal(run: Run, url: str, backup: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "source" / "a\x1b[2Jb\nc\u202e").write_text("")
    one = backup()
    said = run("-r", url, "ls", f"{one}:{tmp_path}/source", RESTIC_PASSWORD=PASSWORD).out
    assert "/a\\x1b[2Jb\\nc\\u202e\n" in said
    documents = run("-r", url, "ls", f"{one}:{tmp_path}/source", "--json", RESTIC_PASSWORD=PASSWORD).out
    assert json.loads(documents.split("\n")[1])["name"] == "a\x1b[2Jb\nc\u202e"


def test_cat_shows_objects_and_never_the_master_key(run: Run, url: str, backup: Callable[..., str]) -> None:
    one = backup()
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}

    def cat(*words: str) -> Any:
        return json.loads(run("cat", *words, **env).out)

    tree = cat("snapshot", "latest")["tree"]
    assert cat("snapshot", one[:8])["tree"] == tree
    assert cat("tree", one) == cat("tree", tree) == json.loads(run("cat", "blob", tree, **env).out)
    assert cat("config")["version"] == 2
    (key,) = json.loads(run("keys", "list", "--json", **env).out)
    assert cat("key", key["id"][:6])["kdf"] == "scrypt"
    assert run("cat", "masterkey", **env).code == 2
    for words in (("index",), ("config", "x"), ("blob", "xyz"), ("pack", "zz")):
        assert run("cat", *words, **env).code == 1


def test_dump_to_a_file_leaves_nothing_half_made(run: Run, url: str, backup: Callable[..., str], tmp_path: Path) -> None:
    one = backup()
    env = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": url}
    out = tmp_path / "out"
    out.mkdir()
    assert run("dump", one, f"{tmp_path}/source/file", "-t", str(out / "file"), **env).code == 0
    assert (out / "file").read_text() == "content"
    for pack in (Path(url) / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(bytes(pack.stat().st_size))
    assert run("dump", one, f"{tmp_path}/source/file", "-t", str(out / "file"), **env).code == 1
    assert (out / "file").read_text() == "content"
    assert os.listdir(out) == ["file"]


@pytest.mark.parametrize("words", [("backup", "/etc/hostname"), ("forget", "--keep-last", "1"), ("prune",), ("keys", "change")])
def test_what_changes_a_repository_works_under_a_lock(words: tuple[str, ...], run: Run, url: str) -> None:
    done = run("-r", url, "--no-lock", *words, RESTIC_PASSWORD=PASSWORD)
    assert (done.code, "--no-lock is for commands that only read" in done.err) == (1, True)


def test_a_limit_makes_a_backup_take_its_time(run: Run, url: str, tmp_path: Path) -> None:
    (tmp_path / "source" / "random").write_bytes(os.urandom(300 << 10))
    began = time.monotonic()
    done = run("-r", url, "backup", str(tmp_path / "source"), "--limit-upload", "200", RESTIC_PASSWORD=PASSWORD)
    assert done.code == 0
    assert time.monotonic() - began > 1.4
    assert run("-r", url, "snapshots", "--limit-download", "0", RESTIC_PASSWORD=PASSWORD).code == 2


def test_a_damaged_snapshot_is_named_and_the_newest_good_one_restored(
    run: Run, url: str, backup: Callable[..., str], tmp_path: Path
) -> None:
    good, bad = backup(), backup()
    (tmp_path / "r" / "snapshots" / bad).write_bytes(b"not what it was")
    done = run("-r", url, "restore", "latest", "--target", str(tmp_path / "t"), RESTIC_PASSWORD=PASSWORD)
    assert done.code == 3
    assert f"snapshot {bad[:8]} is passed over" in done.err
    assert f"of snapshot {good[:8]}" in done.out
    assert next((tmp_path / "t").rglob("file")).read_text() == "content"

    listed = run("-r", url, "snapshots", "--json", RESTIC_PASSWORD=PASSWORD)
    assert (listed.code, [found["id"] for found in json.loads(listed.out)]) == (3, [good])
    assert run("-r", url, "check", RESTIC_PASSWORD=PASSWORD).code == 1
    assert run("-r", url, "restore", good, "--target", str(tmp_path / "u"), RESTIC_PASSWORD=PASSWORD).code == 0


def test_forget_judges_the_others_and_gives_a_damaged_snapshot_up_by_its_id(
    run: Run, url: str, backup: Callable[..., str], tmp_path: Path
) -> None:
    old, bad, new = backup(), backup(), backup()
    (tmp_path / "r" / "snapshots" / bad).write_bytes(b"not what it was")
    done = run("-r", url, "forget", "--keep-last", "1", RESTIC_PASSWORD=PASSWORD)
    assert done.code == 3
    assert f"snapshot {bad[:8]} is passed over" in done.err
    assert sorted(path.name for path in (tmp_path / "r" / "snapshots").iterdir()) == sorted([bad, new])
    assert old not in done.err

    done = run("-r", url, "forget", bad[:8], RESTIC_PASSWORD=PASSWORD)
    assert (done.code, done.out) == (0, f"removed snapshot {bad[:8]}\n")
    assert run("-r", url, "check", RESTIC_PASSWORD=PASSWORD).code == 0
