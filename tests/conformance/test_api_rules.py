"""CEL rules of custom resources over HTTP: install, create, update, status, patch."""

import copy

import pytest
from tests.api_samples import WIDGET_CRD, Object
from tests.embedded_fixture import Http, api_server, http  # noqa: F401

pytestmark = pytest.mark.api

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.dev/v1/namespaces/default/widgets"


def _crd(*rules: Object) -> Object:
    crd = copy.deepcopy(WIDGET_CRD)
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["properties"]["status"] = {"type": "object", "properties": {"phase": {"type": "string"}}}
    root["x-kubernetes-validations"] = list(rules)
    return crd


def _widget(**spec: object) -> Object:
    return {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


async def test_rules_hold_at_every_way_of_writing(http: Http):  # noqa: F811
    limits = {
        "rule": "self.spec.size < 10 || self.spec.color == 'blue'",
        "message": "large ones are blue",
        "fieldPath": ".spec.size",
    }
    fixed = {"rule": "!has(oldSelf.spec.note) || self.spec.?note.orValue('') == oldSelf.spec.note", "message": "note stays"}
    await http.ok("POST", CRDS, _crd(limits, fixed))
    refused = await http.call("POST", WIDGETS, _widget(size=12))
    assert refused.code == 422
    assert refused.body["details"]["causes"][0]["field"] == "spec.size"
    assert "large ones are blue" in refused.body["message"]
    await http.ok("POST", WIDGETS, _widget(size=3, note="first"))
    refused = await http.patch(f"{WIDGETS}/w", {"spec": {"note": "second"}})
    assert (refused.code, "note stays" in refused.body["message"]) == (422, True)
    assert (await http.patch(f"{WIDGETS}/w", {"spec": {"size": 4}})).code == 200
    stored = await http.ok("GET", f"{WIDGETS}/w")
    refused = await http.call("PUT", f"{WIDGETS}/w", {**stored, "spec": {**stored["spec"], "size": 40}})
    assert refused.code == 422


async def test_rules_see_the_status_that_will_be_stored(http: Http):  # noqa: F811
    rule = {"rule": "!has(self.status) || self.status.?phase.orValue('') != 'Full' || self.spec.size > 5", "message": "small"}
    await http.ok("POST", CRDS, _crd(rule))
    await http.ok("POST", WIDGETS, _widget(size=3))
    refused = await http.patch(f"{WIDGETS}/w/status", {"status": {"phase": "Full"}})
    assert (refused.code, "small" in refused.body["message"]) == (422, True)
    assert (await http.patch(f"{WIDGETS}/w", {"spec": {"size": 6}})).code == 200
    assert (await http.patch(f"{WIDGETS}/w/status", {"status": {"phase": "Full"}})).code == 200
    refused = await http.patch(f"{WIDGETS}/w", {"spec": {"size": 2}})
    assert refused.code == 422


async def test_a_definition_with_an_unknown_function_is_refused_at_install(http: Http):  # noqa: F811
    refused = await http.call("POST", CRDS, _crd({"rule": "conjure(self.spec.size) > 1"}))
    assert refused.code == 422
    assert "undeclared reference to 'conjure'" in refused.body["message"]
    assert (await http.call("GET", f"{CRDS}/widgets.example.dev")).code == 404
