"""One HTTP request, taken apart: where it points, what it asks for, in which form the answer goes out."""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from aiohttp import web

from holdfast.embedded.apiserver import protobuf
from holdfast.embedded.apiserver.errors import (
    bad_request,
    no_such_path,
    not_acceptable,
    timed_out,
    too_large,
    unsupported_media,
)
from holdfast.kube.codec import encode

MAX_BODY = 3 << 20
BODY_SECONDS = 30.0
JSON = "application/json"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"

_BINARY = frozenset({protobuf.MEDIA, "application/cbor"})
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


class Route(NamedTuple):
    """What a resource URL names; a collection has no name."""

    group: str
    version: str
    plural: str
    ns: str = ""
    name: str = ""
    sub: str = ""
    rest: str = ""


@lru_cache(maxsize=4096)
def parse_route(path: str) -> Route:
    """Take a `/api/...` or `/apis/...` URL path apart; 404 when it cannot be a resource."""
    parts = path.strip("/").split("/")
    head = 2 if parts[0] == "api" else 3
    group = "" if parts[0] == "api" else parts[1]
    version, tail = parts[head - 1], parts[head:]
    if not tail or "" in parts:
        raise no_such_path()
    ns = ""
    if tail[0] == "namespaces" and len(tail) > 2 and tail[2] not in _NAMESPACE_SUBRESOURCES:
        ns, tail = tail[1], tail[2:]
    plural, name, sub = (*tail, "", "")[:3]
    return Route(group, version, plural, ns, name, sub, "/".join(tail[3:]))


class Head(NamedTuple):
    """What the headers of a request say; `media` is the body's content type without parameters."""

    authorization: str = ""
    accept: str = ""
    media: str = ""
    agent: str = ""


class Query:
    """Typed access to the query string."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, key: str) -> str:
        """The value, or empty."""
        return self._values.get(key, "")

    def flag(self, key: str) -> bool:
        """`1` or `true`."""
        return self._values.get(key, "").lower() in ("1", "true", "t")

    def number(self, key: str, default: int) -> int:
        """A whole number of at least 0; 400 otherwise."""
        text = self._values.get(key, "")
        if not text:
            return default
        if not text.isdecimal() or len(text) > 18:
            raise bad_request(f'query parameter {key}: "{text}" is not a whole number')
        return int(text)

    @property
    def dry_run(self) -> bool:
        """Whether `dryRun=All` was asked."""
        text = self._values.get("dryRun", "")
        if text not in ("", "All"):
            raise bad_request(f'query parameter dryRun: unsupported value "{text}": supported value: "All"')
        return text == "All"


class Accept(NamedTuple):
    """The form of the answer: a server-rendered Table, or metadata only, or the object itself."""

    table: bool
    metadata_only: bool


@lru_cache(maxsize=256)
def parse_accept(header: str) -> Accept:
    """The first alternative that this server can produce; 406 when a caller insists on a binary form."""
    seen: set[str] = set()
    for part in header.split(","):
        fields = [field.strip() for field in part.split(";")]
        seen.add(fields[0])
        if fields[0] not in (JSON, "*/*", "application/*", ""):
            continue
        wanted: dict[str, str] = {name: value for name, _, value in (field.partition("=") for field in fields[1:])}
        if wanted.get("as") == "Table":
            return Accept(True, False)
        if wanted.get("as", "").startswith("PartialObjectMetadata"):
            return Accept(False, True)
        return Accept(False, False)
    if seen <= _BINARY:
        raise not_acceptable(header)
    return Accept(False, False)


def media_type(request: web.BaseRequest) -> str:
    """The body's content type without parameters."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body, at most `MAX_BODY` bytes; 413 over it, 415 for CBOR, 408 for one that does not come in time."""
    if (kind := media_type(request)) in ("application/cbor", APPLY_CBOR):
        raise unsupported_media(f"the body was sent as {kind}, this server reads JSON, YAML and Kubernetes' protobuf")
    if (request.content_length or 0) > MAX_BODY:
        raise too_large(MAX_BODY)
    if request.content.is_eof():
        return request.content.read_nowait()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise too_large(MAX_BODY)
    except TimeoutError:
        raise timed_out(f"the request body did not arrive within {BODY_SECONDS:.0f} seconds") from None
    return bytes(body)


async def read_json(request: web.BaseRequest) -> tuple[bytes, str]:
    """The body and its content type; a protobuf body is turned into JSON, so that nothing behind this knows of it."""
    body, media = await read_body(request), media_type(request)
    if media == protobuf.MEDIA:
        return (encode(protobuf.parse(body)) if body else b""), JSON
    return body, media
