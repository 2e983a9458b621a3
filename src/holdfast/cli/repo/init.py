"""`holdfast repo init`: make a repository."""

import argparse

import msgspec

from holdfast.cli.repo import credentials
from holdfast.cli.repo.context import Context
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
    """There are no options of its own."""


def run(context: Context) -> int:
    """Make it."""
    store = context.store()
    prompt = f"password for the new repository {store.location}"
    with Repository.init(store, credentials.password(context.source, context.env, twice=True, prompt=prompt)) as repo:
        if context.output.json:
            context.output.document(_Initialized(repo.config.id, store.location))
        else:
            context.output.line(f"made repository {repo.config.id[:10]} at {store.location}")
            context.output.say("Without the password it can't be read by anybody. Keep the password in a second place.")
    return 0
