"""What an operator tells those who watch it, over plain HTTP: `/livez`, `/readyz`, `/metrics`.

Ready means that its caches are filled, whether it leads or stands by. Alive means that the loop turns and that no pass has
been at work for longer than its time limit allows: a process that only looks alive is started anew. Nothing here tells of
secrets.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from holdfast.cli.errors import HoldfastError
from holdfast.engine.metrics import RunMetrics
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.controller import TIME_LIMIT

STUCK: Final = 2 * TIME_LIMIT
"""Seconds after which a pass that has not ended counts as stuck: its own limit should have ended it long before."""


class Health:
    """The state of one operator, as its parts set it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = RunMetrics(self.registry)
        self.engine: Engine | None = None
        self.reached = False
        self.synced = False

    def ready(self) -> str:
        """Return what is not ready; empty when everything is."""
        if not self.reached:
            return "the API server has not been reached yet"
        return "" if self.synced else "the caches are not filled yet"

    def alive(self) -> str:
        """Return what is stuck; empty when nothing is."""
        if self.engine is None:
            return ""
        oldest = {name: each.oldest() for name, each in self.engine.controllers_by_name().items()}
        stuck = [f"{name} has worked on one object for {age:.0f} s" for name, age in oldest.items() if age > STUCK]
        return "; ".join(stuck)


class OperatorMetrics(Collector):
    """What is read when somebody scrapes: queues, passes, requests, leadership."""

    def __init__(self, health: Health, client: Client, share: Callable[[], float]) -> None:
        self._health, self._client, self._share = health, client, share

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this moment."""
        share = self._share()
        yield GaugeMetricFamily("holdfast_leader", "Whether this process may write.", value=float(share > 0))
        yield GaugeMetricFamily("holdfast_share", "Which part of all namespaces this process acts for.", value=share)
        requests = CounterMetricFamily("holdfast_api_requests", "Requests to the API server.", labels=["method"])
        for method, count in self._client.sent.items():
            requests.add_metric([method], count)
        yield requests
        if self._health.engine is None:
            return
        controllers = self._health.engine.controllers_by_name()
        depth = GaugeMetricFamily("holdfast_queue_depth", "Objects that wait for a pass.", labels=["kind"])
        passes = CounterMetricFamily("holdfast_passes", "Passes over objects.", labels=["kind"])
        failures = CounterMetricFamily("holdfast_pass_failures", "Passes that ended in an error.", labels=["kind"])
        seconds = CounterMetricFamily("holdfast_pass_seconds", "Time spent in passes.", labels=["kind"])
        for kind, controller in controllers.items():
            depth.add_metric([kind], len(controller.queue))
            passes.add_metric([kind], controller.stats.passes)
            failures.add_metric([kind], controller.stats.failures)
            seconds.add_metric([kind], controller.stats.seconds)
        yield from (depth, passes, failures, seconds)
        active, waiting = self._health.engine.budget()
        yield GaugeMetricFamily("holdfast_movers_active", "Mover Jobs under way.", value=active)
        yield GaugeMetricFamily("holdfast_movers_waiting", "Mover Jobs that wait for a free slot.", value=waiting)


@contextlib.asynccontextmanager
async def served(address: str, health: Health) -> AsyncGenerator[None]:
    """Serve while the block runs. `address` is HOST:PORT; empty serves nothing. Raises HoldfastError for a bad one."""
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise HoldfastError(f"--listen {address}: give HOST:PORT, such as 0.0.0.0:8080")
    runner = web.AppRunner(_application(health), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]") or "0.0.0.0", int(port)).start()
        except OSError as error:
            raise HoldfastError(f"--listen {address} can't be served: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()


def _application(health: Health) -> web.Application:
    def judged(judge: Callable[[], str]) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            problem = judge()
            return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

        return answer

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(health.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/livez", judged(health.alive))  # pyright: ignore[reportArgumentType]
    application.router.add_get("/readyz", judged(health.ready))  # pyright: ignore[reportArgumentType]
    application.router.add_get("/metrics", metrics)
    return application
