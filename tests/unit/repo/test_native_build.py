"""The native module: built where a compiler is, told apart from the pure path, and never a condition for working."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.repo import native

ROOT = Path(__file__).resolve().parents[3]
ASK = "from holdfast.repo import native; print(native.module() is not None, native.status())"


def ask(**environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", ASK], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout


def test_the_native_module_is_in_use_here() -> None:
    assert ask(HOLDFAST_PURE="0").startswith("True native")


def test_the_environment_can_forbid_it() -> None:
    assert ask(HOLDFAST_PURE="1") == "False pure Python, since HOLDFAST_PURE is set\n"


@pytest.mark.parametrize(("compiler", "word"), [("no-such-compiler", "there is no compiler"), ("false", "ended with 1")])
def test_a_machine_that_can_not_compile_gets_the_pure_path_and_is_told(tmp_path: Path, compiler: str, word: str) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "src/holdfast/repo/native", tmp_path / "src/holdfast/repo/native")
    run = subprocess.run(
        [sys.executable, tmp_path / "scripts/build_native.py"],
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0
    assert "backups will be slower" in run.stderr
    assert word in run.stderr
    assert not list((tmp_path / "src/holdfast/repo").glob("*.so"))


def test_status_names_one_of_the_two_paths() -> None:
    assert native.status().split(",")[0].split(" ")[0] in ("native", "pure")


def test_a_module_of_other_sources_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.c").write_text("int other;")
    monkeypatch.setattr(native, "_HERE", tmp_path)
    monkeypatch.delenv("HOLDFAST_PURE", raising=False)
    native.forget()
    try:
        assert native.module() is None
        assert "make setup" in native.status()
    finally:
        monkeypatch.undo()
        native.forget()
