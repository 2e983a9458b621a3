"""The commands of the documentation, run as a reader would: one shell for a page, from the root of the checkout."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "docs/getting-started.md",
    "docs/antfly.md",
    "docs/cloudcasa.md",
    "docs/embedded.md",
    "docs/repo-cli.md",
    "README.md",
)
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: str) -> str:
    """Every shell block of a page but those that call make: the tests themselves run below make."""
    blocks = _BLOCK.findall((ROOT / page).read_text())
    return "\n".join(block for block in blocks if not block.startswith("make "))


@pytest.mark.run
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, tmp_path: Path) -> None:
    path = f"{ROOT}/.venv/bin:{ROOT}/.tools/bin:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    script = f"trap '{ROOT}/.venv/bin/holdfast down --data-dir ~/.holdfast >/dev/null 2>&1 || true' EXIT\n{commands(page)}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    if page == "docs/getting-started.md":
        assert "hello from sample-sts-0" in done.stdout
        assert "no errors were found" in done.stdout
    if page == "docs/antfly.md":
        assert done.stdout.rstrip().endswith("1 table restored")


def test_every_make_target_of_the_documentation_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert named
    assert named <= targets
