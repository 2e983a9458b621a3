"""`holdfast repo recover`: bring back what somebody deleted or overwrote in a bucket with object lock."""

import argparse
import contextlib

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.output import shown
from holdfast.repo.stores.wrapped import RetainingStore, find_inner

HELP = """\
The service keeps the versions that were written; of each hidden object the retained one whose
content fits its name becomes the newest again. Nothing is removed. No password is needed: check
the repository afterwards.

Examples:
  holdfast repo recover -o s3.object-lock-mode=COMPLIANCE -o s3.object-lock-days=30
  holdfast repo check
"""


class _Recovered(msgspec.Struct, frozen=True, tag_field="message_type", tag="recovered"):
    paths: list[str]


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no options of its own."""


def run(context: Context) -> int:
    """Recover, and name what came back."""
    with contextlib.closing(context.store()) as store:
        retaining = find_inner(store, RetainingStore)
        if retaining is None:
            raise HoldfastError(
                f"{store.location}: nothing is retained there as far as we are told: give -o s3.object-lock-mode=... and "
                "-o s3.object-lock-days=..."
            )
        paths = sorted(retaining.recover())
    if context.output.json:
        context.output.document(_Recovered(paths))
        return 0
    for path in paths:
        context.output.say(f"recovered {shown(path)}")
    context.output.line(f"recovered {len(paths)} objects")
    return 0
