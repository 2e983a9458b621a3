"""From an HTTP request to the handler that answers it, and back.

Authentication comes first; only health checks are open. What handlers raise becomes a Status here and nowhere else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web

from holdfast.embedded.apiserver import discovery, evictions, impersonation, openapi, podexec, reviews, subresources
from holdfast.embedded.apiserver.api import Answer, Api, Call, resolve
from holdfast.embedded.apiserver.auth import User
from holdfast.embedded.apiserver.deletion import delete, delete_collection
from holdfast.embedded.apiserver.door import Ask, Reply, quoted_warning, unexpected
from holdfast.embedded.apiserver.errors import StatusError, bad_request, method_not_allowed, no_such_path
from holdfast.embedded.apiserver.patching import patch
from holdfast.embedded.apiserver.podlog import LogProxy, chunks_of
from holdfast.embedded.apiserver.rbac import Act
from holdfast.embedded.apiserver.reads import get, list_objects, render
from holdfast.embedded.apiserver.request import (
    APPLY,
    JSON,
    JSON_PATCH,
    MAX_BODY,
    MERGE,
    STRATEGIC,
    Head,
    Query,
    Route,
    parse_accept,
    parse_route,
    read_json,
)
from holdfast.embedded.apiserver.selectors import only_name
from holdfast.embedded.apiserver.watch import Watch
from holdfast.embedded.apiserver.writes import create, update
from holdfast.embedded.upgrade import SPDY, Upgrade
from holdfast.kube.codec import encode

_log = logging.getLogger(__name__)
_HEALTH: Final = ("healthz", "livez", "readyz")
_VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_WRITE_SECONDS: Final = 30.0
_STREAMED: Final = frozenset({"log", *podexec.CALLS})
_PLAIN_BODIES: Final = frozenset({JSON, MERGE, JSON_PATCH, STRATEGIC, APPLY})
"""What a body may be to be read as it comes; protobuf is turned into JSON on the long way."""

Handler = Callable[[Api, Call], Awaitable[Answer]]

_SUBRESOURCES: Final[dict[tuple[str, str], Handler]] = {
    ("create", "binding"): subresources.bind,
    ("create", "eviction"): evictions.evict,
    ("create", "token"): subresources.token,
    ("get", "scale"): subresources.scale,
    ("update", "scale"): subresources.scale,
    ("patch", "scale"): subresources.scale,
    ("update", "finalize"): subresources.finalize,
    ("update", "status"): update,
    ("patch", "status"): patch,
}
_OBJECTS: Final[dict[str, Handler]] = {"update": update, "patch": patch, "delete": delete}
_COLLECTIONS: Final[dict[str, Handler]] = {"create": create, "delete": delete_collection}


def _json(body: bytes, code: int = 200, media: str = JSON, warnings: Iterable[str] = ()) -> web.Response:
    response = web.Response(body=body, status=code, headers={"Content-Type": media, "Cache-Control": "no-cache, private"})
    for text in warnings:
        response.headers.add("Warning", quoted_warning(text))
    return response


def _act(verb: str, route: Route, query: Query) -> Act:
    """What a request on a resource does, as roles name it (Kubernetes' authorization reference, request verbs)."""
    name = route.name
    if not route.sub and (verb == "get" or (verb == "delete" and not name)):
        if verb == "delete":
            verb = "deletecollection"
        elif query.flag("watch"):
            verb = "watch"
        elif not name:
            verb = "list"
        name = name or only_name(query.text("fieldSelector"))
    resource = f"{route.plural}/{route.sub}" if route.sub else route.plural
    ns = route.ns or (route.name if route.plural == "namespaces" and not route.group else "")
    return Act(verb, route.group, resource, ns, name)


class Front:
    """The request handler of one server."""

    def __init__(self, api: Api, logs: LogProxy, url: Callable[[], str]) -> None:
        self._api = api
        self._logs = logs
        self._url = url
        self._openapi = openapi.Documents(api.registry)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises but for cancellation."""
        try:
            return await self._answer(request)
        except StatusError as error:
            response = _json(encode(error.status()), error.code)
            if error.code == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            if error.retry_after:
                response.headers["Retry-After"] = str(error.retry_after)
            return response
        except (ConnectionError, asyncio.CancelledError):
            raise
        except web.HTTPException as error:
            return _json(encode(StatusError(error.status, "BadRequest", error.reason).status()), error.status)
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return _json(encode(unexpected().status()), 500)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.strip("/")
        first = path.partition("/")[0]
        if first in _HEALTH:
            return web.Response(text="ok")
        if path == "version" and request.method in ("GET", "HEAD"):
            return _json(encode(discovery.version()))
        user = self._api.auth.caller(request.headers.get("Authorization", ""))
        user = impersonation.acting(request.headers, user, self._api.authorizer)
        if first in ("api", "apis") and path.count("/") >= (2 if first == "api" else 3):
            return await self._resource(request, user, parse_route(path))
        self._api.authorizer.require(user, Act(request.method.lower(), path=request.path))
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed() if first in ("api", "apis", "openapi", "version") else no_such_path()
        return self._document(request, path.split("/"))

    def _document(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        """Discovery, OpenAPI and version: documents about what is served."""
        registry, accept = self._api.registry, request.headers.get("Accept", "")
        match parts:
            case ["api" | "apis"] if media := discovery.aggregated_type(accept):
                return _json(encode(discovery.aggregated(registry, parts[0] == "api", media)), media=media)
            case ["api"]:
                body = discovery.core_versions(self._url().removeprefix("https://"))
            case ["apis"]:
                body = discovery.groups(registry)
            case ["apis", group]:
                body = discovery.group(registry, group)
            case ["api", version]:
                body = discovery.resources(registry, "", version)
            case ["apis", group, version]:
                body = discovery.resources(registry, group, version)
            case ["openapi", "v3", *rest]:
                return _json(self._openapi.get("/".join(rest)))
            case ["openapi", "v2"] if openapi.V2_MEDIA in accept:
                return _json(openapi.V2_PROTOBUF, media=openapi.V2_CONTENT)
            case ["openapi", "v2"]:
                body = openapi.V2
            case _:
                raise no_such_path()
        return _json(encode(body))

    async def upgrade(self, asked: Upgrade) -> None:
        """Serve a request that leaves HTTP for SPDY: exec, attach and port-forward of a pod."""
        try:
            user = self._api.auth.caller(asked.headers.get("Authorization", ""))
            user = impersonation.acting(asked.headers, user, self._api.authorizer)
            path = asked.path.strip("/")
            if path.partition("/")[0] != "api" or path.count("/") < 2:
                raise no_such_path()
            route, query = parse_route(path), Query(dict(reversed(asked.query)))
            verb = self._permit(user, asked.method, route, query)
            call = self._call(user, verb, route, query, Head(), b"")
            if call.kind.resource != "/pods" or route.sub not in podexec.CALLS or verb not in ("get", "create"):
                raise bad_request(f"{asked.path} is not served over {SPDY}")
            await podexec.join_spdy(self._api, call, asked)
        except StatusError as error:
            asked.refuse(error.code, encode(error.status()), JSON)

    def quick(self, ask: Ask) -> Reply | Awaitable[Reply] | None:
        """Answer a request on a resource that is neither a stream nor a review; None for any other.

        What can be told without waiting is checked at once, so that a refusal leaves nothing begun.
        """
        path = ask.path.strip("/")
        first = path.partition("/")[0]
        if first not in ("api", "apis") or path.count("/") < (2 if first == "api" else 3):
            return None
        route = parse_route(path)
        if route.sub in _STREAMED or ask.query.flag("watch") or reviews.find(route) is not None:
            return None
        if (ask.body and ask.head.media not in _PLAIN_BODIES) or len(ask.body) > MAX_BODY:
            return None
        user = self._api.auth.caller(ask.head.authorization)
        verb = self._permit(user, ask.method, route, ask.query)
        call = self._call(user, verb, route, ask.query, ask.head, ask.body)
        return self._found(call) if call.verb == "get" and not route.sub else self._done(call)

    async def _resource(self, request: web.BaseRequest, user: User, route: Route) -> web.StreamResponse:
        headers, query = request.headers, Query(request.query)
        verb = self._permit(user, request.method, route, query)
        body, media = (b"", "") if verb == "get" else await read_json(request)
        if (review := reviews.find(route)) is not None:
            if verb != "create" or route.name or bool(route.ns) is not review.namespaced:
                raise method_not_allowed()
            return _json(encode(reviews.answer(self._api, review, route, user, body)), 201)
        head = Head("", headers.get("Accept", ""), media, headers.get("User-Agent", ""))
        call = self._call(user, verb, route, query, head, body)
        if call.kind.resource == "/pods" and route.sub in podexec.CALLS and verb in ("get", "create"):
            return await podexec.join(self._api, self._logs, request, call)
        if verb == "get" and route.sub == "log":
            return await self._log_stream(request, call)
        if verb == "get" and route.sub in ("", "status") and query.flag("watch"):
            return await self._stream(request, Watch(self._api, call).stream(), JSON)
        reply = await self._done(call)
        return _json(reply.body, reply.code, reply.media, reply.warnings)

    def _permit(self, user: User, method: str, route: Route, query: Query) -> str:
        """The verb of a request that its caller may make; 405 or 403 otherwise."""
        verb = _VERBS.get(method)
        if verb is None:
            raise method_not_allowed()
        self._api.authorizer.require(user, _act(verb, route, query))
        return verb

    def _call(self, user: User, verb: str, route: Route, query: Query, head: Head, body: bytes) -> Call:
        kind = resolve(self._api.registry, route)
        return Call(
            verb=verb,
            route=route if not (kind.resource == "/namespaces" and route.ns) else route._replace(ns=""),
            kind=kind,
            query=query,
            accept=parse_accept(head.accept),
            user=user,
            media=head.media,
            body=body,
            agent=head.agent,
            warnings=[],
        )

    async def _done(self, call: Call) -> Reply:
        """Carry out a request that is no stream."""
        if call.verb == "get" and call.route.sub != "scale":
            return self._found(call)
        handler = subresources.scale if call.verb == "get" else self._handler(call)
        answer = await handler(self._api, call)
        return Reply(answer.code, render(call, answer.body), warnings=call.warnings)

    def _found(self, call: Call) -> Reply:
        """Answer a read of one object or of many."""
        if call.route.sub not in ("", "status"):
            raise method_not_allowed()
        return Reply(200, render(call, get(self._api, call)) if call.route.name else list_objects(self._api, call))

    def _handler(self, call: Call) -> Handler:
        route = call.route
        if route.sub:
            handler = _SUBRESOURCES.get((call.verb, route.sub))
        else:
            handler = (_OBJECTS if route.name else _COLLECTIONS).get(call.verb)
        if handler is None or route.rest or (call.kind.namespaced and call.verb == "create" and not route.ns):
            raise method_not_allowed()
        return handler

    async def _log_stream(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        upstream = await self._logs.open(call)
        try:
            return await self._stream(request, chunks_of(upstream, f"{call.route.ns}/{call.route.name}"), "text/plain")
        finally:
            upstream.close()

    async def _stream(self, request: web.BaseRequest, chunks: AsyncIterator[bytes], media: str) -> web.StreamResponse:
        """Write chunks as they come; a client that does not read for a while is cut off."""
        response = web.StreamResponse(headers={"Content-Type": media, "Cache-Control": "no-cache, private"})
        await response.prepare(request)
        try:
            async for chunk in chunks:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await response.write(chunk)
        except ConnectionError:
            _log.debug("%s went away", request.remote)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response
