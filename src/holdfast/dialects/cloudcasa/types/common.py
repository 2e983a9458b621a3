"""What the documents of the CloudCasa API share. Names are those of the REST API, letter for letter."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta

from holdfast.schema.fields import Maybe, Wire, doc

ID_PATTERN: str = "^[0-9a-f]{24}$"


class Document(Wire, rename=None):
    """Base of everything in a document: names stay as they are written."""


def reference(description: str) -> Meta:
    """Describe a field that holds the `_id` of another document."""
    return Meta(description=description, pattern=ID_PATTERN)


Tags: TypeAlias = dict[str, str]


class Provider(Document):
    """Which objectstore to use: `user_objectstore`, or `type` together with `region`."""

    type: Maybe[Annotated[str, doc("Storage provider, such as `aws`; needs `region`.")]] = UNSET
    region: Maybe[Annotated[str, doc("Region of that provider; needs `type`.")]] = UNSET
    user_objectstore: Maybe[Annotated[str, reference("Own objectstore to use instead.")]] = UNSET


class Retention(Document):
    """How long a recovery point is kept."""

    retainDays: Annotated[int, doc("Days to keep the recovery point.", ge=1, le=36500)]


class RunRequest(Document):
    """The body of `action/run`."""

    retention: Annotated[Retention, doc("How long to keep the result.")]
    runBackup: Annotated[bool, doc("Whether a snapshot is taken first.")] = False


class RestoreRequest(Document):
    """The body of `action/run` of a restore: nothing needs to be said."""
