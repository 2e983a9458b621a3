"""The endpoint controller: keeps the Endpoints and EndpointSlices of every Service that selects pods."""

import contextlib

from holdfast.core.objects import Object
from holdfast.embedded.controllers import endpoint_decision as decision
from holdfast.embedded.controllers.pods import by_namespace
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import ENDPOINTS, ENDPOINTSLICES
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, NotFound
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of
from holdfast.kube.resource import Resource


class EndpointController:
    """Watches Services and pods; writes what differs."""

    def __init__(self, client: Client, services: Informer, pods: Informer, slices: Informer, endpoints: Informer) -> None:
        self._client = client
        self._services = services
        self._pods = pods
        self._slices = slices
        self._endpoints = endpoints
        services.add_index("namespace", by_namespace)
        pods.add_index("namespace", by_namespace)
        slices.add_index("service", _service_of)
        self.controller = Controller("endpoints", self.reconcile, workers=2)
        self.controller.watches(services, lambda service: [key_of(service)])
        self.controller.watches(pods, self._served_by)
        self.controller.watches(slices, lambda each: [_key(name) for name in _service_of(each)])

    async def reconcile(self, key: Key) -> Result:
        """Bring what is behind one Service up to date."""
        service = self._services.get(*key)
        present = {each["metadata"]["name"]: each for each in self._slices.by_index("service", "/".join(key))}
        if service is None or not mapping(service, "spec").get("selector"):
            if service is None:
                await self._remove(ENDPOINTS, key[1], key[0], present=self._endpoints.get(*key) is not None)
                await self._remove_all(present)
            return Result()
        pods = self._pods.by_index("namespace", key[0])
        for wanted in decision.slices(service, pods):
            await self._write(ENDPOINTSLICES, present.pop(wanted["metadata"]["name"], None), wanted)
        await self._remove_all(present)
        await self._write(ENDPOINTS, self._endpoints.get(*key), decision.endpoints(service, pods))
        return Result()

    def _served_by(self, pod: Object) -> list[Key]:
        services = self._services.by_index("namespace", pod["metadata"]["namespace"])
        return [key_of(service) for service in services if decision.selects(service, pod)]

    async def _write(self, resource: Resource, present: Object | None, wanted: Object) -> None:
        meta = wanted["metadata"]
        content = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind", "metadata")}
        if present is None:
            with contextlib.suppress(AlreadyExists):
                await self._client.create(resource, wanted)
        elif any(present.get(key) != value for key, value in content.items()):
            with contextlib.suppress(NotFound):
                await self._client.merge_patch(resource, meta["name"], meta["namespace"], content)

    async def _remove_all(self, slices: dict[str, Object]) -> None:
        for name, each in slices.items():
            if mapping(each, "metadata", "labels").get(decision.MANAGED_BY) == decision.MANAGER:
                await self._remove(ENDPOINTSLICES, name, each["metadata"]["namespace"], present=True)

    async def _remove(self, resource: Resource, name: str, namespace: str, *, present: bool) -> None:
        if present:
            with contextlib.suppress(NotFound):
                await self._client.delete(resource, name, namespace)


def _service_of(each: Object) -> list[str]:
    name = mapping(each, "metadata", "labels").get(decision.SERVICE_NAME)
    return [f"{each['metadata']['namespace']}/{name}"] if name else []


def _key(text: str) -> Key:
    namespace, _, name = text.partition("/")
    return namespace, name
