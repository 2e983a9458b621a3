"""`holdfast repo cat`: the objects of the repository, for those who want to see them."""

import argparse
import sys

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.repo import keys
from holdfast.repo.browse import Trees, start
from holdfast.repo.errors import NoObject, NoSnapshot
from holdfast.repo.repository import Repository
from holdfast.repo.store import Kind, is_id, path_of

HELP = """\
Kinds: config, and with an id or the beginning of one: snapshot, index, key, lock, blob, tree,
pack. A tree is also named by snapshot:/folder. Blobs and packs come out as bytes: a blob
opened, a pack as it is stored. The master key is not shown.

Examples:
  holdfast repo cat config
  holdfast repo cat snapshot latest
  holdfast repo cat tree latest:/etc
"""

_KINDS = ("config", "snapshot", "index", "key", "lock", "blob", "tree", "pack")
_FOLDERS: dict[str, Kind] = {"index": "index", "key": "keys", "lock": "locks", "pack": "data"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("kind", choices=_KINDS, help="what to print")
    parser.add_argument("id", nargs="?", default="", help="which one")


def run(context: Context) -> int:
    """Print it."""
    kind, ident = context.arguments.kind, context.arguments.id
    if (kind == "config") == bool(ident):
        raise HoldfastError("config takes no id" if ident else f"which {kind}? Give its id")
    needs_lock = kind in ("blob", "tree", "pack")
    with context.reading() if needs_lock else context.open() as repo:
        if kind in ("blob", "pack"):
            content = _blob(repo, ident) if kind == "blob" else repo.store.get(_path(repo, kind, ident))
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return 0
        text = _json(context, repo, kind, ident)
    context.output.line(msgspec.json.format(text, indent=2).decode("utf-8", "replace"))
    return 0


def _json(context: Context, repo: Repository, kind: str, ident: str) -> bytes:
    if kind == "config":
        return msgspec.json.encode(repo.config)
    if kind == "snapshot":
        found, _ = context.snapshot(repo, ident)
        return repo.load_json(path_of("snapshots", found.id))
    if kind == "tree":
        return _tree(context, repo, ident)
    if kind == "key":
        return repo.store.get(path_of("keys", keys.find(repo.store, ident)))
    return repo.load_json(_path(repo, kind, ident))


def _tree(context: Context, repo: Repository, ident: str) -> bytes:
    """The tree of a snapshot or of a folder in it, or the tree with this full id."""
    try:
        snapshot, subfolder = context.snapshot(repo, ident)
    except NoSnapshot:
        if not is_id(ident):
            raise
        return _blob(repo, ident)
    return repo.load_blob(bytes.fromhex(start(Trees(repo), snapshot, subfolder)))


def _blob(repo: Repository, ident: str) -> bytes:
    try:
        return repo.load_blob(bytes.fromhex(ident))
    except ValueError:
        raise NoObject(f"{ident!r} is no id of a blob: that has 64 hexadecimal digits") from None


def _path(repo: Repository, kind: str, ident: str) -> str:
    folder = _FOLDERS[kind]
    names = sorted(entry.name for entry in repo.store.list(folder) if entry.name.startswith(ident))
    if len(names) != 1:
        raise NoObject(f"{repo.store.location}: {len(names) or 'no'} objects in {folder}/ begin with {ident!r}")
    return path_of(folder, names[0])
