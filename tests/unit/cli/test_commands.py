"""The commands around the control plane: help, locks, messages, generated files, admission."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import holdfast
from holdfast.cli import gen, install, up
from holdfast.cli.apiserver import admission
from holdfast.cli.children import Child
from holdfast.cli.datadir import DataDir
from holdfast.cli.dialects import handlers, resources
from holdfast.cli.errors import HoldfastError
from holdfast.cli.main import COMMANDS, main
from holdfast.core.objects import Object

ROOT = Path(__file__).resolve().parents[3]


def test_help_names_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import sys; from holdfast.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    *text, modules = done.stdout.splitlines()
    assert all(any(line.strip().startswith(name) for line in text) for name in COMMANDS)
    assert not {"aiohttp", "uvloop", "yaml", "holdfast.cli.up"} & set(modules.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"usage: holdfast {command}" in capsys.readouterr().out


def test_an_error_is_one_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operator", "--kubeconfig", str(tmp_path / "missing")]) == 1

    assert capsys.readouterr().err.splitlines() == [
        f"holdfast operator: cannot read {tmp_path / 'missing'}: No such file or directory"
    ]


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"holdfast {holdfast.__version__}\n"


def test_a_data_directory_has_one_holder(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path / "data"), DataDir(tmp_path / "data")
    first.create()
    assert first.root.stat().st_mode & 0o777 == 0o700

    with first.locked():
        assert second.held()
        assert second.holder() == os.getpid()
        with pytest.raises(HoldfastError, match=f"in use by process {os.getpid()}"), second.locked():
            pass
    assert not second.held()
    with second.locked():
        pass


def test_a_data_directory_that_can_not_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HoldfastError, match="choose another with --data-dir"):
        DataDir(tmp_path / "file" / "data").create()


async def test_a_child_that_does_not_serve_shows_its_last_words(tmp_path: Path) -> None:
    child = Child("node", ("node", "--kubeconfig", str(tmp_path / "missing")), tmp_path / "node.log")

    with pytest.raises(HoldfastError, match=r"node ended with exit code 1 before it served:\n.*cannot read"):
        await child.start(print)


def test_the_log_of_the_last_life_is_kept(tmp_path: Path) -> None:
    from holdfast.cli.children import rotate, tail

    log = tmp_path / "node.log"
    log.write_text("one\ntwo\n")
    rotate(log)

    assert not log.exists()
    assert tail(tmp_path / "node.log.1", 1) == "  two"


def test_a_kubeconfig_of_ours_may_be_replaced(tmp_path: Path) -> None:
    path, data = tmp_path / "config", DataDir(tmp_path)
    up.check_replaceable(path, data)
    path.write_text("clusters: [{name: holdfast}]")
    up.check_replaceable(path, data)
    path.write_text("clusters: [{name: holdfast}, {name: production}]")

    with pytest.raises(HoldfastError, match="holds other clusters"):
        up.check_replaceable(path, data)


def test_gen_writes_what_differs_and_removes_what_is_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "deploy" / "crds" / "kubestash" / "gone.yaml"
    old.parent.mkdir(parents=True)
    old.touch()

    assert main(["gen", "--root", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    assert main(["gen", "--root", str(tmp_path)]) == 0

    assert "removed deploy/crds/kubestash/gone.yaml" in first
    assert capsys.readouterr().out == ""
    for path in (tmp_path / "deploy" / "crds").rglob("*.yaml"):
        assert path.read_text() == (ROOT / path.relative_to(tmp_path)).read_text()


def test_gen_refuses_what_is_no_source_tree(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="not a source tree"):
        gen.run(gen_arguments(tmp_path))


def gen_arguments(root: Path) -> argparse.Namespace:

    return argparse.Namespace(root=root)


def test_every_shipped_manifest_is_of_a_known_kind() -> None:
    known = resources()

    documents = list(install.manifests(install.deploy_dir() / "addons"))

    assert documents
    assert all(install.kind_of(document) in known for document in documents)


def test_every_kind_that_a_dialect_looks_at_has_its_place_in_the_api() -> None:
    from holdfast.cli.dialects import dialects

    known = resources()
    for dialect in dialects():
        assert {handler.kind for handler in dialect.handlers} | set(dialect.watched) <= set(known)


class Stored:
    """Objects as the API server's Reader shows them."""

    def __init__(self, *objects: Object) -> None:
        self._objects = objects

    def get(self, group: str, kind: str, namespace: str, name: str) -> Object | None:
        return next((obj for obj in self.list(group, kind, namespace) if obj["metadata"]["name"] == name), None)

    def list(self, group: str, kind: str, namespace: str | None, **_: object) -> list[Object]:
        return [obj for obj in self._objects if obj["kind"] == kind and namespace in (None, obj["metadata"].get("namespace"))]


def test_admission_says_what_a_handler_says() -> None:
    sample = yaml.safe_load((ROOT / "examples" / "kubestash" / "backup-configuration.yaml").read_text())
    sample["spec"]["sessions"][0]["scheduler"]["schedule"] = "61 * * * *"

    check = admission(handlers())["core.kubestash.com", "BackupConfiguration"]
    messages = check(sample, None, Stored())  # pyright: ignore[reportArgumentType]

    assert any(message.startswith("spec.sessions[0].scheduler.schedule: ") for message in messages)
