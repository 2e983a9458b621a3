"""The layers: import-linter's contracts say what docs/architecture.md says, and an illegal import is noticed.

`MAY_IMPORT` is that table. A contract lists what is forbidden, so it must equal everything that exists and isn't allowed.
"""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "holdfast"

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "kube": set(),
    "schema": set(),
    "repo": set(),
    "templates": set(),
    "movers": {"core", "repo"},
    "dialects": {"core", "schema", "templates"},
    "engine": {"core", "kube"},
    "rest": {"core", "kube", "schema", "dialects.cloudcasa"},
    "web": {"core", "kube", "schema", "dialects.cloudcasa"},
    "embedded.apiserver": {"schema"},
    "embedded.controllers": {"core", "kube", "schema"},
    "embedded.node": {"core", "kube", "schema"},
}
EXCEPTIONS = {
    "movers": {
        f"holdfast.movers.{name} -> holdfast.kube.*"
        for name in ("trigger", "exec", "cluster", "record_discovery", "rediscovery")
    },
    "embedded.apiserver": {"holdfast.embedded.apiserver.** -> holdfast.kube.codec"},
    "rest": {"holdfast.rest.** -> holdfast.dialects.cloudcasa.**"},
}
EMBEDDED = ("embedded.apiserver", "embedded.controllers", "embedded.node")


def contracts() -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    prefix = "importlinter:contract:"
    return {name.removeprefix(prefix): parser[name] for name in parser.sections() if name.startswith(prefix)}


def words(section: configparser.SectionProxy, key: str) -> set[str]:
    return {line.strip() for line in section.get(key, "").splitlines() if line.strip()}


def existing(name: str) -> bool:
    return (PACKAGE / name.replace(".", "/") / "__init__.py").is_file()


def layers(source: str) -> set[str]:
    """Every layer that a source must be judged against: the parts of `embedded` by themselves only inside of it."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    if source.startswith("embedded."):
        folders = folders - {"embedded"} | set(EMBEDDED)
    return folders - {source}


def test_every_package_has_its_row_and_its_contract() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"cli", "embedded"}

    assert folders | set(EMBEDDED) <= set(MAY_IMPORT)
    assert {name for name in MAY_IMPORT if existing(name)} | {"no-dialect-knows-another"} == set(contracts())


@pytest.mark.parametrize("name", [name for name in MAY_IMPORT if existing(name)])
def test_contract_forbids_everything_that_the_table_does_not_allow(name: str) -> None:
    section = contracts()[name]
    forbidden = words(section, "forbidden_modules")
    ours = {module.removeprefix("holdfast.") for module in forbidden if module.startswith("holdfast.")}

    assert section["source_modules"] == f"holdfast.{name}"
    assert ours == layers(name) - MAY_IMPORT[name]
    assert words(section, "ignore_imports") == EXCEPTIONS.get(name, set())


def test_core_has_no_clock_and_no_input() -> None:
    assert {"aiohttp", "asyncio", "os", "time"} <= words(contracts()["core"], "forbidden_modules")


def lint(folder: Path) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    program = str(Path(sys.executable).parent / "lint-imports")
    command = [program, "--no-cache", "--config", str(folder / ".importlinter")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_illegal_import_in_any_layer_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    assert lint(tmp_path)[0] == 0

    for name in contracts():
        if name != "no-dialect-knows-another":
            folder = tmp_path / "holdfast" / name.replace(".", "/")
            (folder / "trespass.py").write_text('"""Not allowed."""\n\nimport holdfast.cli.main as _main\n')
    dialect = tmp_path / "holdfast" / "dialects" / "second"
    dialect.mkdir()
    (dialect / "__init__.py").write_text('"""Not allowed."""\n\nimport holdfast.dialects.kubestash as _other\n')
    code, text = lint(tmp_path)

    assert code != 0
    for section in contracts().values():
        assert f"{section['name']} BROKEN" in text


def test_core_that_reads_the_clock_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    (tmp_path / "holdfast" / "core" / "trespass.py").write_text('"""Not allowed."""\n\nimport time as _time\n')

    code, text = lint(tmp_path)

    assert code != 0
    assert "holdfast.core.trespass -> time" in text
