"""A repository whose author holds the key and means harm.

Whatever it says, reading it neither writes outside of the target, nor takes more than half a gigabyte, nor hangs; and it ends
in an error that names what was wrong, or in a restore of what can honestly be restored.
"""

import functools
import json
import os
import select
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from holdfast.repo.errors import Damaged
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore
from tests.repo_hostile import Forger, digest, folder, link, node
from tests.repo_trees import PASSWORD
from tests.soak.scale import KILLS
from tests.tools import ROOT

PEAK_MIB = 512
SECONDS = 60


class Told(msgspec.Struct):
    """How one operation ended."""

    outcome: str
    message: str
    seconds: float


class Reader:
    """The process that reads hostile repositories: see `repo_victim`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.repo_victim"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, *job: object) -> dict[str, Any]:
        """Give a job, wait for its answer. A job that hangs ends with the reader, and fails the test."""
        given, answers = self._process.stdin, self._process.stdout
        assert given is not None
        assert answers is not None
        given.write(json.dumps(job) + "\n")
        given.flush()
        ready, _, _ = select.select([answers], [], [], SECONDS)
        assert ready, f"no answer for {SECONDS} seconds"
        return json.loads(answers.readline())

    def close(self) -> None:
        """End the process and what it forked."""
        subprocess.run(["pkill", "-KILL", "-P", str(self._process.pid)], check=False)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def readers() -> Iterator[list[Reader]]:
    """The reader, made when it is needed; one that hung is not used again."""
    made: list[Reader] = []
    yield made
    for reader in made:
        reader.close()


class Victim:
    """A hostile repository, a target, and files beside the target that nobody may touch."""

    def __init__(self, root: Path, readers: list[Reader]) -> None:
        self.forger = Forger(root / "repository")
        self.area = root / "area"
        self.target = self.area / "target"
        self._readers = readers
        self.area.mkdir()
        (self.area / "precious").write_text("untouched")
        (self.area / "folder").mkdir()
        (self.area / "folder" / "precious").write_text("untouched")

    def reads(self, *operations: str) -> dict[str, Told]:
        """Run the operations in a limited process; asserts the limits and that nothing outside of the target changed."""
        before = self._outside()
        reader = self._readers.pop() if self._readers else Reader()
        try:
            told = reader.read(str(self.forger.folder), str(self.target), operations)
        except BaseException:
            reader.close()
            raise
        self._readers.append(reader)
        assert "crash" not in told, told["crash"]
        assert self._outside() == before
        assert told["peak"] <= PEAK_MIB, told
        return msgspec.convert(told["operations"], dict[str, Told])

    def _outside(self) -> dict[str, tuple[int, int, str]]:
        found: dict[str, tuple[int, int, str]] = {}
        for path in (self.area, self.area / "precious", self.area / "folder", self.area / "folder" / "precious"):
            info = path.lstat()
            found[str(path)] = info.st_mode, info.st_ctime_ns, path.read_text() if path.is_file() else ""
        found.pop(str(self.area))
        names = sorted(path.name for path in self.area.iterdir() if path != self.target)
        return {**found, "names": (0, 0, f"{names} {[path.name for path in (self.area / 'folder').iterdir()]}")}


@pytest.fixture
def victim(tmp_path: Path, readers: list[Reader]) -> Iterator[Victim]:
    made = Victim(tmp_path, readers)
    yield made
    subprocess.run(["rm", "-rf", str(made.area)], check=True)  # pytest itself would recurse too deep


BAD_NAMES = [
    "..",
    ".",
    "",
    "../precious",
    "folder/precious",
    "/etc/holdfast-was-here",
    "a\u0000b",
    "\\x00",
    "a\\x2fb",
    "..\\x2fprecious",
]


@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
def test_names_that_leave_the_target_are_refused_and_the_rest_restored(victim: Victim, kind: str) -> None:
    forger = victim.forger
    below = forger.tree(forger.file("precious", b"overwritten"))
    evil: dict[str, Callable[[str], dict[str, Any]]] = {
        "file": lambda name: forger.file(name, b"overwritten"),
        "dir": lambda name: folder(name, below),
        "symlink": lambda name: link(name, "x"),
    }
    forger.give(*map(evil[kind], BAD_NAMES), forger.file("fine"))

    end = victim.reads("restore")["restore"]
    assert end.outcome == "partial"
    assert len(end.message.splitlines()) == len(BAD_NAMES)
    assert [path.name for path in victim.target.iterdir()] == ["fine"]


def test_nothing_is_written_through_a_link_of_the_same_snapshot(victim: Victim) -> None:
    """A link to a folder outside, followed by a folder of the same name with a file in it, and the other way round."""
    forger = victim.forger
    inner = forger.tree(forger.file("precious", b"overwritten"))
    outside = str(victim.area / "folder")
    forger.give(link("a", outside), folder("a", inner), folder("b", inner), link("b", outside))

    victim.reads("restore")


def test_nothing_is_written_through_a_file_link(victim: Victim) -> None:
    forger = victim.forger
    forger.give(link("a", str(victim.area / "precious")), forger.file("a", b"overwritten"))

    victim.reads("restore")


def test_hard_links_reach_nothing_outside(victim: Victim) -> None:
    """Files that claim to be one with a link to the outside, or with each other across kinds."""
    forger = victim.forger
    one: dict[str, Any] = {"links": 3, "inode": 7, "device_id": 1}
    forger.give(
        link("a", str(victim.area / "precious"), **one),
        forger.file("b", b"overwritten", **one),
        forger.file("a", b"overwritten again", **one),
        node("c", "file", size=0, content=[], **one),
    )

    victim.reads("restore")


def test_names_that_occur_twice_end_in_an_honest_result(victim: Victim) -> None:
    forger = victim.forger
    below = forger.tree(forger.file("inner"))
    forger.give(forger.file("same", b"one"), forger.file("same", b"two"), folder("same", below))

    victim.reads()
    assert victim.target.is_dir()


def test_a_chain_of_thousands_of_folders(victim: Victim) -> None:
    forger = victim.forger
    tree = forger.tree(forger.file("leaf"))
    for _ in range(10_000 if KILLS else 3_000):
        tree = forger.tree(folder("d", tree))
    forger.pack()
    forger.snapshot(tree)

    told = victim.reads("check", "copy", "restore")
    assert told["check"].outcome == "ok"
    assert told["copy"].outcome == "ok"
    assert told["restore"].outcome in ("ok", "partial")


def test_a_tree_that_unfolds_to_more_folders_than_there_are_atoms(victim: Victim) -> None:
    """Fifty levels of a hundred folders that are all the same tree: check and copy visit each tree once."""
    forger = victim.forger
    tree = forger.tree(forger.file("leaf"))
    for _ in range(50):
        tree = forger.tree(*(folder(f"d{number}", tree) for number in range(100)))
    forger.pack()
    forger.snapshot(tree)

    told = victim.reads("check", "read-data", "copy", "ls", "restore")
    end = told.pop("restore")
    assert {end.outcome for end in told.values()} == {"ok"}
    assert end.outcome == "TargetFull"
    assert "unfolds to 10^100 entries" in end.message
    assert end.seconds < 20


def test_very_many_nodes_in_one_tree(victim: Victim) -> None:
    forger = victim.forger
    nodes = b",".join(b'{"name":"%d","type":"unknown"}' % number for number in range(1_000_000 if KILLS else 200_000))
    tree = forger.blob("tree", b'{"nodes":[' + nodes + b"]}\n")
    forger.pack()
    forger.snapshot(tree)

    victim.reads("ls", "check", "copy")


STRANGE_NODES: dict[str, dict[str, Any]] = {
    "a size of 8 EiB": {"size": 1 << 62},
    "a negative size": {"size": -1},
    "a size beyond 64 bits": {"size": 1 << 80},
    "a size that is a fraction": {"size": 1.5},
    "an unknown type": {"type": "portal"},
    "a number for a name": {"name": 5},
    "no name": {"name": None},
    "a mode beyond 64 bits": {"mode": 1 << 70},
    "a negative owner": {"uid": -5, "gid": -7},
    "an owner beyond 32 bits": {"uid": 1 << 40},
    "a time that is none": {"mtime": "yesterday"},
    "a time of the year 99999": {"mtime": "99999-01-01T00:00:00Z"},
    "content that is no id": {"content": ["zz"]},
    "content of half an id": {"content": ["ab" * 16]},
    "content that is not there": {"content": ["ab" * 32], "size": 5},
    "content of very many blobs": {"content": ["ab" * 32] * 300_000, "size": 5},
    "attributes with a zero in the name": {"extended_attributes": [{"name": "user.a\u0000b", "value": "AA=="}]},
    "attributes without a name": {"extended_attributes": [{"name": "", "value": "AA=="}]},
    "attributes that are no base64": {"extended_attributes": [{"name": "user.a", "value": "%%%"}]},
    "a device beyond 64 bits": {"type": "chardev", "mode": 1 << 26, "device": 1 << 70},
    "a link to a zero byte": {"type": "symlink", "mode": 1 << 27, "linktarget": "a\u0000b"},
    "a link to nothing": {"type": "symlink", "mode": 1 << 27, "linktarget": ""},
    "a link of a megabyte": {"type": "symlink", "mode": 1 << 27, "linktarget": "x" * (1 << 20)},
    "a folder without a tree": {"type": "dir", "mode": 1 << 31},
    "a folder whose tree is no id": {"type": "dir", "mode": 1 << 31, "subtree": "../../etc"},
    "a folder whose tree is not there": {"type": "dir", "mode": 1 << 31, "subtree": "ab" * 32},
}


@pytest.mark.parametrize("fields", STRANGE_NODES.values(), ids=STRANGE_NODES)
def test_a_strange_node_is_a_fault_of_its_own(victim: Victim, fields: dict[str, Any]) -> None:
    forger = victim.forger
    forger.give({**node("strange", "file", size=0, content=[]), **fields}, forger.file("fine"))

    told = victim.reads("restore", "check", "ls")
    assert told["restore"].outcome != "ok" or fields.get("type") == "portal" or "mode" in fields
    if (victim.target / "strange").is_file():
        assert (victim.target / "strange").stat().st_size == 0


STRANGE_JSON = {
    "no JSON": b"tree",
    "nothing": b"",
    "a number too large": b'{"nodes":[{"name":"a","type":"file","size":1e999}]}',
    "not a number": b'{"nodes":[{"name":"a","type":"file","size":NaN}]}',
    "no text": b'{"nodes":[{"name":"\xff\xfe","type":"file"}]}',
    "half a surrogate": b'{"nodes":[{"name":"\\ud800","type":"file"}]}',
    "a hundred thousand brackets": b'{"nodes":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nodes that are no list": b'{"nodes":{"a":1}}',
    "sixty megabytes of zeros": bytes(60 << 20),
}


@pytest.mark.parametrize("blob", STRANGE_JSON.values(), ids=STRANGE_JSON)
def test_a_tree_that_is_no_tree_is_named(victim: Victim, blob: bytes) -> None:
    forger = victim.forger
    tree = forger.blob("tree", blob)
    forger.pack()
    forger.snapshot(tree)

    told = victim.reads()
    for operation in ("ls", "check", "copy", "restore"):
        assert told[operation].outcome != "ok" or blob.startswith(b'{"nodes":[],'), operation


@pytest.mark.parametrize("kind", ["snapshots", "index"])
@pytest.mark.parametrize("document", [b"\xff", b"[" * 1_000_000, b'{"packs":5,"time":"x"}', b'"' + b"a" * (50 << 20) + b'"'])
def test_an_index_or_snapshot_that_is_none_is_named(victim: Victim, kind: Any, document: bytes) -> None:
    victim.forger.give(victim.forger.file("fine"))
    ident = victim.forger.repo.put_json(kind, document)

    told = victim.reads()
    assert told["check"].outcome != "ok"
    assert ident[:8] in told["check"].message


INDEX_LIES: dict[str, dict[str, Any]] = {
    "beyond the pack": {"offset": 1 << 30},
    "at a negative offset": {"offset": -1},
    "at an offset beyond 64 bits": {"offset": 1 << 70},
    "at an offset beyond 32 bits": {"offset": 1 << 33},
    "of no length": {"length": 0},
    "shorter than a seal": {"length": 20},
    "of four gigabytes": {"length": (1 << 32) - 1},
    "of a negative length": {"length": -5},
    "that unpacks to two gigabytes": {"uncompressed_length": (1 << 31) - 1},
    "that unpacks to 2^60 bytes": {"uncompressed_length": 1 << 60},
    "of an unknown type": {"type": "portal"},
    "whose id is no id": {"id": "../../../etc/passwd"},
    "whose id is too short": {"id": "abcd"},
}


@pytest.mark.parametrize("lies", INDEX_LIES.values(), ids=INDEX_LIES)
def test_an_index_that_lies_about_blobs_ends_in_an_error(victim: Victim, lies: dict[str, Any]) -> None:
    forger = victim.forger
    tree = forger.tree(forger.file("file", b"x" * 5000))
    forger.pack(**lies)
    forger.snapshot(tree)

    told = victim.reads()
    for operation in ("check", "read-data", "copy", "restore"):
        assert told[operation].outcome != "ok", operation
        assert told[operation].message


@pytest.mark.parametrize("name", ["../../area/precious", "zz", "", "/etc/passwd", "ab" * 31])
def test_an_index_that_names_a_pack_elsewhere_is_refused(victim: Victim, name: str) -> None:
    forger = victim.forger
    forger.give(forger.file("fine"))
    forger.index({"packs": [{"id": name, "blobs": []}]})

    told = victim.reads()
    assert told["check"].outcome != "ok"


def test_overlapping_entries_give_each_blob_only_if_it_is_there(victim: Victim) -> None:
    forger = victim.forger
    tree = forger.tree(forger.file("one", b"1" * 5000), forger.file("two", b"2" * 5000))
    forger.pack(offset=0)
    forger.snapshot(tree)

    told = victim.reads()
    assert {end.outcome for operation, end in told.items() if operation != "check"}.isdisjoint({"ok"})


@pytest.mark.parametrize("length", [0, 1, 31, 1 << 20, (1 << 32) - 1])
def test_a_header_that_lies_about_its_length_is_found(victim: Victim, length: int) -> None:
    forger = victim.forger
    plain = b"content"
    sealed = forger.repo.key.seal(plain)
    header = forger.repo.key.seal(struct.pack("<BI32s", 0, len(sealed), digest(plain)))
    entry = {"id": digest(plain).hex(), "type": "data", "offset": 0, "length": len(sealed)}
    name = forger.raw_pack(sealed, header, [entry], header_length=length)

    told = victim.reads("read-data")
    assert told["read-data"].outcome == "partial"
    assert name[:8] in told["read-data"].message


@functools.cache
def pack_bomb(byte: bytes, *, sized: bool) -> bytes:
    """A frame of a gigabyte of one byte, which says so or not."""
    packer = zstandard.ZstdCompressor(level=3).compressobj(size=1 << 30 if sized else -1)
    block = byte * (1 << 24)
    return b"".join([*(packer.compress(block) for _ in range(64)), packer.flush()])


@pytest.mark.parametrize("claim", [1 << 30, 100, 0], ids=["honest", "small", "uncompressed"])
@pytest.mark.parametrize("sized", [True, False])
def test_a_bomb_of_a_gigabyte_is_not_unpacked(victim: Victim, claim: int, sized: bool) -> None:
    """Thirty kilobytes that unpack to a gigabyte, with and without the frame saying so."""
    bomb = pack_bomb(b"\0", sized=sized)
    assert len(bomb) < 200_000
    forger = victim.forger
    ident = forger.blob("data", b"bomb", raw_length=claim, sealed=forger.repo.key.seal(bomb))
    tree = forger.tree(node("bomb", "file", size=claim or len(bomb), content=[ident]), forger.file("fine"))
    forger.pack()
    forger.snapshot(tree)

    told = victim.reads("read-data", "copy", "restore")
    assert {end.outcome for end in told.values()}.isdisjoint({"ok"})
    assert (victim.target / "fine").read_bytes() == b"harmless"


@pytest.mark.parametrize("kind", ["snapshots", "index"])
def test_a_bomb_in_a_document_is_not_unpacked(victim: Victim, kind: Any) -> None:
    forger = victim.forger
    forger.give(forger.file("fine"))
    sealed = forger.repo.key.seal(b"\x02" + pack_bomb(b" ", sized=True))
    forger.repo.store.put(f"{kind}/{digest(sealed).hex()}", sealed)

    told = victim.reads("check")
    assert digest(sealed).hex()[:8] in told["check"].message


def _forged_key(**fields: Any) -> Callable[[Path], None]:
    def forge(repository: Path) -> None:
        (path,) = (repository / "keys").iterdir()
        content = json.dumps({**json.loads(path.read_bytes()), **fields}).encode()
        path.unlink()
        (repository / "keys" / digest(content).hex()).write_bytes(content)

    return forge


KEY_LIES = {
    "100 GiB of memory": _forged_key(N=1 << 27, r=8, p=1),
    "memory beyond counting": _forged_key(N=1 << 62, r=1 << 30, p=1 << 30),
    "hours of work": _forged_key(N=1 << 14, r=8, p=1 << 19),
    "no work": _forged_key(N=0, r=0, p=0),
    "negative work": _forged_key(N=-1, r=-8, p=-1),
    "numbers beyond 64 bits": _forged_key(N=1 << 80, r=8, p=1),
    "an odd N": _forged_key(N=1000),
    "another derivation": _forged_key(kdf="md5"),
    "a salt that is no base64": _forged_key(salt="%%%%\u00e9"),
    "a long salt": _forged_key(salt="A" * 40_000_000),
    "no data": _forged_key(data=""),
}


@pytest.mark.parametrize("forge", KEY_LIES.values(), ids=KEY_LIES)
def test_a_key_file_that_asks_for_too_much_is_refused(victim: Victim, forge: Callable[[Path], None]) -> None:
    forge(victim.forger.folder)

    told = victim.reads("ls")
    assert told["ls"].outcome in ("Damaged", "WrongPassword")
    assert told["ls"].seconds < 20


def test_a_key_file_of_a_gigabyte_is_not_read(victim: Victim) -> None:
    (path,) = (victim.forger.folder / "keys").iterdir()
    os.chmod(path, 0o600)
    os.truncate(path, 2 << 30)

    assert victim.reads("ls")["ls"].outcome == "Damaged"


def test_a_password_never_shows_in_an_error(victim: Victim) -> None:
    KEY_LIES["100 GiB of memory"](victim.forger.folder)
    with pytest.raises(Damaged) as caught:
        Repository.open(LocalStore(victim.forger.folder), PASSWORD)
    assert PASSWORD not in str(caught.value)
