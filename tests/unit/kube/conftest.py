"""A fake API server for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.kube.fake import FakeApi

from holdfast.kube import informer, transport


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    """A fake API server, and backoffs short enough for a test."""
    monkeypatch.setattr(transport, "BACKOFF", 0.002)
    monkeypatch.setattr(informer, "BACKOFF", 0.002)
    monkeypatch.setattr(informer, "BACKOFF_LIMIT", 0.02)
    async with FakeApi().serve() as server:
        yield server
