"""Why something can't go on: for good, or for now."""

from datetime import datetime

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """It never will: the run fails. `reason` is CamelCase, `message` names the object and what to do."""

    reason: str
    message: str


class Wait(msgspec.Struct, frozen=True):
    """It can't yet: `message` says what it waits for, `reason` is CamelCase; it is looked at again by `until`."""

    message: str
    reason: str = "Waiting"
    until: datetime | None = None
