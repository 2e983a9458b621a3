"""What the crash series works on: a small repository with a history, and what must hold in it whatever was killed.

Templates are built once and copied for every kill. `verify` is the judge: stock `check`, our own `check` with all data,
every snapshot that was there restored byte for byte, and nothing that an index held stored a second time.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore
from tests import tools
from tests.repo_trees import PASSWORD, differences
from tests.stock import Stock

ROOT = Path(__file__).resolve().parents[2]


class Template(msgspec.Struct):
    """A history: snapshot ids with the folder that holds what they must restore to, and a source that has gone on."""

    repository: Path
    source: Path
    snapshots: dict[str, Path]


def make_tree(root: Path, seed: int) -> None:
    """A few dozen files: many small, some of several chunks, some that compress, links and folders."""
    rng = random.Random(seed)
    for number in range(24):
        folder = root / f"folder {number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file {number}").write_bytes(rng.randbytes(rng.randrange(1, 30_000)))
    (root / "large").write_bytes(rng.randbytes(1_300_000))
    (root / "text").write_bytes(b"".join(b"%d the same words\n" % n for n in range(30_000 + seed)))
    os.symlink("large", root / "link")
    os.link(root / "text", root / "folder 0" / "text again")


def change_tree(root: Path, seed: int) -> None:
    """Some files change, some go, some come."""
    rng = random.Random(seed)
    for number in range(0, 24, 5):
        (root / f"folder {number % 4}" / f"file {number}").write_bytes(rng.randbytes(20_000))
    (root / "folder 1" / f"file {9 + 4 * (seed % 4)}").unlink()
    new = root / f"new {seed}"
    new.mkdir()
    for number in range(6):
        (new / f"{number}").write_bytes(rng.randbytes(60_000))


def make_template(folder: Path, seed: int) -> Template:
    """Two snapshots of a source, which then changes once more."""
    source, repository = folder / "source", folder / "repository"
    make_tree(source, seed)
    repo = Repository.init(LocalStore(repository), PASSWORD)
    kept: dict[str, Path] = {}
    for number in (1, 2):
        made = backup(repo, [str(source)], host="soak")
        kept[made.snapshot_id] = folder / f"snapshot {number}"
        shutil.copytree(source, kept[made.snapshot_id], symlinks=True, copy_function=shutil.copy2)
        _same_links(source, kept[made.snapshot_id])
        change_tree(source, seed + number)
    return Template(repository, source, kept)


def _same_links(source: Path, copied: Path) -> None:
    os.unlink(copied / "folder 0" / "text again")
    os.link(copied / "text", copied / "folder 0" / "text again")
    shutil.copystat(source / "folder 0", copied / "folder 0")


class Scene:
    """A copy of a template in a folder of its own, and the processes run on it."""

    def __init__(self, template: Template, folder: Path) -> None:
        self.template, self.folder = template, folder
        self.repository = folder / "repository"
        shutil.copytree(template.repository, self.repository)

    def job(self, operation: str, **words: str) -> dict[str, str]:
        """The document for a worker."""
        job = {"operation": operation, "repository": str(self.repository), "source": str(self.template.source)}
        return {**job, "snapshot": self.oldest, **words}

    @property
    def oldest(self) -> str:
        """The id of the first snapshot."""
        return next(iter(self.template.snapshots))

    def run(self, job: dict[str, str], *, before: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        """Run a worker, which may be killed, but must not fail in any other way."""
        command = [*before, sys.executable, "-m", "tests.soak.worker", json.dumps(job)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
        return done

    def verify(self, snapshots: dict[str, Path], *, stock: bool = True) -> None:
        """The repository is sound and every one of these snapshots restores to exactly what it was made of."""
        verify(self.repository, self.template, snapshots, self.folder, stock=stock)

    def newest(self) -> str:
        """The id of the last snapshot."""
        with Repository.open(LocalStore(self.repository), PASSWORD) as repo:
            return repo.snapshot("latest").id


def verify(repository: Path, template: Template, snapshots: dict[str, Path], scratch: Path, *, stock: bool = True) -> None:
    """Both programs find a repository sound, and these snapshots of the template's source restore byte for byte."""
    if stock:
        judge = Stock(str(repository), scratch / "cache", program=tools.newest_restic())
        judge("check", "--no-lock", "--no-cache")
    with Repository.open(LocalStore(repository), PASSWORD) as repo:
        found = check(repo, read_data=True)
        assert found.ok, found.problems
        for ident, expected in snapshots.items():
            out = scratch / "restored"
            restored = restore(repo, ident, str(out), subfolder=str(template.source))
            assert not restored.partial, restored.errors
            assert differences(expected, out) == []
            shutil.rmtree(out)


def indexed_blobs(repository: Path) -> Counter[str]:
    """How often each blob is named in the index objects."""
    with Repository.open(LocalStore(repository), PASSWORD) as repo:
        named: Counter[str] = Counter()
        for entry in repo.store.list("index"):
            document = json.loads(repo.load_json(f"index/{entry.name}"))
            named.update(blob["id"] for pack in document["packs"] for blob in pack["blobs"])
        return named
