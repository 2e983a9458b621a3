"""The OpenAPI document: valid, complete, and true: schemathesis makes requests of it and holds the replies against it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from openapi_spec_validator import validate
from tests.cloudcasa_world import LOCAL, World, world

from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.rest.openapi import openapi

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
PROGRAM = Path(sys.executable).parent / "schemathesis"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A REST server with one document of each kind that can be made by hand."""
    async with world(tmp_path_factory.mktemp("openapi")) as found:
        rest = found.rest
        policy = await rest.policy("seen")
        backup = await rest.backup("seen", trigger_type="SCHEDULED", policy=policy)
        await rest.run("kubeoffloads", await rest.offload(backup, "seen", policy=policy))
        await rest.ok("POST", "/kubehooks", {"name": "seen", "hook": [{"labels": {"a": "b"}, "target": [{"command": "true"}]}]})
        yield found


async def test_the_document_is_valid_and_has_every_collection() -> None:
    document = openapi()

    validate(document)
    for name, collection in COLLECTIONS.items():
        assert f"/{name}" in document["paths"]
        for action in collection.actions:
            assert f"/{name}/{{id}}/action/{action}" in document["paths"]


async def test_requests_made_of_the_document_get_replies_that_fit_it(here: World, tmp_path: Path) -> None:
    root = here.rest.url.removesuffix("/api/v1")
    command = [str(PROGRAM), "run", f"{root}/api-docs", "--url", here.rest.url, "--tls-verify", "false"]
    command += ["--header", f"Authorization: Bearer {here.rest.key}", "--checks", CHECKS, "--max-examples", "6"]
    command += ["--phases", "examples,fuzzing", "--seed", "7", "--suppress-health-check", "all", "--no-color"]
    command += ["--exclude-path-regex", "apikeys"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-6000:]
    assert LOCAL
