"""`holdfast repo init`: make a repository."""

import argparse
import contextlib

import msgspec

from holdfast.cli.repo import credentials
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.copy import add_from, source_of
from holdfast.repo.repository import Repository

HELP = """\
Makes the folders or uses the bucket, generates the master key and seals it with the password.
At a terminal the password is asked for twice. Without the password nobody can read the
repository again, Holdfast included: keep it somewhere else too.

Examples:
  holdfast repo init -r /srv/backup
  holdfast repo init -r s3:s3.eu-central-1.amazonaws.com/bucket/prefix --password-file /etc/backup/password
"""


class _Initialized(msgspec.Struct, frozen=True, tag_field="message_type", tag="initialized"):
    id: str
    repository: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--chunking",
        choices=("auto", "keyed", "stock"),
        default="auto",
        help="where files are cut: by a secret key, as the stock program does, or (auto) as who wrote the snapshots did",
    )
    parser.add_argument(
        "--copy-chunker-params", action="store_true", help="cut as the repository of --from-repo, so that copies share blobs"
    )
    add_from(parser)


def run(context: Context) -> int:
    """Make it."""
    store = context.store()
    prompt = f"password for the new repository {store.location}"
    with contextlib.ExitStack() as held:
        like = held.enter_context(context.open(source_of(context))) if context.arguments.copy_chunker_params else None
        password = credentials.password(context.source, context.env, twice=True, prompt=prompt)
        repo = held.enter_context(Repository.init(store, password, chunking=context.arguments.chunking, chunker_like=like))
        if context.output.json:
            context.output.document(_Initialized(repo.config.id, store.location))
        else:
            context.output.line(f"made repository {repo.config.id[:10]} at {store.location}")
            context.output.say("Without the password it can't be read by anybody. Keep the password in a second place.")
    return 0
