"""Label selectors: what Kubernetes says about them."""

import pytest

from holdfast.core import selectors
from holdfast.core.objects import Object


@pytest.mark.parametrize(
    ("operator", "labels", "matches"),
    [
        ({"key": "env", "operator": "In", "values": ["prod"]}, {"env": "prod"}, True),
        ({"key": "env", "operator": "In", "values": ["prod"]}, {}, False),
        ({"key": "env", "operator": "NotIn", "values": ["prod"]}, {}, True),
        ({"key": "env", "operator": "Exists"}, {}, False),
        ({"key": "env", "operator": "DoesNotExist"}, {}, True),
        ({"key": "env", "operator": "Like", "values": ["prod"]}, {"env": "prod"}, False),
    ],
)
def test_a_selector_knows_the_four_operators(operator: Object, labels: dict[str, str], matches: bool) -> None:
    assert selectors.matches({"matchExpressions": [operator]}, labels) is matches


def test_labels_and_expressions_must_all_hold() -> None:
    selector = {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "role", "operator": "Exists"}]}

    assert selectors.matches(selector, {"app": "db", "role": "leader"})
    assert not selectors.matches(selector, {"app": "db"})
    assert selectors.one_label(selector) == ("app", "db")


def test_an_empty_selector_matches_everything_and_is_known_as_such() -> None:
    assert selectors.matches({}, {"any": "thing"})
    assert selectors.is_empty({"matchLabels": {}})
    assert selectors.one_label({}) is None
