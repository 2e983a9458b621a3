"""The Kubernetes API for movers that work through it step by step: blocking calls, by the Job's own service account."""

import asyncio
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from holdfast.core.objects import Object
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig, ConfigError, in_cluster
from holdfast.kube.discovery import Discovery, discover
from holdfast.kube.errors import AlreadyExists, ApiError, Forbidden, NotFound
from holdfast.kube.resource import Resource
from holdfast.movers.context import MoverError

__all__ = ["AlreadyExists", "ApiError", "Cluster", "Discovery", "Forbidden", "NotFound", "Resource", "own_cluster", "refused"]

T = TypeVar("T")

MANAGER: Final = "holdfast-mover"


def own_cluster() -> ClusterConfig:
    """Return the cluster whose pod this is. Raises MoverError."""
    try:
        return in_cluster()
    except ConfigError as error:
        raise MoverError("NotInCluster", str(error), "the Job needs its service account's token mounted") from error


class Cluster:
    """One API server. A context manager; the methods raise ApiError."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self.client = self.run(_made(self._config))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.run(self.client.close())
        self._runner.close()

    def discover(self) -> Discovery:
        """Return what the server serves."""
        return self.run(discover(self.client))

    def list(self, resource: Resource, namespaces: Sequence[str] = ()) -> list[Object]:
        """Return the objects of a resource, of all namespaces unless some are named."""
        if not resource.namespaced or not namespaces:
            return self.run(self.client.list(resource)).items
        return [obj for place in namespaces for obj in self.run(self.client.list(resource, place)).items]

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Read one object."""
        return self.run(self.client.get(resource, name, namespace or None))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out work on `client`, for what is better done side by side."""
        return self._runner.run(work)


def refused(error: ApiError, what: str) -> MoverError:
    """Return a refusal of the API server as a failure."""
    hint = "give the Job's service account this right" if isinstance(error, Forbidden) else ""
    return MoverError(f"Api{error.reason or 'Error'}", f"{what}: {error.message}", hint)


async def _made(config: ClusterConfig) -> Client:
    return Client(config, field_manager=MANAGER)
