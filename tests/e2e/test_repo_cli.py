"""`holdfast repo` as its users run it, with stock restic as the judge of what it says."""

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import tools
from tests.movers_builders import s3_server
from tests.repo_program import Program, init_cheap, ours, stock
from tests.repo_trees import PASSWORD, build_corpus, differences


class Both(msgspec.Struct, frozen=True):
    """A repository with two snapshots by each program, and both programs on it."""

    ours: Program
    stock: Program
    source: Path
    first: str
    second: str


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3") / "root"
    (folder / "bucket").mkdir(parents=True)
    with s3_server(folder) as endpoint:
        yield endpoint


def make_both(url: str, home: Path, *, large: bool) -> Both:
    source = home / "tree"
    build_corpus(source, large=large)
    program, judge = ours(url, home), stock(url, home)
    init_cheap(url)
    first = program.documents("backup", str(source), "--tag", "one", "--host", "web-0")[-1]["snapshot_id"]
    change(source)
    judge("backup", str(source), "--host", "web-0", "--tag", "two")
    second = next(found["id"] for found in judge.json("snapshots") if found["id"] != first)
    return Both(program, judge, source, first, second)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    home = tmp_path_factory.mktemp("both")
    return make_both(str(home / "repository"), home, large=True)


@pytest.fixture(scope="module")
def both_in_s3(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Both:
    home = tmp_path_factory.mktemp("both")
    return make_both(f"s3:{endpoint}/bucket/{home.name}", home, large=False)


@pytest.fixture(params=["both", "both_in_s3"])
def anywhere(request: pytest.FixtureRequest) -> Both:
    """What reads all that there is, is held against each kind of store; listings are the same for all."""
    return request.getfixturevalue(request.param)


def change(source: Path) -> None:
    """Add, remove, modify and replace a few things."""
    (source / "added").mkdir()
    (source / "added" / "file").write_text("new")
    (source / "sub" / "hard 3").unlink()
    (source / "with space").write_text("other content")
    (source / "-rf").chmod(0o600)
    (source / "link").unlink()
    (source / "link").write_text("was a link")


def nodes(documents: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What a listing says of each entry, in both programs' spelling."""
    kept = ("type", "size", "uid", "gid", "mode", "mtime", "inode")
    return [(plain(found["path"]), *(found.get(name) for name in kept)) for found in documents if "inode" in found]


def plain(path: str) -> str:
    """A path, or nothing for one with bytes that JSON can't hold: each program replaces those in its own way."""
    return path if "\\x" not in path and "\ufffd" not in path else ""


def test_ls_lists_the_same_entries(both: Both) -> None:
    for snapshot in (both.first, both.second, f"{both.first}:{both.source}"):
        assert nodes(both.ours.documents("ls", snapshot)) == nodes(both.stock.documents("ls", snapshot))
    folder = str(both.source / "sub")
    for words in ([folder], [str(both.source)], [folder, "--recursive"], ["/"]):
        assert nodes(both.ours.documents("ls", both.first, *words)) == nodes(both.stock.documents("ls", both.first, *words))


def test_find_finds_the_same(both: Both) -> None:
    for words in (["leaf"], ["level2*"], ["-i", "PLAIN.TXT", "hard ?"], [str(both.source / "sub")], ["nothing"]):
        theirs = {found["snapshot"]: found["hits"] for found in both.stock.json("find", *words)}
        found = {found["snapshot"]: found["hits"] for found in both.ours.json("find", *words)}
        assert found == theirs, words


def test_diff_says_the_same_changes_and_counts(both: Both) -> None:
    words = ("diff", both.first, both.second, "--metadata")
    mine, theirs = both.ours.documents(*words), both.stock.documents(*words)
    found, wanted = ([(c["path"], c["modifier"]) for c in said[:-1]] for said in (mine, theirs))
    # The stock program also calls a folder updated of which only the content changed.
    only_theirs = [change for change in wanted if change not in found]
    assert all(path.endswith("/") and letters == "U" for path, letters in only_theirs)
    assert found == [change for change in wanted if change not in only_theirs]
    assert {letters for _, letters in found} >= {"+", "-", "M", "U", "TU"}
    assert mine[-1] == theirs[-1]


def test_stats_count_the_same(both: Both) -> None:
    for words in ([], [both.first], ["--tag", "two"]):
        mine, theirs = both.ours.json("stats", *words), both.stock.json("stats", *words)
        assert mine == {key: theirs[key] for key in mine}
        mine = both.ours.json("stats", "--mode", "raw-data", *words)
        theirs = both.stock.json("stats", "--mode", "raw-data", *words)
        assert (mine["total_size"], mine["total_blob_count"]) == (theirs["total_size"], theirs["total_blob_count"])
        by_contents = ("--mode", "files-by-contents", *words)
        assert both.ours.json("stats", *by_contents)["total_size"] == both.stock.json("stats", *by_contents)["total_size"]


def test_snapshots_are_listed_with_the_same_facts(both: Both) -> None:
    assert both.ours.json("snapshots") == both.stock.json("snapshots")
    assert [found["id"] for found in both.ours.json("snapshots", "--tag", "two")] == [both.second]
    assert [found["id"] for found in both.ours.json("snapshots", both.first[:10])] == [both.first]
    assert both.ours.json("snapshots", "--host", "elsewhere") == []
    assert both.first[:8] in both.ours("snapshots")


def test_dump_gives_the_bytes_of_a_file(anywhere: Both) -> None:
    for name in ("plain.txt", "sparse", "empty file", "back\\slash"):
        dumped = anywhere.ours.bytes("dump", anywhere.first, str(anywhere.source / name))
        assert dumped == anywhere.stock.bytes("dump", anywhere.first, str(anywhere.source / name)), name


def members(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """The entries of a tar archive. A hard link counts as the file that it is."""
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape") as tar:
        for info in tar:
            content = tar.extractfile(info) if info.isfile() or info.islnk() else None
            digest = hashlib.sha256(content.read()).hexdigest() if content else info.linkname
            kind = tarfile.REGTYPE if info.islnk() else info.type
            xattrs = {key: value for key, value in info.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            found[info.name.rstrip("/")] = (kind, info.mode, info.uid, info.gid, round(info.mtime), digest, xattrs)
    return found


def test_dump_makes_the_same_tar(both: Both) -> None:
    for snapshot, path in ((both.first, str(both.source)), (f"{both.first}:{both.source}", "/"), (both.second, "/")):
        mine, theirs = members(both.ours.bytes("dump", snapshot, path)), members(both.stock.bytes("dump", snapshot, path))
        special = {name for name, (kind, *_) in mine.items() if kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE)}
        assert {name.rpartition("/")[2] for name in special} == {"fifo", "null"}
        # The stock program writes these as empty files, or not at all.
        theirs = {name: entry for name, entry in theirs.items() if name not in special}
        assert {name: entry for name, entry in mine.items() if name not in special} == theirs


def names_below(root: Path) -> list[bytes]:
    return sorted(os.fsencode(path.relative_to(root)) for path in root.rglob("*"))


def test_a_tar_extracts_to_what_was_backed_up(both: Both, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    both.ours("restore", f"{both.first}:{both.source}", "--target", str(tmp_path / "restored"))
    archive = both.ours.bytes("dump", f"{both.first}:{both.source}", "/")
    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape") as tar:
        tar.extractall(out, filter="fully_trusted")
    found, wanted = (
        sorted(os.fsencode(path.relative_to(root)) for path in root.rglob("*")) for root in (out, tmp_path / "restored")
    )
    assert found == wanted
    assert os.stat(out / "hard 1").st_ino == os.stat(out / "sub" / "hard 3").st_ino


def test_dump_makes_a_zip_with_the_same_content(both: Both, tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    both.ours("dump", "-a", "zip", "-t", str(target), both.first, str(both.source / "sub"))
    theirs = zipfile.ZipFile(io.BytesIO(both.stock.bytes("dump", "-a", "zip", both.first, str(both.source / "sub"))))
    mine = zipfile.ZipFile(target)
    assert mine.testzip() is None
    assert {name: mine.read(name) for name in mine.namelist()} == {name: theirs.read(name) for name in theirs.namelist()}
    assert os.listdir(tmp_path) == ["out.zip"]


def test_restore_brings_everything_back(anywhere: Both, tmp_path: Path) -> None:
    anywhere.ours("restore", f"latest:{anywhere.source}", "--target", str(tmp_path / "out"), "--tag", "two")
    assert differences(anywhere.source, tmp_path / "out") == []


def test_both_programs_find_the_repository_whole(anywhere: Both) -> None:
    found = anywhere.ours.json("check", "--read-data")
    assert (found["num_errors"], found["snapshots"]) == (0, 2)
    anywhere.stock("check", "--read-data")


def test_no_command_leaves_a_lock(anywhere: Both) -> None:
    assert anywhere.stock("list", "locks") == ""


def test_keys_of_one_program_open_with_the_other(tmp_path: Path) -> None:
    program, judge = ours(str(tmp_path / "r"), tmp_path), stock(str(tmp_path / "r"), tmp_path)
    init_cheap(str(tmp_path / "r"))
    for name in ("second", "third", "fourth"):
        (tmp_path / name).write_text(f"{name}\n")

    added = program.json("keys", "add", "--new-password-file", str(tmp_path / "second"), "--host", "box", "--user", "me")["id"]
    judge("snapshots", RESTIC_PASSWORD="second")
    listed = {key["id"]: key for key in judge.json("key", "list")}
    assert (listed[added]["hostName"], listed[added]["userName"]) == ("box", "me")
    mine = {key["id"]: key["current"] for key in program.json("keys", "list")}
    assert mine == {ident: key["current"] for ident, key in listed.items()}

    judge("key", "add", "--new-password-file", str(tmp_path / "third"))
    program("snapshots", RESTIC_PASSWORD="third")
    program("keys", "change", RESTIC_PASSWORD="third", HOLDFAST_NEW_PASSWORD_FILE=str(tmp_path / "fourth"))
    judge("snapshots", RESTIC_PASSWORD="fourth")
    assert "the one in use" in program.fails(1, "keys", "remove", added[:10], RESTIC_PASSWORD="second")
    program("keys", "remove", added[:10], RESTIC_PASSWORD=PASSWORD)
    judge.fails(12, "snapshots", RESTIC_PASSWORD="second")
    judge.fails(12, "snapshots", RESTIC_PASSWORD="third")
    assert len(program.json("keys", "list")) == 2
    assert judge("list", "locks") == ""


EXCLUDING = (
    ("--exclude", "*.txt", "--exclude", "/**/sub/*"),
    ("--iexclude", "PLAIN*", "--exclude-larger-than", "1M"),
    ("--exclude-if-present", "marker:yes", "--exclude-caches"),
    ("--exclude-file", "patterns"),
)


@pytest.mark.parametrize("words", EXCLUDING, ids=lambda words: words[0])
def test_both_programs_leave_out_the_same(words: tuple[str, ...], tmp_path: Path) -> None:
    source = tmp_path / "tree"
    build_corpus(source, large=False)
    (source / "sub" / "marker").write_text("yes, leave this out")
    (source / "level0" / "marker").write_text("no")
    (source / "empty folder" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (source / "empty folder" / "cached").write_text("x")
    (tmp_path / "patterns").write_text("# what nobody needs\n\nlevel1*\n*.txt\n")
    words = tuple(str(tmp_path / word) if word == "patterns" else word for word in words)
    init_cheap(str(tmp_path / "r"))
    program, judge = ours(str(tmp_path / "r"), tmp_path), stock(str(tmp_path / "r"), tmp_path)
    theirs = judge.documents("backup", str(source), *words)[-1]["snapshot_id"]
    dry = program.documents("backup", str(source), *words, "--dry-run")[-1]
    assert (dry["snapshot_id"], dry["files_new"], dry["files_changed"], dry["dry_run"]) == ("", 0, 0, True)
    mine = program.documents("backup", str(source), *words)[-1]
    assert (mine["files_new"], mine["files_changed"]) == (0, 0)
    found = nodes(program.documents("ls", f"{mine['snapshot_id']}:{source}"))
    assert found == nodes(program.documents("ls", f"{theirs}:{source}"))
    assert 5 < len(found) < 90


def test_a_stream_and_a_command_become_one_file(tmp_path: Path) -> None:
    init_cheap(str(tmp_path / "r"))
    program, judge = ours(str(tmp_path / "r"), tmp_path), stock(str(tmp_path / "r"), tmp_path)
    content = os.urandom(3 << 20)
    assert program.run("backup", "--stdin", "--stdin-filename", "db/dump.sql", stdin=content).returncode == 0
    assert judge.bytes("dump", "latest", "/db/dump.sql") == content

    program("backup", "--stdin-filename", "env", "--stdin-from-command", "--", "env")
    assert "RESTIC_PASSWORD" not in judge("dump", "latest", "/env")
    before = judge.json("snapshots")
    said = program.fails(1, "backup", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 3")
    assert "'sh' ended with status 3" in said
    assert judge.json("snapshots") == before


def test_a_copy_is_complete_for_the_stock_program_and_done_once(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(os.urandom(2 << 20))
    init_cheap(str(tmp_path / "from"))
    source = ours(str(tmp_path / "from"), tmp_path)
    source("backup", str(tmp_path / "source"), "--tag", "kept")
    source("backup", str(tmp_path / "source"))
    init_cheap(str(tmp_path / "to"))
    target, judge = ours(str(tmp_path / "to"), tmp_path), stock(str(tmp_path / "to"), tmp_path)
    given = ("copy", "--from-repo", str(tmp_path / "from"))
    secret = {"RESTIC_FROM_PASSWORD": PASSWORD}

    assert target.documents(*given, "--dry-run", **secret)[-1]["copied"] == 2
    assert target.documents(*given, "--tag", "kept", **secret)[-1]["copied"] == 1
    last = target.documents(*given, **secret)[-1]
    assert (last["copied"], last["skipped"], last["failed"]) == (1, 1, 0)
    judge("check", "--read-data")
    assert [found["original"] for found in judge.json("snapshots")] == [found["id"] for found in source.json("snapshots")]
    assert "which" not in target.fails(1, *given)


def test_prune_after_forget_gives_space_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(3 << 20))
    init_cheap(str(tmp_path / "r"))
    program = ours(str(tmp_path / "r"), tmp_path)
    program.env["PATH"] = f"{Path(tools.restic()).parent}:{program.env['PATH']}"
    program("backup", str(source))
    (source / "file").write_text("small")
    program("backup", str(source))
    program("forget", "--keep-last", "1")
    dry = program.json("prune", "--dry-run")
    assert (dry["dry_run"], dry["bytes_after"], dry["removed_bytes"] > 3 << 20) == (True, dry["bytes_before"], True)
    done = program.json("prune")
    assert done["verified"]
    assert done["bytes_before"] - done["bytes_after"] > 3 << 20
    assert program.fails(1, "prune", PATH=os.path.dirname(program.command[0])).startswith("holdfast repo prune: restic is not")


def test_damage_is_named_with_the_snapshots_it_hurts_by_every_way_to_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1 << 20))
    init_cheap(str(tmp_path / "r"))
    program = ours(str(tmp_path / "r"), tmp_path)
    made = program.documents("backup", str(tmp_path / "file"))[-1]["snapshot_id"]
    pack = max((path for path in (tmp_path / "r" / "data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")

    assert program.run("check", "--no-lock").returncode == 0
    for words in (("--read-data",), ("--read-data-subset", "100%"), ("--read-data-subset", "1/1")):
        done = program.run("check", "--json", *words)
        found = json.loads(done.stdout)
        assert (done.returncode, found["hurt_snapshots"]) == (1, [made]), words
        assert pack.name[:12] in found["problems"][0]
    assert "does not say what to read" in program.fails(1, "check", "--read-data-subset", "8/7")
