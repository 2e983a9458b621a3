"""`holdfast gen`: write CRDs, reference pages and an installation's manifests from the code. What is right already stays."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import holdfast
from holdfast.cli import deployment
from holdfast.cli.dialects import ALL_KINDS, TITLES
from holdfast.cli.errors import HoldfastError
from holdfast.schema.generate import files


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--root", type=Path, default=_source_tree(), help="the source tree (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Write what differs, and remove CRDs of kinds that are no more."""
    root: Path = arguments.root
    if not (root / "pyproject.toml").is_file():
        raise HoldfastError(f"{root} is not a source tree of Holdfast: name it with --root")
    for api, kinds in ALL_KINDS.items():
        wanted = files(api, TITLES[api], kinds)
        _write(root, wanted)
        _remove(root, [path for path in (root / "deploy" / "crds" / api).glob("*.yaml") if _name(root, path) not in wanted])
    _write(root, deployment.files())
    _remove(root, deployment.outdated(root))
    return 0


def _write(root: Path, wanted: Mapping[str, str]) -> None:
    for name, text in wanted.items():
        path = root / name
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")


def _remove(root: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink()
        print(f"removed {_name(root, path)}")


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root))


def _source_tree() -> Path:
    return Path(holdfast.__file__).resolve().parents[2]
