"""A cheap repository: key derivation with a hundredth of the usual cost. And both forms of the data path."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.repo_trees import PASSWORD

from holdfast.repo import native
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "repository")


@pytest.fixture
def repo(store: LocalStore) -> Repository:
    return Repository.init(store, PASSWORD)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small source of a few files in two folders."""
    root = tmp_path / "source"
    (root / "below").mkdir(parents=True)
    for number in range(5):
        (root / f"file{number}").write_text(f"content {number}\n" * 50)
        (root / "below" / f"file{number}").write_text(f"below {number}\n" * 50)
    return root


@pytest.fixture
def reopen(store: LocalStore) -> Callable[[], Repository]:
    """Open the repository again, as another process would."""
    return lambda: Repository.open(store, PASSWORD)


@pytest.fixture(params=["native", "pure"])
def data_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the test once for each form of the data path."""
    monkeypatch.setenv(native.PURE_VARIABLE, "1" if request.param == "pure" else "0")
    native.forget()
    assert native.status().startswith(request.param)
    yield request.param
    monkeypatch.undo()
    native.forget()


@pytest.fixture(scope="module", params=["native"])
def module() -> Iterator[ModuleType]:
    """The native module, whatever the environment asks for: for the files whose tests are of that form alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.PURE_VARIABLE, "0")
        native.forget()
        found = native.module()
        assert found is not None, native.status()
        yield found
    native.forget()
