"""A fresh embedded API server for a test: `from tests.embedded_fixture import api_server` and take it as an argument."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from holdfast.embedded.apiserver.server import ApiServer


@pytest_asyncio.fixture
async def api_server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    server = ApiServer(tmp_path / "api")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
