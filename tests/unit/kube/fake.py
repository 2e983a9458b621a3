"""A small API server in this process: list, watch and write with the faults that real ones show.

It knows no schemas and no kinds. A fault is scripted for the next request that matches: a dropped connection (before
or after the work was done), or a status. Tests ask it afterwards what it saw.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig

Object = dict[str, Any]


class Fault:
    """What goes wrong: `status` answers it, `drop` cuts the line, `after` lets the work be done first."""

    def __init__(
        self,
        status: int = 0,
        *,
        reason: str = "",
        drop: bool = False,
        after: bool = False,
        headers: dict[str, str] | None = None,
    ):
        self.status, self.reason, self.drop, self.after, self.headers = status, reason, drop, after, headers or {}


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, str, str, Object]] = []
        self.version = 1
        self.oldest = 0
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.tokens: list[str] = []
        self.faults: list[tuple[Callable[[web.Request], bool], Fault]] = []
        self.hold: asyncio.Event | None = None
        self.active = self.most_active = 0
        self._changed = asyncio.Condition()
        self._streams: list[asyncio.Transport] = []
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeApi"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = site.name if not site.name.endswith(":0") else f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self.break_watches()
            await runner.cleanup()

    def client(self, **options: Any) -> Client:
        return Client(ClusterConfig(server=self.url, token="t0ken"), field_manager="test", **options)

    def fail(self, method: str, fault: Fault, *, watch: bool = False) -> None:
        """The next request of this method (watches apart) meets the fault."""
        self.faults.append((lambda request: request.method == method and ("watch" in request.query) is watch, fault))

    def count(self, method: str, *, watch: bool = False) -> int:
        return sum(1 for name, _, query in self.requests if name == method and ("watch" in query) is watch)

    async def put(self, collection: str, obj: Object) -> Object:
        """Write an object behind the client's back."""
        path = self._path(collection, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        return await self._store(path, obj)

    async def drop(self, collection: str, namespace: str, name: str) -> None:
        await self._remove(self._path(collection, namespace, name))

    def compact(self) -> None:
        """Forget all history: watches from older versions get 410."""
        self.oldest = self.version
        self.history.clear()

    def break_watches(self) -> None:
        for line in list(self._streams):
            line.abort()

    async def bookmark(self) -> None:
        self.version += 1
        await self._publish("BOOKMARK", "", {"metadata": {"resourceVersion": str(self.version)}})

    def _path(self, collection: str, namespace: str, name: str) -> str:
        root, _, plural = collection.rpartition("/")
        return f"{root}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{collection}/{name}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        self.tokens.append(request.headers.get("Authorization", ""))
        fault = next((item for item in self.faults if item[0](request)), None)
        if fault is not None:
            self.faults.remove(fault)
            if not fault[1].after:
                return self._break(request, fault[1])
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            if self.hold is not None:
                await self.hold.wait()
            answer = await self._watch(request) if "watch" in request.query else await self._answer(request)
        finally:
            self.active -= 1
        return self._break(request, fault[1]) if fault is not None else answer

    def _break(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.drop:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        return _status(fault.status, fault.reason, "scripted fault", fault.headers)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        data: Any = json.loads(body) if body else {}
        path = request.path.removesuffix("/status")
        single = path in self.objects or _looks_single(path)
        if request.method == "GET" and not single:
            return self._list(request)
        if request.method == "POST":
            return await self._create(request.path, data)
        present = self.objects.get(path)
        if request.method == "PATCH" and "apply" in request.content_type and present is None:
            return web.json_response(await self._store(path, data))
        if present is None:
            return _status(404, "NotFound", f"{path} not found")
        if request.method == "GET":
            return web.json_response(present)
        if request.method == "DELETE":
            return await self._delete(path, present, data)
        wanted = data.get("metadata", {}).get("resourceVersion") if isinstance(data, dict) else None
        if wanted and wanted != present["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        merged = data if request.method == "PUT" else _merge(present, data)
        return web.json_response(await self._store(path, merged))

    async def _create(self, collection: str, data: Object) -> web.StreamResponse:
        path = f"{collection}/{data['metadata'].get('name') or 'generated'}"
        if path in self.objects:
            return _status(409, "AlreadyExists", f"{path} already exists")
        return web.json_response(await self._store(path, data), status=201)

    async def _delete(self, path: str, present: Object, options: Object) -> web.StreamResponse:
        wanted = options.get("preconditions", {}).get("uid")
        if wanted and wanted != present["metadata"].get("uid"):
            return _status(409, "Conflict", "the UID in the precondition does not match")
        await self._remove(path)
        return web.json_response({"kind": "Status", "status": "Success"})

    def _list(self, request: web.Request) -> web.StreamResponse:
        start = int(request.query.get("continue", "0"))
        limit = int(request.query.get("limit", "0")) or 10**9
        found = [obj for path, obj in sorted(self.objects.items()) if _in_collection(path, request.path)]
        meta: Object = {"resourceVersion": str(self.version)}
        if start + limit < len(found):
            meta["continue"] = str(start + limit)
        items = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in found[start : start + limit]]
        return web.json_response({"kind": "List", "metadata": meta, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        seen = int(request.query["resourceVersion"])
        if seen < self.oldest:
            return _status(410, "Expired", "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        line = request.transport
        assert isinstance(line, asyncio.Transport)
        self._streams.append(line)
        try:
            while True:
                for version, type_, path, obj in [entry for entry in self.history if entry[0] > seen]:
                    seen = version
                    if type_ == "BOOKMARK" or _in_collection(path, request.path):
                        await response.write(json.dumps({"type": type_, "object": obj}).encode() + b"\n")
                async with self._changed:
                    if not self.history or self.history[-1][0] <= seen:
                        await self._changed.wait()
        except (ConnectionResetError, asyncio.CancelledError):
            return response
        finally:
            self._streams.remove(line)

    async def _store(self, path: str, obj: Object) -> Object:
        self.version += 1
        meta = {"uid": f"uid-{self.version}", **obj.get("metadata", {}), "resourceVersion": str(self.version)}
        type_ = "MODIFIED" if path in self.objects else "ADDED"
        stored = {**obj, "metadata": meta}
        self.objects[path] = stored
        await self._publish(type_, path, stored)
        return stored

    async def _remove(self, path: str) -> None:
        gone = self.objects.pop(path)
        self.version += 1
        await self._publish("DELETED", path, {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}})

    async def _publish(self, type_: str, path: str, obj: Object) -> None:
        async with self._changed:
            self.history.append((self.version, type_, path, obj))
            self._changed.notify_all()


def _looks_single(path: str) -> bool:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return len(parts) >= 2


def _in_collection(path: str, collection: str) -> bool:
    parent = path.rpartition("/")[0]
    if parent == collection:
        return True
    root, _, plural = collection.rpartition("/")
    return parent.startswith(f"{root}/namespaces/") and parent.endswith(f"/{plural}")


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _status(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


@asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:
    """Run coroutines beside the test and cancel them at its end."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    """Wait for something to become true; fail after a deadline."""
    deadline = time.monotonic() + within
    for _ in itertools.count():
        if condition():
            return
        assert time.monotonic() < deadline, "this did not become true in time"
        await asyncio.sleep(0.005)
