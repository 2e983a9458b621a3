"""Whether a CRD's rules may cost too much: estimates against the cases of Kubernetes' own documentation, and our own CRDs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.schema.cel.cost import Shape, estimate
from holdfast.schema.structural import Schema, SchemaError

ROOT = Path(__file__).parents[3]
TEXT: dict[str, Any] = {"type": "string"}


def schema(rule: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A CRD's schema with a rule at its root and one field, `spec`."""
    return {"type": "object", "properties": {"spec": spec}, "x-kubernetes-validations": [{"rule": rule}]}


def objects(*required: str, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required)}


def items(of: dict[str, Any], **bounds: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **bounds}


CHEAP = {
    "a field": ("has(self.spec)", TEXT),
    "a bounded list": ("self.spec.all(x, x.contains('a'))", items({**TEXT, "maxLength": 100}, maxItems=100)),
    "an open list, a cheap body": ("self.spec.all(x, x > 0)", items({"type": "integer"})),
    "an open text, read once": ("self.spec.startsWith('a') && self.spec != 'b'", TEXT),
    "a pattern on a bounded text": ("self.spec.matches('^[a-z]+$')", {**TEXT, "maxLength": 1000}),
    "two bounded lists": (
        "self.spec.a.all(x, self.spec.b.exists(y, x == y))",
        objects(a=items({**TEXT, "maxLength": 10}, maxItems=100), b=items({**TEXT, "maxLength": 10}, maxItems=100)),
    ),
}
DEAR = {
    "a list in itself": ("self.spec.all(x, self.spec.exists(y, x == y))", items(TEXT)),
    "an open list of open texts": ("self.spec.all(x, x.contains('a string that is sought'))", items(TEXT)),
    "a pattern on an open text": ("self.spec.matches('" + "[a-z]{1,9}[0-9]{1,9}" * 8 + "')", TEXT),
    "three loops": (
        "self.spec.all(x, self.spec.all(y, self.spec.all(z, x + y > z)))",
        items({"type": "integer"}, maxItems=1000),
    ),
    "an open map": ("self.spec.all(k, self.spec.all(l, k == l))", {"type": "object", "additionalProperties": TEXT}),
}


@pytest.mark.parametrize("what", CHEAP)
def test_a_rule_within_the_budget_is_taken(what: str) -> None:
    Schema.compile(schema(*CHEAP[what]))


@pytest.mark.parametrize("what", DEAR)
def test_a_rule_over_the_budget_is_refused_with_advice(what: str) -> None:
    with pytest.raises(SchemaError, match=r"estimated rule cost exceeds budget by factor of .*x \(try simplifying .* maxItems"):
        Schema.compile(schema(*DEAR[what]))


def test_a_rule_below_a_list_costs_as_often_as_the_list_may_have_elements() -> None:
    rule = [{"rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"}]
    name = {**TEXT, "maxLength": 63, "x-kubernetes-validations": rule}
    Schema.compile(objects(names=items(name, maxItems=1000)))
    with pytest.raises(SchemaError, match="estimated rule cost"):
        Schema.compile(objects(names=items(name)))
    Schema.compile(objects(outer=items(objects(names=items(name, maxItems=100)), maxItems=100)))
    with pytest.raises(SchemaError, match="estimated rule cost"):
        Schema.compile(objects(outer=items(objects(names=items(name, maxItems=10_000)), maxItems=10_000)))


def test_all_rules_together_have_a_budget_too() -> None:
    rule = {"rule": "self.all(x, x.all(y, y > 0))"}
    dear = {**items(items({"type": "integer"}, maxItems=1000), maxItems=1000), "x-kubernetes-validations": [rule]}
    Schema.compile(objects(**{f"f{number}": dear for number in range(5)}))
    with pytest.raises(SchemaError, match="all rules of the schema exceeds budget"):
        Schema.compile(objects(**{f"f{number}": dear for number in range(30)}))


def test_an_estimate_grows_with_what_is_read() -> None:
    small, large = {"self": Shape(100)}, {"self": Shape(100_000)}
    for text in ("self == 'x' + self", "self.contains('abc')", "self.matches('a+')", "self.lowerAscii() != self"):
        assert estimate(text, small) < estimate(text, large)


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "crds").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_a_real_api_server_would_take_our_own_crds(path: Path) -> None:
    for version in yaml.safe_load(path.read_text())["spec"]["versions"]:
        Schema.compile(version["schema"]["openAPIV3Schema"])
