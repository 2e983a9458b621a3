"""An image whose files lie below a place where a pod mounts a volume: the volume must not hide the program."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.node.fakes import Run, container, pod

from holdfast.core.objects import Object
from holdfast.embedded.node.images import Image, ImageTable, own_image

pytestmark = pytest.mark.run


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A folder below /tmp with an interpreter and a package, as a checkout there has them."""
    top = Path(tempfile.mkdtemp(prefix="hf-checkout-", dir="/tmp"))
    top.chmod(0o755)
    place = top / "src" / "deep"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (place / "tiny").mkdir()
    (place / "tiny" / "__main__.py").write_text('print("the package answers")\n')
    try:
        yield place
    finally:
        shutil.rmtree(top)


def image_of(place: Path) -> ImageTable:
    """The running interpreter's own places (its base may lie anywhere), and the checkout."""
    paths = (*own_image().paths, str(place))
    return ImageTable({"holdfast": Image(paths=paths, path=(str(place / "bin"),))})


async def ran(tmp_path: Path, place: Path, script: str, volume: Object, **fields: object) -> str:
    mounts = [{"name": "v", "mountPath": "/tmp", **fields}]
    main = container(f"{place}/bin/python {place}/tiny && {script}", image="holdfast", volumeMounts=mounts)
    run = Run(tmp_path, pod(main, volumes=[{"name": "v", **volume}]), images=image_of(place))
    status = await run.end()
    assert status["phase"] == "Succeeded", (status, run.log())
    return run.log()


async def test_an_empty_dir_over_the_parent_of_the_program_does_not_hide_it(tmp_path: Path, checkout: Path) -> None:
    script = "touch /tmp/mine && ls -A /tmp"
    for medium in ({}, {"medium": "Memory"}):
        lines = await ran(tmp_path, checkout, script, {"emptyDir": medium})
        assert {"the package answers", "mine", checkout.parents[1].name} <= set(lines.split("\n"))


async def test_the_program_stays_read_only_below_a_writable_volume(tmp_path: Path, checkout: Path) -> None:
    script = f"(touch {checkout}/tiny/x 2>/dev/null || echo refused)"
    assert (await ran(tmp_path, checkout, script, {"emptyDir": {}})).endswith("refused")


async def test_a_users_own_volume_at_tmp_keeps_its_files_and_shows_the_program(tmp_path: Path, checkout: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    (data / "file").write_text("of the user\n")
    text = await ran(tmp_path, checkout, "cat /tmp/file && echo new > /tmp/new", {"hostPath": {"path": str(data)}})
    assert text.splitlines() == ["the package answers", "of the user"]
    assert (data / "new").read_text() == "new\n"


async def test_a_read_only_volume_at_tmp_shows_its_files_and_the_program(tmp_path: Path, checkout: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    (data / "file").write_text("of the user\n")
    script = "cat /tmp/file && (touch /tmp/new 2>/dev/null || echo refused)"
    text = await ran(tmp_path, checkout, script, {"hostPath": {"path": str(data)}}, readOnly=True)
    assert text.splitlines() == ["the package answers", "of the user", "refused"]
    assert [each.name for each in data.iterdir()] == ["file"]
