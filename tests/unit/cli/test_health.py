"""What an operator answers to probes and to Prometheus."""

import socket
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from holdfast.cli.errors import HoldfastError
from holdfast.cli.health import STUCK, Health, OperatorMetrics, served
from holdfast.kube.controller import Controller


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def asked(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


def engine(age: float) -> Any:
    async def nothing(_: tuple[str, str]) -> None:
        return None

    controller = Controller("Thing", nothing)
    controller.oldest = lambda: age
    return SimpleNamespace(controllers_by_name=lambda: {"Thing": controller}, budget=lambda: (2, 5))


async def test_it_is_ready_once_its_caches_are_filled() -> None:
    health, address = Health(), free_address()
    async with served(address, health):
        assert await asked(address, "/readyz") == (503, "the API server has not been reached yet\n")
        health.reached, health.engine = True, engine(0)
        assert await asked(address, "/readyz") == (503, "the caches are not filled yet\n")
        health.synced = True
        assert (await asked(address, "/readyz"))[0] == 200


async def test_a_stuck_pass_is_not_alive() -> None:
    health, address = Health(), free_address()
    async with served(address, health):
        assert await asked(address, "/livez") == (200, "ok\n")
        health.engine = engine(STUCK + 1)
        status, text = await asked(address, "/livez")
        assert (status, text) == (503, "Thing has worked on one object for 601 s\n")


async def test_prometheus_is_told_of_queues_requests_and_leadership() -> None:
    health, address = Health(), free_address()
    client = SimpleNamespace(sent={"GET": 7})
    health.registry.register(OperatorMetrics(health, cast(Any, client), lambda: 1.0))
    health.engine = engine(0)
    async with served(address, health):
        status, text = await asked(address, "/metrics")
    assert status == 200
    for line in (
        "holdfast_leader 1.0",
        'holdfast_api_requests_total{method="GET"} 7.0',
        'holdfast_queue_depth{kind="Thing"} 0.0',
    ):
        assert line in text
    assert "holdfast_movers_waiting 5.0" in text


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", "127.0.0.1:x"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(HoldfastError, match="HOST:PORT"):
        async with served(address, Health()):
            pass
