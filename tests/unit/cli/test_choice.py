"""Which APIs an operator speaks: those whose CRDs are there and ours, others only when they are named."""

from typing import Any

import pytest

from holdfast.cli.choice import choice_of
from holdfast.cli.dialects import KINDS
from holdfast.cli.errors import HoldfastError
from holdfast.schema.emit import crd


def present(*apis: str, foreign: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for api in (*apis, *foreign):
        for spec in KINDS[api]:
            document = crd(spec)
            if api in foreign:
                document["metadata"]["labels"] = {"app": "somebody-else"}
            found[spec.crd_name] = document
    return found


def spoken(*arguments: Any) -> list[str]:
    return [dialect.name for dialect in choice_of(*arguments).dialects]


def test_what_is_installed_is_spoken_and_the_rest_is_said() -> None:
    choice = choice_of(present("antfly"), ())
    assert [dialect.name for dialect in choice.dialects] == ["antfly"]
    assert any(sentence.startswith("kubestash: CRD ") and "is not installed" in sentence for sentence in choice.left_out)


def test_the_kinds_of_another_product_are_left_to_it_unless_they_are_named() -> None:
    crds = present("antfly", foreign=("kubestash",))
    assert spoken(crds, ()) == ["antfly"]
    assert any("--api kubestash" in sentence for sentence in choice_of(crds, ()).left_out)
    assert spoken(crds, ("kubestash",)) == ["kubestash"]


def test_a_referenced_kind_may_be_anybodys_but_must_be_there() -> None:
    crds = present("antfly")
    crds["antflyclusters.antfly.io"]["metadata"]["labels"] = {"app": "antfly"}
    assert spoken(crds, ()) == ["antfly"]
    del crds["antflyclusters.antfly.io"]
    assert any("deploy/kustomize/referenced" in sentence for sentence in choice_of(crds, ()).left_out)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(HoldfastError, match="known are antfly"):
        choice_of({}, ("velero",))
