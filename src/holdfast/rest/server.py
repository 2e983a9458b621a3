"""HTTP: the routes of the API, who may take them, and the one place where a refusal becomes a reply.

    /api/v1/<collection>                        GET POST
    /api/v1/<collection>/<id>                   GET PUT PATCH DELETE
    /api/v1/<collection>/<id>/action/<action>   POST
    /api/v1/jobs/<id>/logs                      GET
    /api/v1/kubeclusters/<id>/agent             GET its manifest, POST its reports
    /api-docs                                   GET, the OpenAPI document, for everybody

HEAD goes wherever GET goes, OPTIONS everywhere. PUT and PATCH need If-Match, DELETE honours it. A body is 1 MiB at most.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import msgspec
from aiohttp import web

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.documents import href
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection
from holdfast.rest import lists
from holdfast.rest.access import Caller, Gatekeeper
from holdfast.rest.actions import act, logs_of
from holdfast.rest.agents import AgentPages
from holdfast.rest.apikeys import ApikeyPages
from holdfast.rest.errors import RestError, not_found
from holdfast.rest.objectstores import Objectstores
from holdfast.rest.openapi import openapi
from holdfast.rest.query import BadQuery
from holdfast.rest.settings import SettingsPage
from holdfast.rest.state import State
from holdfast.rest.writes import Writer, etags

ROOT: Final = "/api/v1"
LARGEST_BODY: Final = 1 << 20
"""Bytes of a body, which is what aiohttp allows by itself; unpacked ones count as they are unpacked."""

_WORTH_PACKING: Final = 4096
_JSON: Final = "application/json"

_log = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder().encode


class Server:
    """Answers requests. `handle` is the handler of an `aiohttp.web.Server`."""

    def __init__(self, state: State, gate: Gatekeeper, stores: Objectstores, agents: AgentPages) -> None:
        self._state, self._gate, self._stores, self._agents = state, gate, stores, agents
        self._apikeys, self._settings = ApikeyPages(state), SettingsPage(state)
        self._docs = _encode(openapi())

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        try:
            reply = await self._answer(request)
        except RestError as error:
            reply = _error(error)
        except BadQuery as error:
            reply = _error(RestError(400, str(error)))
        except web.HTTPRequestEntityTooLarge:
            reply = _error(RestError(413, f"the body is larger than {LARGEST_BODY} bytes"))
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            reply = _error(RestError(500, "this is a fault of Holdfast: its log says more"))
        if request.method == "HEAD" and reply.body is not None:
            length = len(reply.body) if isinstance(reply.body, bytes) else 0
            reply = web.Response(status=reply.status, headers={**reply.headers, "Content-Length": str(length)})
        return reply

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        path = request.path.rstrip("/")
        if path == "/api-docs":
            _methods(request, "GET")
            return web.Response(body=self._docs, content_type=_JSON)
        if path == "/healthz":
            return web.Response(text="ok")
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            raise RestError(404, f"{request.path}: the API is below {ROOT}, its description at /api-docs")
        caller = await self._gate.caller(request.headers, request.remote or "")
        parts = path[len(ROOT) + 1 :].split("/") if path != ROOT else []
        match parts:
            case []:
                _methods(request, "GET")
                return _plain({"_links": {"child": [{"title": name, "href": href(name)} for name in COLLECTIONS]}})
            case ["users", *_]:
                raise RestError(403, "users are not to be seen with an API key")
            case ["apikeys", *rest]:
                return await self._gated(request, caller, "apikeys", self._apikeys.routes(rest), rest)
            case ["settings"]:
                return await self._gated(request, caller, "settings", self._settings.routes(), [])
            case ["objectstores", "provider-info"]:
                _methods(request, "GET")
                await self._gate.allow(caller, "list", "objectstores")
                return _plain(self._stores.providers(caller.organization))
            case ["jobs", ident, "logs"]:
                if request.method == "OPTIONS":
                    return _options("GET")
                _methods(request, "GET")
                await self._gate.allow(caller, "get", "jobs")
                return _packed(request, _encode(await logs_of(self._state, caller.organization, ident)), {})
            case ["kubeclusters", ident, "agent"]:
                return await self._agent(request, caller, ident)
            case [plural, *rest] if plural in COLLECTIONS and len(rest) in (0, 1, 3):
                return await self._collection(request, caller, COLLECTIONS[plural], rest)
            case _:
                raise RestError(404, f"{request.path}: there is no such resource")

    async def _gated(
        self, request: web.BaseRequest, caller: Caller, plural: str, routes: Mapping[str, Route], rest: list[str]
    ) -> web.Response:
        """Take one of the routes that a page offers."""
        if request.method == "OPTIONS":
            return _options(*routes)
        route = routes.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            raise _not_allowed(request.method, *routes)
        await self._gate.allow(caller, _VERBS[request.method], plural)
        body = await _body(request) if request.method in ("POST", "PUT", "PATCH") else None
        status, document = await route(caller, body)
        return web.Response(status=204) if document is None else _plain(document, status=status)

    async def _agent(self, request: web.BaseRequest, caller: Caller, ident: str) -> web.Response:
        """Serve the manifest of an agent to whoever may change its cluster, and its orders to the agent itself."""
        match request.method:
            case "OPTIONS":
                return _options("GET", "POST")
            case "GET" | "HEAD":
                await self._gate.allow(caller, "update", "kubeclusters")
                part = request.query.get("part", "")
                if part not in ("", "agent"):
                    raise RestError(400, f"part {part!r} is none: leave it out for all, or ask for agent")
                found = await self._agents.manifest(caller.organization, ident, _base(request), whole=not part)
                if (cluster := self._state.find(caller.organization, "kubeclusters", ident)) is not None:
                    await self._agents.announce(cluster.obj, _base(request))
                return web.Response(text=found, content_type="application/yaml")
            case "POST":
                self._gate.allow_agent(caller, ident)
                return _plain(await self._agents.exchange(caller.organization, ident, await _body(request)))
            case _:
                raise _not_allowed(request.method, "GET", "POST")

    async def _collection(
        self, request: web.BaseRequest, caller: Caller, collection: Collection, rest: list[str]
    ) -> web.Response:
        method = request.method
        allowed = _allowed(collection, rest)
        if method == "OPTIONS":
            return _options(*allowed)
        if method not in (*allowed, "HEAD"):
            raise _not_allowed(method, *allowed)
        verb = "run" if len(rest) == 3 else "list" if not rest and method in ("GET", "HEAD") else _VERBS[method]
        await self._gate.allow(caller, verb, collection.plural)
        match rest:
            case []:
                return (
                    await self._create(request, caller, collection)
                    if method == "POST"
                    else self._list(request, caller, collection)
                )
            case [ident]:
                return await self._item(request, caller, collection, ident)
            case [ident, "action", action]:
                return await self._action(request, caller, collection, ident, action)
            case _:
                raise RestError(404, f"{request.path}: there is no such resource")

    def _list(self, request: web.BaseRequest, caller: Caller, collection: Collection) -> web.Response:
        query = dict(request.query)
        wanted = lists.asked(query)
        index = self._state.index(caller.organization, collection.plural)
        page = index.page(wanted.where, wanted.order, (wanted.page - 1) * wanted.results, wanted.results)
        found = [lists.rendered(self._state, caller.organization, collection, entry, wanted) for entry in page.entries]
        body = lists.reply(collection, wanted, page, query, found)
        return _packed(request, body, {"X-Total-Count": str(page.total)})

    async def _item(self, request: web.BaseRequest, caller: Caller, collection: Collection, ident: str) -> web.Response:
        writer = Writer(self._state, caller.organization, collection)
        if_match = request.headers.get("If-Match", "")
        match request.method:
            case "PUT" | "PATCH":
                if self._state.find(caller.organization, collection.plural, ident) is None:
                    raise not_found(collection.plural, ident)
                if not if_match:
                    raise RestError(428, "header If-Match is missing: send the _etag of the document that you read")
                change = writer.replace if request.method == "PUT" else writer.patch
                body = await _body(request)
                await self._stores.check(caller.organization, collection, body, ident, patch=request.method == "PATCH")
                entry = await change(ident, if_match, body)
                return _written(entry.document, 200)
            case "DELETE":
                await writer.delete(ident, if_match)
                return web.Response(status=204)
            case _:
                return self._read(request, caller, collection, ident)

    def _read(self, request: web.BaseRequest, caller: Caller, collection: Collection, ident: str) -> web.Response:
        entry = self._state.find(caller.organization, collection.plural, ident)
        if entry is None:
            raise not_found(collection.plural, ident)
        tag = entry.document["_etag"]
        headers = {"ETag": f'"{tag}"', "Last-Modified": entry.document["_updated"]}
        if tag in etags(request.headers.get("If-None-Match", "")) and not collection.written:
            return web.Response(status=304, headers=headers)
        query: Mapping[str, str] = request.query
        wanted, embedded = lists.projection_of(query), lists.embedded_of(query)
        if not wanted and not embedded:
            return _packed(request, entry.body, headers)
        chosen = lists.shown(self._state, caller.organization, collection, entry.document, wanted, embedded)
        return _packed(request, _encode(chosen), headers)

    async def _create(self, request: web.BaseRequest, caller: Caller, collection: Collection) -> web.Response:
        body = await _body(request)
        writer = Writer(self._state, caller.organization, collection)
        if isinstance(body, list):
            made = await writer.create_all(cast("list[Any]", body))
            items = [{**entry.document, "_status": "OK"} for entry in made]
            return _plain({"_status": "OK", "_items": items}, status=201)
        await self._stores.check(caller.organization, collection, body, "")
        entry = await writer.create(body)
        if collection.plural == "kubeclusters":
            entry = await self._agents.announce(entry.obj, _base(request)) or entry
        return _written(entry.document, 201, {"Location": f"{ROOT}/{collection.plural}/{entry.document['_id']}"})

    async def _action(
        self, request: web.BaseRequest, caller: Caller, collection: Collection, ident: str, action: str
    ) -> web.Response:
        body = await _body(request) if request.can_read_body else None
        idempotency = request.headers.get("Idempotency-Key", "")
        done = await act(self._state, caller.organization, collection, ident, action, body, idempotency)
        headers = {"Location": f"{ROOT}/jobs/{done.job}"} if done.job else {}
        return _plain(done.document, headers=headers)


Route = Callable[[Caller, Any], Awaitable[tuple[int, Object | None]]]
"""One method of a page: the caller and the body in; a status and a document out, None for an empty reply."""

_VERBS: Final[Mapping[str, str]] = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


def _base(request: web.BaseRequest) -> str:
    """Return where the client has found the API, and so will an agent."""
    return f"https://{request.host}{ROOT}"


def _allowed(collection: Collection, rest: list[str]) -> tuple[str, ...]:
    if len(rest) == 3:
        return ("POST",)
    if not rest:
        return ("GET", "POST") if collection.written else ("GET",)
    written = ("PUT", "PATCH") if collection.written else ()
    return ("GET", *written, *(("DELETE",) if collection.deletable else ()))


def _methods(request: web.BaseRequest, *allowed: str) -> None:
    if request.method not in (*allowed, "HEAD"):
        raise _not_allowed(request.method, *allowed)


def _not_allowed(method: str, *allowed: str) -> RestError:
    return RestError(405, f"{method} is not for this resource", headers={"Allow": _allow(*allowed)})


def _allow(*allowed: str) -> str:
    return ", ".join([*allowed, *(["HEAD"] if "GET" in allowed else []), "OPTIONS"])


def _options(*allowed: str) -> web.Response:
    return web.Response(status=200, headers={"Allow": _allow(*allowed)})


async def _body(request: web.BaseRequest) -> Any:
    """Read a JSON body. Raises RestError 400, 415."""
    kind = request.content_type
    if kind not in (_JSON, "application/octet-stream"):
        raise RestError(415, f"the body is {kind}: send application/json")
    data = await request.read()
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RestError(400, f"the body is not JSON: {error}") from None


def _error(error: RestError) -> web.Response:
    return _plain(error.body(), status=error.status, headers=error.headers)


def _written(document: Object, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    tag = {"ETag": f'"{document["_etag"]}"'}
    return _plain({**document, "_status": "OK"}, status=status, headers={**tag, **(headers or {})})


def _plain(document: Object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=_encode(document), content_type=_JSON, headers=dict(headers or {}))


def _packed(request: web.BaseRequest, body: bytes, headers: Mapping[str, str]) -> web.Response:
    """Return a reply, compressed when the client takes that and it is worth the work."""
    found = {**headers, "Vary": "Accept-Encoding"}
    if len(body) >= _WORTH_PACKING and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        found["Content-Encoding"] = "gzip"
    return web.Response(body=body, content_type=_JSON, headers=found)
