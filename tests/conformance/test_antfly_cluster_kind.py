"""AntflyCluster belongs to Antfly's operator: its CRD and its status are left alone when they are somebody else's."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conformance.antfly_world import BACKUPS, CLUSTERS, NAMESPACE, antfly_world, backup

from holdfast.cli.install import install
from holdfast.dialects.antfly.types import KINDS
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.builtin import CRDS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.schema.emit import crd

pytestmark = pytest.mark.api
NAME = "antflyclusters.antfly.io"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    server = ApiServer(tmp_path / "data")
    await server.start()
    try:
        async with Client(load_kubeconfig(server.kubeconfig_path), field_manager="test") as client:
            yield client
    finally:
        await server.stop()


async def test_a_crd_of_the_operator_stays_as_it_is_and_ours_is_kept_up_to_date(client: Client) -> None:
    await install(client)
    ours = await client.get(CRDS, NAME)
    assert ours["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "holdfast"}
    await client.merge_patch(CRDS, NAME, None, {"metadata": {"labels": None}, "spec": {"names": {"shortNames": ["afc"]}}})
    theirs = await client.get(CRDS, NAME)

    await install(client)

    assert (await client.get(CRDS, NAME))["spec"] == theirs["spec"]


async def test_a_status_that_the_operator_writes_is_read_and_never_touched(client: Client) -> None:
    theirs = copy.deepcopy(crd(next(kind for kind in KINDS if kind.kind == "AntflyCluster")))
    del theirs["metadata"]["labels"]
    await client.create(CRDS, theirs)
    async with antfly_world(client) as world:
        await world.client.create(BACKUPS, backup())
        await world.phase("Failed")
        await world.cluster()
        body = {"status": {"phase": "Degraded", "readyReplicas": 1}}
        await client.merge_patch(CLUSTERS, "my-cluster", NAMESPACE, body, subresource="status")
        told = await world.until(lambda status: any(each["reason"] == "ClusterNotReady" for each in status["conditions"]))
        assert told["phase"] == "Active"
        await client.merge_patch(CLUSTERS, "my-cluster", NAMESPACE, {"status": {"phase": "Running"}}, subresource="status")
        await world.until(lambda status: any(each["reason"] == "ClusterReady" for each in status["conditions"]))
        assert (await world.status("my-cluster", CLUSTERS)) == {"phase": "Running", "readyReplicas": 1}
