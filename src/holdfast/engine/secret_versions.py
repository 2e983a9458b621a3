"""Which version a Secret has that a handler looks at: followed one by one, by name, and never with its values.

The operator watches no collection of Secrets. A handler that must notice a changed credential looks the Secret up like any
other object; from then on that one Secret is watched for its metadata alone, which the server cuts out, for as long as any
handler's last pass looked at it. The first look finds nothing: the handler is woken as soon as the version is known.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from holdfast.core.objects import Kind, Object, Ref
from holdfast.engine.grants import Grants
from holdfast.engine.scope import ACTING
from holdfast.kube.builtin import SECRETS
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError
from holdfast.kube.informer import Informer
from holdfast.kube.lease import LeaseLost

SECRET: Final = Kind("", "Secret")

CHECK: Final = 600.0
"""Seconds between two looks whether anybody still wants to know."""

AGAIN: Final = 30.0
"""Seconds after which a Secret that could not be followed is tried again."""

_log = logging.getLogger(__name__)


class SecretVersions:
    """The Secrets that are followed. Ask from within the event loop; `run` does the following."""

    def __init__(
        self, client: Client, grants: Grants, *, changed: Callable[[Ref], None], wanted: Callable[[Ref], bool]
    ) -> None:
        """`changed` is called when a Secret appears, changes or goes; `wanted` says whether anybody looks at it."""
        self._client, self._grants = client, grants
        self._changed, self._wanted = changed, wanted
        self._followed: dict[Ref, Informer] = {}
        self._new: asyncio.Queue[tuple[Ref, str]] = asyncio.Queue()

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the metadata of a Secret, and follow it; None while it does not exist, or is not known yet."""
        ref = Ref(SECRET, namespace, name)
        if ref not in self._followed:
            self._followed[ref] = self._informer(ref)
            self._new.put_nowait((ref, ACTING.get()))
        return self._followed[ref].get(namespace, name)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                ref, namespace = await self._new.get()
                group.create_task(self._follow(ref, namespace), name=f"follow {ref}")

    def _informer(self, ref: Ref) -> Informer:
        found = Informer(
            self._client, SECRETS, namespace=ref.namespace, field_selector=f"metadata.name={ref.name}", metadata_only=True
        )
        found.subscribe(lambda _old, _new: self._changed(ref))
        return found

    async def _follow(self, ref: Ref, namespace: str) -> None:
        """Follow one Secret; a grant that this takes is taken in the name of the object that looked, in `namespace`."""
        ACTING.set(namespace)
        informer, by_name = self._followed[ref], f"metadata.name={ref.name}"
        while self._wanted(ref):
            try:
                await self._grants.call(
                    ref.namespace,
                    lambda: self._client.list(SECRETS, ref.namespace, field_selector=by_name, metadata_only=True),
                )
                async with asyncio.timeout(CHECK):
                    await informer.run()
            except TimeoutError:
                continue
            except (ApiError, LeaseLost) as error:
                _log.warning("can't follow %s: %s", ref, error)
                await asyncio.sleep(AGAIN)
        del self._followed[ref]
