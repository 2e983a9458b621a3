"""`holdfast gen`: write CRDs and reference pages from the types. Leaves files alone that are right already."""

import argparse
from pathlib import Path

import holdfast
from holdfast.cli.dialects import KINDS, TITLES
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
    for api, kinds in KINDS.items():
        wanted = files(api, TITLES[api], kinds)
        for name, text in wanted.items():
            path = root / name
            if not path.is_file() or path.read_text() != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                print(f"wrote {name}")
        for path in (root / "deploy" / "crds" / api).glob("*.yaml"):
            if str(path.relative_to(root)) not in wanted:
                path.unlink()
                print(f"removed {path.relative_to(root)}")
    return 0


def _source_tree() -> Path:
    return Path(holdfast.__file__).resolve().parents[2]
