"""Filters and orders mean what they mean in MongoDB: mongomock answers the same questions on the same documents."""

import random
from typing import Any

import mongomock
import pytest

from holdfast.dialects.cloudcasa.kinds import derived_id
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.rest.index import Index
from holdfast.rest.query import BadQuery, compile_filter, parse_sort, parse_where

STATES = ["COMPLETED", "FAILED", "RUNNING", "PENDING"]
NAMES = ["a", "b", "c"]

FILTERS: list[dict[str, Any]] = [
    {},
    {"state": "FAILED"},
    {"state": {"$in": ["FAILED", "RUNNING"]}},
    {"state": {"$nin": ["FAILED", "RUNNING"]}},
    {"state": {"$ne": "FAILED"}},
    {"start_time": {"$gt": 1010}},
    {"start_time": {"$gte": 1010, "$lt": 1020}},
    {"start_time": {"$gt": "1010"}},
    {"end_time": {"$exists": True}},
    {"end_time": {"$exists": False}},
    {"end_time": None},
    {"end_time": {"$ne": None}},
    {"end_time": {"$lte": 2015}},
    {"retention.retainDays": 3},
    {"retention.retainDays": {"$gte": 3}},
    {"retention": {"retainDays": 3}},
    {"retention.nothing": None},
    {"namespaces": "a"},
    {"namespaces": ["a", "b"]},
    {"namespaces": {"$all": ["a", "b"]}},
    {"namespaces": {"$size": 2}},
    {"namespaces": {"$nin": ["a"]}},
    {"namespaces.0": "b"},
    {"namespaces": {"$elemMatch": {"$gt": "a", "$lt": "c"}}},
    {"parts.name": "b"},
    {"parts": {"$elemMatch": {"name": "b", "count": {"$gt": 1}}}},
    {"parts.count": {"$gt": 2}},
    {"$or": [{"state": "FAILED"}, {"start_time": {"$lt": 1005}}]},
    {"$and": [{"state": "FAILED"}, {"start_time": {"$gt": 1005}}]},
    {"$nor": [{"state": "FAILED"}, {"start_time": {"$lt": 1030}}]},
    {"start_time": {"$not": {"$gt": 1010}}},
    {"locked": True},
    {"locked": {"$ne": True}},
    {"state": "FAILED", "$or": [{"locked": True}, {"namespaces": "c"}]},
    {"_id": {"$in": [derived_id("q", "3"), derived_id("q", "4"), "none"]}},
    {"name": {"$gte": "job-2", "$lt": "job-4"}},
]

SORTS = ["start_time", "-start_time", "state,-start_time", "-end_time,name", "retention.retainDays,-name", "-name"]


def fields(number: int, chance: random.Random) -> dict[str, Any]:
    """Return one document with fields of every kind, some of them absent."""
    document: dict[str, Any] = {
        "name": f"job-{number}",
        "state": chance.choice(STATES),
        "start_time": 1000 + number,
        "retention": {"retainDays": chance.randint(1, 4)},
        "namespaces": chance.sample(NAMES, chance.randint(0, 3)),
        "parts": [{"name": chance.choice(NAMES), "count": chance.randint(0, 3)} for _ in range(chance.randint(0, 2))],
    }
    if chance.random() < 0.5:
        document["end_time"] = 2000 + number
    if chance.random() < 0.5:
        document["locked"] = chance.random() < 0.5
    return document


@pytest.fixture(scope="module")
def both() -> tuple[Index, Any]:
    """Return the same fifty documents in our index and in the oracle."""
    chance = random.Random(5)
    index, oracle = Index(COLLECTIONS["jobs"]), mongomock.MongoClient().db.jobs
    for number in range(50):
        given = fields(number, chance)
        ident = derived_id("q", str(number))
        meta = {"name": ident, "uid": ident, "resourceVersion": str(number + 1), "creationTimestamp": "2026-11-21T18:00:00Z"}
        status = {"state": given["state"]}
        index.put({"metadata": meta, "spec": given, "status": status})
        oracle.insert_one({**given, "_id": ident})
    return index, oracle


@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_a_filter_finds_what_the_oracle_finds(both: tuple[Index, Any], where: dict[str, Any]) -> None:
    index, oracle = both

    page = index.page(compile_filter(where), (), 0, 100)

    assert {entry.document["_id"] for entry in page.entries} == {item["_id"] for item in oracle.find(where)}
    assert page.total == len(page.entries)


@pytest.mark.parametrize("sort", SORTS)
def test_an_order_is_that_of_the_oracle(both: tuple[Index, Any], sort: str) -> None:
    index, oracle = both
    order = parse_sort(sort)

    page = index.page(parse_where(""), order, 0, 100)

    wanted = [(each.field, -1 if each.descending else 1) for each in order]
    keys = [each.field for each in order]
    assert [_values(entry.document, keys) for entry in page.entries] == [
        _values(item, keys) for item in oracle.find().sort(wanted)
    ]


def _values(document: dict[str, Any], paths: list[str]) -> list[Any]:
    found: list[Any] = []
    for path in paths:
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found.append(value)
    return found


def test_pages_of_many_documents_walk_the_order_and_lose_none() -> None:
    index = Index(COLLECTIONS["jobs"])
    for number in range(8000):
        ident = derived_id("many", str(number))
        meta = {"name": ident, "uid": ident, "resourceVersion": "1", "creationTimestamp": "2026-11-21T18:00:00Z"}
        index.put(
            {
                "metadata": meta,
                "spec": {"name": f"j{number}"},
                "status": {"state": "FAILED" if number % 2 else "COMPLETED", "start_time": number},
            }
        )
    where, order = compile_filter({"state": "FAILED"}), parse_sort("-start_time")

    seen = [
        entry.document["start_time"]
        for start in range(0, 4000, 1000)
        for entry in index.page(where, order, start, 1000).entries
    ]

    assert seen == list(range(7999, 0, -2))
    assert index.page(where, order, 3990, 50).total == 4000


def test_a_newer_version_counts_and_an_older_one_does_not() -> None:
    index = Index(COLLECTIONS["jobs"])
    ident = derived_id("one")

    def version(number: int, state: str) -> dict[str, Any]:
        meta = {"name": ident, "uid": "u", "resourceVersion": str(number), "creationTimestamp": "2026-11-21T18:00:00Z"}
        return {"metadata": meta, "spec": {"name": "j"}, "status": {"state": state}}

    index.put(version(5, "RUNNING"))
    index.put(version(4, "PENDING"))
    assert [entry.document["state"] for entry in index.having("state", "RUNNING")] == ["RUNNING"]
    index.drop(version(5, "RUNNING"), ahead=True)
    index.put(version(5, "RUNNING"))
    assert len(index) == 0, "what the watch reports late does not come back"
    index.put(version(9, "FAILED"))
    assert len(index) == 1


def test_times_compare_however_they_are_written() -> None:
    index = Index(COLLECTIONS["jobs"])
    for number in (1, 2):
        meta = {
            "name": derived_id(str(number)),
            "uid": str(number),
            "resourceVersion": "1",
            "creationTimestamp": f"2021-03-3{number - 1}T08:28:41Z",
        }
        index.put({"metadata": meta, "spec": {"name": str(number)}})
    for text in ("Wed, 31 Mar 2021 08:28:41 GMT", "2021-03-31T08:28:41Z"):
        assert [e.document["name"] for e in index.page(compile_filter({"_created": {"$gte": text}}), (), 0, 9).entries] == ["2"]
    with pytest.raises(BadQuery, match="_created is a time"):
        compile_filter({"_created": {"$gt": "yesterday"}})


@pytest.mark.parametrize(
    "where",
    ['{"a":{"$where":1}}', '{"$expr":{}}', '{"a":{"$gt":1,"b":2}}', '{"a":{"$mod":[0,1]}}', '{"a":{"$size":"x"}}', '"x"', "{"],
)
def test_what_is_no_filter_is_refused(where: str) -> None:
    with pytest.raises(BadQuery):
        parse_where(where)


def test_a_filter_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(BadQuery, match="nested"):
        parse_where('{"$or":[' * 40 + '{"a":1}' + "]}" * 40)
