"""The verbs of the Kubernetes API on plain objects, by the names kubectl uses.

Reads, deletes and applies survive a lost connection; creates are repeated only under a fixed name, and then
AlreadyExists reaches the caller, who knows whether that is good news. 409 is never retried here: whoever wrote must
read again. All writes carry the field manager of this client.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from holdfast.kube.codec import CodecError, WatchEvent, decode, encode
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import Gone, NotFound, unreachable
from holdfast.kube.execution import EXEC_PROTOCOLS, Ended, Output, exec_query, follow
from holdfast.kube.objects import Object
from holdfast.kube.resource import Resource
from holdfast.kube.transport import Call, Gate, Repeat, Transport
from holdfast.kube.watching import watch_events

MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"


class Listing(msgspec.Struct, frozen=True):
    """The objects of a list and the version from which a watch continues it."""

    items: list[Object]
    resource_version: str


class Page(msgspec.Struct, frozen=True):
    """A part of a list; a `first` one begins it, or begins it anew."""

    items: list[Object]
    resource_version: str
    first: bool


class Client:
    """A client of one API server. Use as an async context manager, or call `close`."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        field_manager: str,
        max_in_flight: int = 32,
        gate: Gate | None = None,
        transport: Transport | None = None,
    ):
        self.config = config
        self.field_manager = field_manager
        self._gate = gate
        self._owned = transport is None
        self._transport = transport or Transport(config, max_in_flight=max_in_flight, user_agent=f"holdfast/{field_manager}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a client made by `gated` leaves them to the one it came from."""
        if self._owned:
            await self._transport.close()

    def gated(self, gate: Gate, *, field_manager: str = "") -> "Client":
        """Return a client on the same connections whose writes first pass `gate`, which raises when writing is over."""
        return Client(self.config, field_manager=field_manager or self.field_manager, gate=gate, transport=self._transport)

    @property
    def sent(self) -> Counter[str]:
        """Requests sent so far by HTTP method, repeats included: what a test of 'no write on a no-op pass' counts."""
        return self._transport.sent

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> Object:
        """Read one object. Raises NotFound."""
        return await self._decoded(Call(method="GET", path=res.path(namespace, name)))

    async def list(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        metadata_only: bool = False,
    ) -> Listing:
        """Read a whole collection in pages of `limit`; without a namespace, of all namespaces.

        With `metadata_only` the server sends nothing else of the objects.
        """
        items: list[Object] = []
        version, selectors = "", {"label_selector": label_selector, "field_selector": field_selector}
        async for page in self.pages(res, namespace, **selectors, limit=limit, metadata_only=metadata_only):
            if page.first:
                items.clear()
            items.extend(page.items)
            version = page.resource_version
        return Listing(items, version)

    async def pages(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        metadata_only: bool = False,
    ) -> AsyncGenerator[Page, None]:
        """Yield a collection page by page, so that nobody needs to hold all of it at once; parameters as of `list`.

        When the server has forgotten the version of the pages so far, all of it comes once more, as one page that is `first`.
        """
        accept = _METADATA.format("PartialObjectMetadataList") if metadata_only else _PLAIN
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, limit=str(limit))
        path = res.path(namespace)
        while True:
            try:
                page = await self._decoded(Call(method="GET", path=path, query=query, accept=accept))
            except Gone:
                if "continue" not in query:
                    raise
                query = _query(labelSelector=label_selector, fieldSelector=field_selector)
                continue
            meta: Object = page.get("metadata") or {}
            items = [_typed(item, res) for item in page.get("items") or ()]
            yield Page(items, meta.get("resourceVersion", ""), "continue" not in query)
            if not meta.get("continue"):
                return
            query = {**query, "continue": meta["continue"]}

    async def create(self, res: Resource, obj: Object, *, namespace: str | None = None, dry_run: bool = False) -> Object:
        """Create an object. Raises AlreadyExists, also when a lost first attempt of this very call had succeeded."""
        meta: Object = obj.get("metadata") or {}
        call = Call(
            method="POST",
            path=res.path(namespace or meta.get("namespace") or None) if res.namespaced else res.path(),
            query=self._write_query(dry_run=dry_run),
            body=encode(_typed(obj, res)),
            repeat=Repeat.NAMED if meta.get("name") else Repeat.ONCE,
        )
        return await self._write(call)

    async def apply(
        self, res: Resource, obj: Object, *, subresource: str = "", force: bool = True, dry_run: bool = False
    ) -> Object:
        """Server-side apply: the fields given are ours, those we gave before and no longer give are removed."""
        meta = obj["metadata"]
        query = self._write_query(dry_run=dry_run) | {"force": "true" if force else "false"}
        path = res.path(meta.get("namespace") or None, meta["name"], subresource)
        return await self._write(
            Call(method="PATCH", path=path, query=query, body=encode(_typed(obj, res)), content_type=APPLY)
        )

    async def merge_patch(
        self,
        res: Resource,
        name: str,
        namespace: str | None,
        body: Object,
        *,
        subresource: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Merge `body` into the object; null removes. With `resource_version`, Conflict when the object has changed since."""
        if resource_version:
            body = {**body, "metadata": {**(body.get("metadata") or {}), "resourceVersion": resource_version}}
        path = res.path(namespace, name, subresource)
        query = self._write_query(dry_run=dry_run)
        return await self._write(Call(method="PATCH", path=path, query=query, body=encode(body), content_type=MERGE))

    async def json_patch(
        self,
        res: Resource,
        name: str,
        namespace: str | None,
        body: Sequence[Object],
        *,
        subresource: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Carry out the operations in order. With `resource_version`, they fail when the object has changed since."""
        if resource_version:
            body = [{"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}, *body]
        call = Call(
            method="PATCH",
            path=res.path(namespace, name, subresource),
            query=self._write_query(dry_run=dry_run),
            body=encode(body),
            content_type=JSON_PATCH,
            repeat=Repeat.NAMED if resource_version else Repeat.ONCE,
        )
        return await self._write(call)

    async def replace(self, res: Resource, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        """Replace the whole object. Raises Conflict when its resourceVersion is given and old. Never for kinds of others."""
        meta = obj["metadata"]
        call = Call(
            method="PUT",
            path=res.path(meta.get("namespace") or None, meta["name"], subresource),
            query=self._write_query(dry_run=dry_run),
            body=encode(_typed(obj, res)),
            repeat=Repeat.NAMED,
        )
        return await self._write(call)

    async def delete(
        self,
        res: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
    ) -> None:
        """Delete one object. Raises NotFound; Conflict when `uid` or `resource_version` is given and differs."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid or resource_version:
            options["preconditions"] = _query(uid=uid, resourceVersion=resource_version)
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        call = Call(method="DELETE", path=res.path(namespace, name), body=encode(options))
        try:
            await self._transport.request(call, self._gate)
        except NotFound as error:
            if not error.repeated:
                raise

    def watch(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        opened: Callable[[], None] | None = None,
        metadata_only: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Follow changes after `resource_version` until the server ends the stream.

        That is normal: go on from the last version seen. Yields ADDED, MODIFIED, DELETED and BOOKMARK.
        Raises Gone when the version is too old, Unavailable when the line breaks.
        `opened` is called once the server has accepted the watch; `metadata_only` as for `list`.
        """
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, resourceVersion=resource_version)
        accept = _METADATA.format("PartialObjectMetadata") if metadata_only else _PLAIN
        return watch_events(self._transport, res, res.path(namespace), query, opened=opened, accept=accept)

    async def logs(
        self, namespace: str, pod: str, container: str = "", *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Read a container's log in chunks as they come; with `follow`, until the container ends."""
        query = _query(container=container, follow="true" if follow else "")
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        call = Call(method="GET", path=f"{_POD.path(namespace, pod)}/log", query=query)
        response = await self._transport.stream(call, read_timeout=None if follow else 60.0)
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(call.asked, error) from error
        finally:
            response.release()

    async def exec(
        self, pod: str, namespace: str, command: Sequence[str], *, container: str = "", output: Output | None = None
    ) -> Ended:
        """Run a command in a container of a running pod until it ends; see `kube.execution`. Raises ApiError, Unavailable."""
        query = exec_query(command, container)
        call = Call(method="GET", path=f"{_POD.path(namespace, pod)}/exec", repeat=Repeat.ONCE)
        socket = await self._transport.websocket(call, EXEC_PROTOCOLS, query)
        return await follow(socket, call.asked, output or (lambda _channel, _data: None))

    async def post_raw(self, path: str, body: Object) -> Object:
        """POST to a path that is no collection: a binding, a TokenRequest, a TokenReview. Never repeated once it was sent."""
        return await self._write(Call(method="POST", path=path, body=encode(body), repeat=Repeat.ONCE))

    async def get_raw(self, path: str) -> bytes:
        """GET any path, such as /version or /openapi/v3."""
        return await self._transport.request(Call(method="GET", path=path))

    async def _write(self, call: Call) -> Object:
        return _object(await self._transport.request(call, self._gate), call)

    async def _decoded(self, call: Call) -> Object:
        return _object(await self._transport.request(call), call)

    def _write_query(self, *, dry_run: bool) -> dict[str, str]:
        return _query(fieldManager=self.field_manager, dryRun="All" if dry_run else "")


_PLAIN: Final = "application/json"
_METADATA: Final = "application/json;as={};g=meta.k8s.io;v=v1"
_POD: Final = Resource("", "v1", "Pod", "pods")


def _object(body: bytes, call: Call) -> Object:
    try:
        return decode(body)
    except CodecError as error:
        raise unreachable(call.asked, error) from None


def _query(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _typed(obj: Object, res: Resource) -> Object:
    """Return the object with its apiVersion and kind, which the items of a list lack."""
    if "kind" in obj and "apiVersion" in obj:
        return obj
    return {"apiVersion": res.api_version, "kind": res.kind, **obj}
