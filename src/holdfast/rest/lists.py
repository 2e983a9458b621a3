"""Lists: the query parameters, the page, and the reply around it; also the parts of a document that a client wants to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import urlencode

import msgspec

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.documents import META, href
from holdfast.dialects.cloudcasa.resources import Collection
from holdfast.rest.index import Entry, Page
from holdfast.rest.query import BadQuery, Filter, Order, parse_sort, parse_where
from holdfast.rest.state import State

DEFAULT_RESULTS: Final = 25
MOST_RESULTS: Final = 50
_LAST_PAGE: Final = 10**9

_encode: Final = msgspec.json.Encoder().encode


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a list request asks for. `projection` maps fields to whether they are wanted; `embedded` are dotted fields."""

    where: Filter
    order: tuple[Order, ...]
    page: int = 1
    results: int = DEFAULT_RESULTS
    projection: Mapping[str, bool] = {}
    embedded: tuple[str, ...] = ()


def asked(query: Mapping[str, str]) -> Asked:
    """Read the parameters. Raises BadQuery; numbers that make no sense are replaced by the defaults, as clients expect."""
    results = _number(query.get("max_results", ""))
    return Asked(
        where=parse_where(query.get("where", "")),
        order=parse_sort(query.get("sort", "")),
        page=min(_number(query.get("page", "")) or 1, _LAST_PAGE),
        results=min(results or DEFAULT_RESULTS, MOST_RESULTS),
        projection=projection_of(query),
        embedded=embedded_of(query),
    )


def projection_of(query: Mapping[str, str]) -> Mapping[str, bool]:
    """Read `projection={"name": 1}`. Raises BadQuery."""
    return {field: bool(wanted) for field, wanted in _flags(query, "projection").items()}


def embedded_of(query: Mapping[str, str]) -> tuple[str, ...]:
    """Read `embedded={"policy": 1}`. Raises BadQuery."""
    return tuple(field for field, wanted in _flags(query, "embedded").items() if wanted)


def reply(collection: Collection, wanted: Asked, page: Page, query: Mapping[str, str], items: Sequence[bytes]) -> bytes:
    """Return the body of a list."""
    meta = {"page": wanted.page, "max_results": wanted.results, "total": page.total}
    links = _links(collection, wanted, page.total, query)
    return b'{"_items":[%b],"_links":%b,"_meta":%b}' % (b",".join(items), _encode(links), _encode(meta))


def rendered(state: State, organization: str, collection: Collection, entry: Entry, asked: Asked) -> bytes:
    """Return a document as it is wanted."""
    if not asked.projection and not asked.embedded:
        return entry.body
    return _encode(shown(state, organization, collection, entry.document, asked.projection, asked.embedded))


def shown(
    state: State,
    organization: str,
    collection: Collection,
    document: Object,
    wanted: Mapping[str, bool],
    embedded: Sequence[str],
) -> Object:
    """Return a document with the fields that are wanted, and others in the place of their ids."""
    out = document
    for path in sorted(embedded):
        out = _embed(state, organization, collection, out, path.split("."))
    return _projected(out, wanted) if wanted else out


def _embed(state: State, organization: str, collection: Collection, document: Object, path: Sequence[str]) -> Object:
    """Put the document that a field refers to in its place; a path that refers to nothing is ignored."""
    from holdfast.dialects.cloudcasa.resources import COLLECTIONS

    for length in range(1, len(path) + 1):
        field = ".".join(path[:length])
        target = collection.references.get(field)
        if target is None or length > 1:
            continue
        value = document.get(field)
        inner = cast(Object, value) if isinstance(value, dict) else None
        if inner is None and isinstance(value, str):
            found = state.find(organization, target, value)
            inner = found.document if found is not None else None
        if inner is None:
            return document
        rest = path[length:]
        return {**document, field: _embed(state, organization, COLLECTIONS[target], inner, rest) if rest else inner}
    return document


def _projected(document: Object, wanted: Mapping[str, bool]) -> Object:
    """Keep the fields with true, or drop those with false; what every document carries stays."""
    chosen = [field for field, keep in wanted.items() if keep]
    if chosen:
        kept: Object = {field: document[field] for field in META if field in document}
        for field in chosen:
            _copy(document, kept, field.split("."))
        return kept
    out = document
    for field in wanted:
        if field not in META:
            out = _without(out, field.split("."))
    return out


def _copy(source: Object, target: Object, path: Sequence[str]) -> None:
    head, rest = path[0], path[1:]
    if head not in source:
        return
    if not rest:
        target[head] = source[head]
    elif isinstance(source[head], dict):
        inner = target.setdefault(head, {})
        if inner is not source[head]:
            _copy(source[head], inner, rest)


def _without(source: Object, path: Sequence[str]) -> Object:
    head, rest = path[0], path[1:]
    if head not in source:
        return source
    if not rest:
        return {key: value for key, value in source.items() if key != head}
    return {**source, head: _without(source[head], rest)} if isinstance(source[head], dict) else source


def _links(collection: Collection, wanted: Asked, total: int, query: Mapping[str, str]) -> Object:
    here = href(collection.plural)
    last = max(1, -(-total // wanted.results))

    def at(page: int, title: str) -> Object:
        rest = [(name, value) for name, value in query.items() if name != "page"]
        return {"title": title, "href": f"{here}?{urlencode([*rest, ('page', str(page))])}"}

    links: Object = {
        "parent": {"title": "home", "href": "/"},
        "self": {"title": collection.plural, "href": f"{here}?{urlencode(list(query.items()))}" if query else here},
    }
    if wanted.page < last:
        links |= {"next": at(wanted.page + 1, "next page"), "last": at(last, "last page")}
    if wanted.page > 1:
        links["prev"] = at(wanted.page - 1, "previous page")
    return links


def _number(text: str) -> int:
    """Return a positive number, 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _flags(query: Mapping[str, str], name: str) -> dict[str, Any]:
    text = query.get(name, "")
    if not text:
        return {}
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadQuery(f"{name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadQuery(f'{name} must be a JSON object such as {{"name": 1}}')
    return cast("dict[str, Any]", found)
