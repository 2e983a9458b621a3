"""`holdfast repo unlock`: remove the locks of holders that are gone."""

import argparse

import msgspec

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.output import shown
from holdfast.repo.unlock import HeldLock, unlock

HELP = """\
Removes locks whose holders are proven to be gone, and those that were not refreshed for half an
hour. Whoever takes a lock does the same, so this is seldom needed. --remove-all removes every
lock: only for somebody who knows that nobody works there.

Examples:
  holdfast repo unlock
  holdfast repo unlock --remove-all
"""


class _LockJson(msgspec.Struct, frozen=True):
    id: str
    held_by: str
    stale: str


class _Unlocked(msgspec.Struct, frozen=True, tag_field="message_type", tag="unlocked"):
    removed: list[_LockJson]
    kept: list[_LockJson]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--remove-all", action="store_true", help="remove the locks of living holders too")


def run(context: Context) -> int:
    """Remove them, and say which stay."""
    with context.open() as repo:
        done = unlock(repo, remove_all=context.arguments.remove_all)
    if context.output.json:
        context.output.document(_Unlocked([_json(held) for held in done.removed], [_json(held) for held in done.kept]))
        return 0
    for held in done.removed:
        context.output.say(f"removed {shown(held.lock.describe())}: {held.stale or 'because all were to go'}")
    for held in done.kept:
        context.output.say(f"left {shown(held.lock.describe())}: its holder may live")
    context.output.line(f"removed {len(done.removed)} locks, left {len(done.kept)}")
    return 0


def _json(held: HeldLock) -> _LockJson:
    return _LockJson(held.id, held.lock.describe(), held.stale)
