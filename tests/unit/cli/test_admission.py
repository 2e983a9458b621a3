"""Admission judges changes of a spec, and stands in the way of nothing else."""

import pytest

from holdfast.cli.apiserver import admission
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Problem, Problems


class Refuses:
    """A handler that finds fault with everything."""

    kind = Kind("example.dev", "Thing")
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: object) -> Problems:
        return Problems((Problem("spec.secret", "is not shared any more"),))


def thing(value: str, **meta: object) -> Object:
    return {"metadata": {"name": "one", **meta}, "spec": {"value": value}}


def judge(new: Object, old: Object | None) -> list[str]:
    check = admission([Refuses()])[("example.dev", "Thing")]  # type: ignore[list-item]
    return check(new, old, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("new", "old"), [(thing("a"), None), (thing("b"), thing("a"))], ids=["create", "another spec"])
def test_a_spec_that_is_new_is_judged(new: Object, old: Object | None) -> None:
    assert judge(new, old) == ["spec.secret: is not shared any more"]


@pytest.mark.parametrize(
    "new",
    [thing("a", labels={"team": "blue"}), thing("a", finalizers=[]), thing("b", deletionTimestamp="2026-01-01T00:00:00Z")],
    ids=["label", "finalizer", "going away"],
)
def test_what_leaves_the_spec_alone_or_goes_away_is_not(new: Object) -> None:
    assert judge(new, thing("a", finalizers=["example.dev/hold"])) == []
