"""A disk that lies: a library in front of libc's changes one byte of one file on its way to the kernel, and says nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD

from holdfast.repo.backup import backup
from holdfast.repo.repository import Repository

LIAR = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t lie(const char *which, int handle, const void *data, size_t size, off_t offset)
{
    ssize_t (*really)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, which);
    const char *victim = getenv("LIAR_FILE");
    off_t wrong = atoll(getenv("LIAR_OFFSET"));
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || strcmp(path, victim) != 0 || wrong < offset || wrong >= offset + (off_t)size)
        return really(handle, data, size, offset);
    char *copy = malloc(size);
    memcpy(copy, data, size);
    copy[wrong - offset] ^= 1;
    ssize_t done = really(handle, copy, size, offset);
    free(copy);
    return done;
}

#define INSTEAD_OF(name) \
    ssize_t name(int handle, const void *data, size_t size, off_t offset) { return lie(#name, handle, data, size, offset); }
INSTEAD_OF(pwrite)
INSTEAD_OF(pwrite64)
"""

RESTORE = """
import json, os, sys
from pathlib import Path
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore
where, target, source, verify = sys.argv[1:]
repo = Repository.open(LocalStore(Path(where)), os.environ["RESTIC_PASSWORD"])
done = restore(repo, "latest", target, subfolder=source, verify=verify == "yes")
print(json.dumps({"errors": [[error.path, error.message] for error in done.errors], "verified": done.verified_files}))
"""


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("liar")
    (folder / "liar.c").write_text(LIAR)
    library = folder / "liar.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "liar.c", "-ldl"], check=True)
    return library


@pytest.mark.parametrize("path", ["native", "pure"])
@pytest.mark.parametrize(("name", "offset"), [("file3", 7), ("large", 2_000_000)])
def test_one_wrong_byte_on_the_disk_is_found(
    liar: Path, repo: Repository, source: Path, tmp_path: Path, path: str, name: str, offset: int
) -> None:
    (source / "large").write_bytes(os.urandom(3_000_000))
    backup(repo, [str(source)])
    target = tmp_path / "target"
    told = restore_with(liar, tmp_path, source, target, target / name, offset, pure=path == "pure")

    assert [error[0] for error in told["errors"]] == [str(target / name)]
    assert "verification failed" in told["errors"][0][1]
    assert told["verified"] == 10


def test_without_verification_the_lie_is_not_seen(liar: Path, repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    target = tmp_path / "target"
    told = restore_with(liar, tmp_path, source, target, target / "file3", 7, verify=False)

    assert told == {"errors": [], "verified": 0}
    assert (target / "file3").read_bytes() != (source / "file3").read_bytes()


def restore_with(
    liar: Path, place: Path, source: Path, target: Path, victim: Path, offset: int, *, pure: bool = False, verify: bool = True
) -> dict[str, list[list[str]]]:
    first = [os.environ["LD_PRELOAD"]] if "LD_PRELOAD" in os.environ else []
    environment = {"LD_PRELOAD": ":".join([*first, str(liar)]), "LIAR_FILE": str(victim), "LIAR_OFFSET": str(offset)}
    environment |= {"HOLDFAST_PURE": "1" if pure else "0", "RESTIC_PASSWORD": PASSWORD}
    words = [sys.executable, "-c", RESTORE, place / "repository", target, source, "yes" if verify else "no"]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
