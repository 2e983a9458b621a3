"""The store behind an informer: what comes out is a copy, indexes follow every change, and little room is taken."""

from holdfast.kube.objects import Object
from holdfast.kube.store import Store


def pod(name: str, *labels: str, size: int = 0) -> Object:
    return {"metadata": {"name": name, "namespace": "demo", "labels": list(labels)}, "spec": {"pad": "x" * size}}


def filled(*pods: Object) -> Store:
    store = Store()
    store.add_index("label", lambda obj: obj["metadata"]["labels"])
    for each in pods:
        store.put(each)
    return store


def names(store: Store, value: str) -> list[str]:
    return [obj["metadata"]["name"] for obj in store.by_index("label", value)]


def test_what_comes_out_may_be_changed_without_harm() -> None:
    store = filled(pod("a", "x"))
    found = store.get(("demo", "a"))
    assert found is not None
    found["metadata"]["labels"].append("y")
    assert store.get(("demo", "a")) == pod("a", "x")


def test_an_index_follows_one_and_many_objects_under_a_value() -> None:
    store = filled(pod("a", "x"), pod("b", "x", "only-b"))
    assert (names(store, "x"), names(store, "only-b"), names(store, "none")) == (["a", "b"], ["b"], [])
    store.put(pod("b", "x"))
    assert (names(store, "x"), names(store, "only-b")) == (["a", "b"], [])
    store.drop(("demo", "a"))
    assert names(store, "x") == ["b"]
    store.drop(("demo", "b"))
    assert names(store, "x") == []


def test_the_old_object_is_told_with_each_change() -> None:
    store = filled(pod("a", "x"))
    assert store.put(pod("a", "y")) == pod("a", "x")
    assert store.drop(("demo", "a")) == pod("a", "y")
    assert (store.drop(("demo", "a")), store.get(("demo", "a")), len(store)) == (None, None, 0)


def test_an_index_that_comes_later_knows_what_is_there() -> None:
    store = Store()
    store.put(pod("a", "x"))
    store.add_index("label", lambda obj: obj["metadata"]["labels"])
    assert names(store, "x") == ["a"]


def test_a_large_object_takes_less_room_than_its_text() -> None:
    store = filled(pod("a", "x", size=10_000))
    assert sum(map(len, store._objects.values())) < 1_000


def test_objects_come_back_as_they_went_in_before_and_after_their_kind_is_learnt() -> None:
    """2,000 of one kind, each changed once: the first 64 are kept without a dictionary, others with the first or second one."""
    store = Store()
    wanted: dict[str, Object] = {}
    for round_ in range(2):
        for at in range(2000):
            obj = {
                "metadata": {"name": f"o{at}", "namespace": "n", "uid": str(at * 7919)},
                "status": {"words": "é" * (at % 90)},
            }
            if round_:
                obj["status"] = {"phase": "Succeeded", "seconds": at}
            before = store.put(obj)
            assert before == wanted.get(f"o{at}")
            wanted[f"o{at}"] = obj

    assert {obj["metadata"]["name"]: obj for obj in store.all()} == wanted
    assert store.drop(("n", "o1999")) == wanted["o1999"]
