"""What a controller has said of an object and not heard back yet.

A pass that runs before the watch has shown the last write would decide the same once more and send it again. It is recognised
by two things at once: the version it saw and the patch it comes to. A change by anybody else makes another version.
"""

from typing import Any

from holdfast.core.objects import Object
from holdfast.kube.informer import Informer


class Echo:
    """Remembers the last patch sent for each object of an informer, by uid."""

    def __init__(self, informer: Informer) -> None:
        self._sent: dict[str, tuple[str, dict[str, Any]]] = {}
        informer.subscribe(self._changed)

    def awaited(self, obj: Object, patch: dict[str, Any]) -> bool:
        """Whether this very patch was sent for this version of the object."""
        meta = obj["metadata"]
        return self._sent.get(meta["uid"]) == (meta["resourceVersion"], patch)

    def sent(self, obj: Object, patch: dict[str, Any]) -> None:
        """Note that the server has taken the patch."""
        meta = obj["metadata"]
        self._sent[meta["uid"]] = (meta["resourceVersion"], patch)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        seen = new or old
        if seen is not None and (new is None or self._stale(new)):
            self._sent.pop(seen["metadata"]["uid"], None)

    def _stale(self, obj: Object) -> bool:
        sent = self._sent.get(obj["metadata"]["uid"])
        return sent is not None and sent[0] != obj["metadata"]["resourceVersion"]
