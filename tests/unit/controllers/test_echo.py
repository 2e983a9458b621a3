"""Nothing is said twice of the same version of an object, and everything once of each new one."""

from collections.abc import Callable
from typing import Any

from holdfast.core.objects import Object
from holdfast.embedded.controllers.echo import Echo


class Watch:
    """The part of an informer that an Echo uses."""

    def __init__(self) -> None:
        self.tell: Callable[[Object | None, Object | None], None] = lambda old, new: None

    def subscribe(self, fn: Callable[[Object | None, Object | None], None]) -> None:
        self.tell = fn


def version(number: int) -> Object:
    return {"metadata": {"name": "a", "uid": "u", "resourceVersion": str(number)}}


def echo() -> tuple[Echo, Watch]:
    watch: Any = Watch()
    return Echo(watch), watch


def test_the_same_patch_of_the_same_version_is_awaited() -> None:
    made, _ = echo()
    assert not made.awaited(version(1), {"active": 1})
    made.sent(version(1), {"active": 1})
    assert made.awaited(version(1), {"active": 1})
    assert not made.awaited(version(1), {"active": 2}), "another patch is news"
    assert not made.awaited(version(2), {"active": 1}), "somebody else has changed it back"


def test_it_is_forgotten_when_the_watch_has_shown_another_version_or_the_end() -> None:
    made, watch = echo()
    for seen in (version(2), None):
        made.sent(version(1), {"active": 1})
        watch.tell(version(1), version(1))
        assert made.awaited(version(1), {"active": 1}), "the old version again is no answer"
        watch.tell(version(1), seen)
        assert not made.awaited(version(1), {"active": 1})
