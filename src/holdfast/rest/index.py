"""The documents of one collection of one organisation in memory, with the indexes that lists are served from.

A write is laid in at once, so that whoever wrote reads it; what the watch reports later counts only when it is newer. Fields
that are indexed by value narrow a filter down; fields that are indexed by order give a page without sorting everything.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa import documents
from holdfast.dialects.cloudcasa.resources import Collection
from holdfast.rest.query import MISSING, Condition, Fields, Filter, Order, Predicate, first_at, sort_key, values_at

_FEW: Final = 300
"""So many candidates are sorted; more are met on a walk along the order."""

_MANY_VALUES: Final = 2000
"""A field with more distinct values than that serves equality only."""

_Parts = list[set[str]]
"""Ids in sets that have nothing in common: those of each value of a field, which need not be copied together."""

_LAST: Final = chr(0x10FFFF)
"""Sorts behind every id."""

_encoder: Final = msgspec.json.Encoder()


class Entry:
    """One document: the object behind it, its fields as queries see them, and what is shown of it, made on demand."""

    __slots__ = ("_body", "_collection", "_document", "fields", "obj", "version")

    def __init__(self, collection: Collection, obj: Object) -> None:
        self.obj, self.version = obj, version_of(obj)
        self._collection = collection
        created, updated = documents.times(obj)
        own = {"_id": obj["metadata"]["name"], "_created": created, "_updated": updated}
        self.fields: Fields = {**documents.shown(collection, obj), **own}
        self._document: Object | None = None
        self._body = b""

    @property
    def document(self) -> Object:
        """The document. It must not be changed."""
        if self._document is None:
            self._document = documents.document(self._collection, self.obj)
        return self._document

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        if not self._body:
            self._body = _encoder.encode(self.document)
        return self._body


class Page(msgspec.Struct, frozen=True):
    """Some documents of a list, and how many there are in all."""

    entries: list[Entry]
    total: int


class _Span(msgspec.Struct, frozen=True):
    """Positions of an index by order, the last one not included."""

    low: int
    high: int

    @property
    def length(self) -> int:
        return max(self.high - self.low, 0)

    def within(self, other: _Span | None) -> _Span:
        return self if other is None else _Span(max(self.low, other.low), min(self.high, other.high))


class Index:
    """The documents of one collection."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, int] = {}
        self._hashed: dict[str, dict[Any, set[str]]] = {field: {} for field in collection.hashed}
        self._ordered: dict[str, list[tuple[Any, ...]]] = {field: [] for field in collection.ordered}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, ident: str) -> Entry | None:
        """Return one document."""
        return self._entries.get(ident)

    def all(self) -> Iterable[Entry]:
        """Return every document, in no particular order."""
        return list(self._entries.values())

    def named(self, name: str) -> Entry | None:
        """Return a document of this name."""
        found = self._hashed["name"].get(name)
        return self._entries[next(iter(found))] if found else None

    def put(self, obj: Object) -> Entry:
        """Lay in an object, unless what is here is as new. Returns the document that counts."""
        ident = obj["metadata"]["name"]
        present = self._entries.get(ident)
        version = version_of(obj)
        if present is not None and present.version >= version:
            return present
        if self._gone.get(ident, -1) >= version:
            return Entry(self.collection, obj)
        made = Entry(self.collection, obj)
        self._gone.pop(ident, None)
        self._file(ident, present.fields if present else None, made.fields)
        self._entries[ident] = made
        return made

    def drop(self, obj: Object, *, ahead: bool = False) -> None:
        """Take an object out. `ahead`: the watch has not said so yet, and may still report what came before."""
        ident = obj["metadata"]["name"]
        present = self._entries.get(ident)
        if ahead:
            self._gone[ident] = max(version_of(obj), present.version if present else 0)
        else:
            self._gone.pop(ident, None)
        if present is not None and _same_life(present.obj, obj):
            self._file(ident, present.fields, None)
            del self._entries[ident]

    def page(self, where: Filter, order: Sequence[Order], start: int, count: int) -> Page:
        """Return `count` documents from position `start` of all that are meant, in order."""
        order = order or (Order("_created"),)
        spans, sets, rest = self._served(where)
        row = self._ordered.get(order[0].field)
        if row is not None and not sets and not rest and len(order) == 1 and spans.keys() <= {order[0].field}:
            return self._of_span(spans.get(order[0].field) or _Span(0, len(row)), order[0], start, count)
        found = self._intersection(spans, sets)
        if rest:
            idents = self._entries if found is None else (ident for part in found for ident in part)
            found = [{ident for ident in idents if _all(rest, self._entries[ident].fields)}]
        total = len(self._entries) if found is None else sum(len(part) for part in found)
        chosen = self._in_order(found, total, order, start, min(start + count, total))
        return Page([self._entries[ident] for ident in chosen], total)

    def having(self, field: str, value: Any) -> list[Entry]:
        """Return the documents with one value of an indexed field."""
        return [self._entries[ident] for ident in self._hashed[field].get(value, ())]

    def _file(self, ident: str, old: Fields | None, new: Fields | None) -> None:
        for field, by_value in self._hashed.items():
            before, after = _hash_value(old, field), _hash_value(new, field)
            if before == after and (old is None) == (new is None):
                continue
            if old is not None:
                members = by_value[before]
                members.discard(ident)
                if not members:
                    del by_value[before]
            if new is not None:
                by_value.setdefault(after, set()).add(ident)
        for field, row in self._ordered.items():
            before_key, after_key = _order_key(old, field, ident), _order_key(new, field, ident)
            if before_key == after_key:
                continue
            if before_key is not None:
                del row[bisect.bisect_left(row, before_key)]
            if after_key is not None:
                bisect.insort(row, after_key)

    def _served(self, where: Filter) -> tuple[dict[str, _Span], list[_Parts], list[Predicate]]:
        """Look a filter up in the indexes: spans of ordered fields, sets of ids, and the tests that are left to do."""
        spans: dict[str, _Span] = {}
        sets: list[_Parts] = []
        rest: list[Predicate] = list(where.others)
        for condition in where.conditions:
            members = self._members(condition)
            if members is not None:
                sets.append(members)
            elif (span := self._span(condition)) is not None:
                spans[condition.field] = span.within(spans.get(condition.field))
            else:
                rest.append(condition.holds)
        return spans, sets, rest

    def _intersection(self, spans: Mapping[str, _Span], sets: list[_Parts]) -> _Parts | None:
        """Return the ids that all indexes agree on; None: all. A span that is long beside them becomes a test."""
        found: _Parts | None = None
        for parts in sorted(sets, key=lambda parts: sum(len(part) for part in parts)):
            found = parts if found is None else _common(found, parts)
        for field, span in sorted(spans.items(), key=lambda item: item[1].length):
            if found is None or span.length < 4 * sum(len(part) for part in found):
                members = {key[-1] for key in self._ordered[field][span.low : span.high]}
                found = [members] if found is None else _common(found, [members])
            else:
                found = [{ident for ident in part if self._inside(field, span, ident)} for part in found]
        return found

    def _inside(self, field: str, span: _Span, ident: str) -> bool:
        row = self._ordered[field]
        position = bisect.bisect_left(row, (*sort_key(first_at(self._entries[ident].fields, field)), ident))
        return span.low <= position < span.high

    def _members(self, condition: Condition) -> _Parts | None:
        """Return the ids that meet a condition, when an index by value knows them. The sets must not be changed."""
        if condition.field == "_id" and condition.equals is not None:
            return [{ident for ident in condition.equals if isinstance(ident, str) and ident in self._entries}]
        by_value = self._hashed.get(condition.field)
        if by_value is None:
            return None
        if condition.equals is not None and all(isinstance(value, str) for value in condition.equals):
            return [by_value[value] for value in dict.fromkeys(condition.equals) if value in by_value]
        if len(by_value) > _MANY_VALUES:
            return None
        return [ids for value, ids in by_value.items() if condition.test([MISSING if value is None else value])]

    def _span(self, condition: Condition) -> _Span | None:
        """Return the part of an index by order that meets a bound."""
        row = self._ordered.get(condition.field)
        bound = condition.low if condition.low is not None else condition.high
        if row is None or bound is None:
            return None
        key = sort_key(bound)
        before, after = bisect.bisect_left(row, key), bisect.bisect_right(row, (*key, _LAST))
        if condition.low is not None:
            return _Span(before if condition.inclusive else after, bisect.bisect_left(row, (key[0] + 1,)))
        return _Span(bisect.bisect_left(row, (key[0],)), after if condition.inclusive else before)

    def _of_span(self, span: _Span, order: Order, start: int, count: int) -> Page:
        """Return a page of a span in the span's own order."""
        row = self._ordered[order.field]
        low, high = span.low + start, min(span.low + start + count, span.high)
        keys = row[low:high]
        if order.descending:
            low, high = max(span.high - start - count, span.low), span.high - start
            keys = row[low:high][::-1] if high > low else []
        return Page([self._entries[key[-1]] for key in keys], span.length)

    def _in_order(self, found: _Parts | None, total: int, order: Sequence[Order], start: int, end: int) -> list[str]:
        if start >= end:
            return []
        row = self._ordered.get(order[0].field) if len(order) == 1 else None
        if row is None or found is None or total <= _FEW:
            return self._sorted(
                self._entries if found is None else (each for part in found for each in part), order, start, end
            )
        walk = (key[-1] for key in (reversed(row) if order[0].descending else row))
        if len(found) == 1:
            (only,) = found
            return _part((ident for ident in walk if ident in only), start, end)
        return _part((ident for ident in walk if any(ident in part for part in found)), start, end)

    def _sorted(self, found: Iterable[str], order: Sequence[Order], start: int, end: int) -> list[str]:
        """Sort by the last field first: sorting is stable, so earlier fields win."""
        fields = {ident: self._entries[ident].fields for ident in found}
        idents = sorted(fields)
        if len(order) == 1 and end < 200 < len(idents):
            (only,) = order
            pick = heapq.nlargest if only.descending else heapq.nsmallest
            return pick(end, idents, key=lambda ident: (_sort_value(fields[ident], only), ident))[start:]
        if order[0].descending:
            idents.reverse()
        for each in reversed(order):
            idents.sort(key=lambda ident, each=each: _sort_value(fields[ident], each), reverse=each.descending)
        return idents[start:end]


def version_of(obj: Object) -> int:
    """Return an object's version as a number; every server has numbers there."""
    text: str = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


def _common(left: _Parts, right: _Parts) -> _Parts:
    """Return what is in both, in parts that have nothing in common."""
    return [both for one in left for other in right if (both := one & other)]


def _same_life(left: Object, right: Object) -> bool:
    return left["metadata"].get("uid") == right["metadata"].get("uid")


def _hash_value(fields: Fields | None, field: str) -> Any:
    """Return what an index files a document under; whatever is no plain value counts as absent."""
    found = first_at(fields, field) if fields is not None else None
    return found if isinstance(found, (str, int, float, bool)) else None


def _order_key(fields: Fields | None, field: str, ident: str) -> tuple[Any, ...] | None:
    return (*sort_key(first_at(fields, field)), ident) if fields is not None else None


def _sort_value(fields: Fields, order: Order) -> tuple[Any, ...]:
    values = values_at(fields, order.field.split("."))
    keys = [sort_key(value, descending=order.descending) for value in values]
    return (max(keys) if order.descending else min(keys)) if keys else (1, 0)


def _all(tests: Sequence[Predicate], fields: Fields) -> bool:
    return all(test(fields) for test in tests)


def _part(idents: Iterator[str], start: int, end: int) -> list[str]:
    found: list[str] = []
    for position, ident in enumerate(idents):
        if position >= end:
            break
        if position >= start:
            found.append(ident)
    return found
