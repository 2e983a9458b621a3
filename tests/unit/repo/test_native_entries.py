"""The plain files of a tree as rows: what is taken that way is what the one reader of trees finds, and the rest goes to it."""

import json
import os
import random
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from holdfast.repo import times
from holdfast.repo.errors import Damaged
from holdfast.repo.gathered import Entries, read_entries
from holdfast.repo.names import json_name
from holdfast.repo.tree import Node, decode_tree

ROUNDS = int(os.environ.get("HOLDFAST_FUZZ_ROUNDS", "400"))
ID = "ab" * 32

PLAIN = {
    "name": "plain", "type": "file", "mode": 420, "mtime": "2026-01-02T03:04:05.678901234+01:00", "atime": "x", "ctime": "y",
    "uid": 7, "gid": 8, "user": "u", "group": "g", "inode": 9, "device_id": 10, "size": 11, "links": 1, "content": [ID],
}  # fmt: skip


def tree(*nodes: dict[str, Any] | str) -> bytes:
    texts = [node if isinstance(node, str) else json.dumps(node, separators=(",", ":")) for node in nodes]
    return ('{"nodes":[' + ",".join(texts) + "]}\n").encode()


def as_row(node: Node) -> tuple[object, ...]:
    """What a row says of a file, as the reader of trees has it."""
    ids = b"".join(bytes.fromhex(ident) for ident in node.content or ())
    moment = divmod(times.parse_ns(node.mtime), 1_000_000_000)
    return (node.name, node.size, *moment, node.permissions, node.uid, node.gid, ids)


def rows(entries: Entries) -> list[tuple[object, ...]]:
    """The same of each row."""
    found: list[tuple[object, ...]] = []
    ends = np.cumsum(entries.counts, dtype=np.int64).tolist()
    for row, count, end in zip(entries.rows, entries.counts.tolist(), ends, strict=True):
        name = entries.names[int(row["name"]) :].split(b"\0", 1)[0].decode()
        numbers = (int(row[field]) for field in ("size", "seconds", "nanoseconds", "mode", "uid", "gid"))
        found.append((name, *numbers, entries.ids[end - count : end].tobytes()))
    return found


def hold_against_the_reader(module: ModuleType, data: bytes) -> int | None:
    """Compare both readings of a tree. How many entries became rows; None for a tree that is left to the reader."""
    try:
        nodes = decode_tree(data)
    except Damaged:
        nodes = None
    found = read_entries(module, data)
    if found is None:
        return None
    entries, rest = found
    try:
        others = decode_tree(rest) if rest else []
    except Damaged:
        others = None
    assert (nodes is None) == (others is None), data
    if nodes is None or others is None:
        return len(entries.rows)
    taken = {row[0] for row in rows(entries)}
    assert rows(entries) == [as_row(node) for node in nodes if node.name in taken], data
    assert others == [node for node in nodes if node.name not in taken], data
    return len(entries.rows)


def test_plain_files_become_rows_and_the_rest_is_handed_back(module: ModuleType) -> None:
    folder = {"name": "folder", "type": "dir", "mode": 2147484141, "mtime": PLAIN["mtime"], "content": None, "subtree": ID}
    first, last = PLAIN | {"name": "a"}, PLAIN | {"name": "z", "content": [ID, ID], "mode": 1 << 23 | 1 << 20 | 0o755}
    assert hold_against_the_reader(module, tree(first, folder, last)) == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"links": 2},
        {"extended_attributes": [{"name": "user.a", "value": "eA=="}]},
        {"type": "symlink", "linktarget": "x"},
        {"uid": 1 << 32},
        {"size": 1 << 63},
        {"size": -1},
        {"mtime": "yesterday"},
        {"mtime": "2026-02-30T00:00:00Z"},
        {"content": ["ab"]},
        {"content": [ID.upper()]},
        {"content": "none"},
        {"mode": "420"},
        {"unknown": {"deep": [1, {"x": None}]}},
        {"name": ".."},
        {"name": "a/b"},
        {"name": ""},
        {"name": "quoted\\n"},
        {"name": "p\u00fcre"},
    ],
)
def test_what_is_not_plain_is_left_to_the_reader(module: ModuleType, odd: dict[str, object]) -> None:
    node = {**PLAIN, **odd}
    hold_against_the_reader(module, tree(node))
    found = read_entries(module, tree(node))
    plain = odd in ({"name": "p\u00fcre"}, {"content": [ID.upper()]})
    assert found is None or plain or (len(found[0].rows) == 0 and json.loads(found[1])["nodes"] == [node])


def test_names_that_come_twice_or_out_of_order_leave_the_whole_tree_to_the_reader(module: ModuleType) -> None:
    one, two = PLAIN | {"name": "one"}, PLAIN | {"name": "two"}
    assert read_entries(module, tree(two, one)) is None
    assert read_entries(module, tree(one, one)) is None
    assert read_entries(module, tree(one, {"name": "one", "type": "dir", "subtree": ID})) is None
    assert read_entries(module, tree('{"type":"file","name":"a","name":"b"}')) is None


def test_entries_are_cut_where_a_batch_is_full(module: ModuleType) -> None:
    nodes = [PLAIN | {"name": f"n{number}", "content": [f"{number:064x}"] * number} for number in range(5)]
    found = read_entries(module, tree(*nodes))
    assert found is not None
    whole = rows(found[0])
    for files, blobs, wanted in [(2, 99, 2), (99, 3, 3), (99, 2, 2), (1, 0, 1), (99, 99, 5), (0, 0, 1)]:
        head, tail = found[0].cut(files, blobs)
        assert len(head.rows) == wanted
        assert rows(head) + rows(tail) == whole


def test_trees_of_any_bytes_are_read_as_the_reader_does(module: ModuleType) -> None:
    rng = random.Random(13)
    taken = left = 0
    for _ in range(20 * ROUNDS):
        nodes = [random_node(rng, name) for name in sorted(rng.sample(NAMES, rng.randrange(4)), key=os.fsencode)]
        data = bytearray(tree(*nodes))
        if rng.random() < 0.5:
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(data))
                data[at : at + rng.choice([0, 0, 1, 1, 9])] = rng.choice(WORDS)
        found = hold_against_the_reader(module, bytes(data))
        taken += found or 0
        left += found is None
    assert taken > ROUNDS
    assert left > ROUNDS


NAMES = ["a", "b", "b.txt", "ordner", "\u00fcber", "\u6587", "sp ace", 'quo"te', "back\\slash", "new\nline", "..", "x" * 300]
WORDS = [
    b"",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"0",
    b"-",
    b"1e3",
    b".5",
    b"null",
    b"\xff",
    b"\n",
    b" ",
    b"\0",
    b"\\u00e9",
]
TIMES = ["2026-01-02T03:04:05Z", "1969-12-31T23:59:59.999999999-01:00", "0000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", ""]


def random_node(rng: random.Random, name: str) -> str:
    node: dict[str, Any] = {**PLAIN, "mtime": rng.choice([*TIMES, TIMES[0], TIMES[0]])}
    if rng.random() < 0.3:
        node["type"] = rng.choice(["dir", "symlink", "fifo", ""])
    for field in rng.sample(sorted(node), rng.randrange(3)):
        del node[field]
    for field in ("mode", "uid", "gid", "inode", "size", "links"):
        if rng.random() < 0.2:
            node[field] = rng.choice([0, 1, 2, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -1])
    if rng.random() < 0.2:
        odd: list[object] = [None, [], [ID, ID], [ID.upper()], ["zz" * 32], [1], "x", {}]
        node["content"] = rng.choice(odd)
    if rng.random() < 0.1:
        node["extended_attributes"] = rng.choice([None, [], [{"name": "user.a", "value": "eA=="}]])
    fields = list(node.items())
    if rng.random() < 0.2:
        rng.shuffle(fields)
    texts = [
        f'"name":"{json_name(name)}"' if key == "name" else f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=False)}"
        for key, value in fields
    ]
    return "{" + rng.choice([",", ",", ",", " , "]).join(texts) + "}"
