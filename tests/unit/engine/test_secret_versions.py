"""Secrets that are followed: one by one, by name, for their metadata alone, and only while somebody looks."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from holdfast.core.objects import Object, Ref
from holdfast.engine import secret_versions
from holdfast.engine.grants import Grants
from holdfast.engine.secret_versions import SECRET, SecretVersions
from holdfast.kube.client import Client, Listing, Page
from holdfast.kube.codec import WatchEvent

REF = Ref(SECRET, "demo", "keys")


def metadata(version: str) -> Object:
    return {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {"name": "keys", "namespace": "demo", "resourceVersion": version},
    }


class OneSecret:
    """A client of a server that has one Secret, and notes how it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []
        self.events: asyncio.Queue[WatchEvent] = asyncio.Queue()

    async def list(self, res: object, namespace: str, *, field_selector: str, metadata_only: bool, **_: Any) -> Listing:
        self.asked.append((namespace, field_selector, metadata_only))
        return Listing([metadata("1")], "1")

    async def pages(
        self, res: object, namespace: str, *, field_selector: str, metadata_only: bool, **_: Any
    ) -> AsyncGenerator[Page, None]:
        found = await self.list(res, namespace, field_selector=field_selector, metadata_only=metadata_only)
        yield Page(found.items, found.resource_version, first=True)

    async def watch(
        self, res: object, namespace: str, *, field_selector: str, metadata_only: bool, **_: Any
    ) -> AsyncGenerator[WatchEvent, None]:
        self.asked.append((namespace, field_selector, metadata_only))
        while True:
            yield await self.events.get()


def version_of(followed: SecretVersions) -> str:
    return (followed.get("demo", "keys") or {"metadata": {"resourceVersion": ""}})["metadata"]["resourceVersion"]


async def test_a_secret_is_followed_by_name_for_its_metadata_while_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_versions, "CHECK", 0.05)
    server, changes, looked_at = OneSecret(), asyncio.Queue[Ref](), {REF}
    client = cast(Client, server)
    followed = SecretVersions(client, Grants(client), changed=changes.put_nowait, wanted=looked_at.__contains__)
    running = asyncio.create_task(followed.run())

    assert version_of(followed) == "", "the first look finds nothing yet"
    async with asyncio.timeout(5):
        assert await changes.get() == REF
        assert version_of(followed) == "1"
        server.events.put_nowait(WatchEvent("MODIFIED", metadata("2")))
        assert await changes.get() == REF
        assert version_of(followed) == "2"
        assert set(server.asked) == {("demo", "metadata.name=keys", True)}

        looked_at.clear()
        while any(task.get_name() == f"follow {REF}" for task in asyncio.all_tasks()):  # noqa: ASYNC110 - it ends unannounced
            await asyncio.sleep(0.01)
        asked = len(server.asked)
        looked_at.add(REF)
        assert version_of(followed) == "", "a Secret that nobody looked at is looked for anew"
        await changes.get()
        assert len(server.asked) > asked
    running.cancel()
    await asyncio.wait([running])
