"""The image's lock files and Dockerfile agree with the project: the same versions, nothing of the tests, every file there."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "deploy" / "image"


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", path.read_text(), re.MULTILINE))


def names(specifiers: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", text)[0].lower() for text in specifiers}


def test_the_image_carries_the_versions_that_are_tested() -> None:
    image, tested = pins(IMAGE / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert {name: tested.get(name) for name in image} == image


def test_the_image_carries_what_the_project_needs_and_nothing_of_its_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    image = set(pins(IMAGE / "requirements.lock"))
    assert names(project["project"]["dependencies"]) <= image
    assert not {"pytest", "moto", "kubernetes", "hypothesis"} & image
    assert f"hatchling=={pins(IMAGE / 'build.lock')['hatchling']}" in project["build-system"]["requires"]


def test_every_file_that_the_image_is_made_of_is_there() -> None:
    for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), f"{line}: {name} is not there"


def test_no_lock_names_a_registry() -> None:
    for path in (IMAGE / "requirements.lock", IMAGE / "build.lock", ROOT / "requirements.lock"):
        assert "://" not in path.read_text()
