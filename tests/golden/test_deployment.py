"""The three ways to install: generated from the code, equal to each other, and kustomize and Helm can read them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests import tools

from holdfast.cli import deployment
from holdfast.cli.dialects import KINDS
from holdfast.templates import Template

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "holdfast"

Object = dict[str, Any]


def documents(text: str | bytes) -> list[Object]:
    return [obj for obj in yaml.load_all(text, yaml.CSafeLoader) if obj]


def named(objects: list[Object]) -> dict[str, Object]:
    found: dict[str, Object] = {}
    for obj in objects:
        meta = obj["metadata"]
        key = f"{obj['kind']}/{meta.get('namespace', '')}/{meta['name']}"
        assert key not in found, f"{key} is there twice"
        found[key] = obj
    return found


def installed() -> dict[str, Object]:
    return named(documents((ROOT / "deploy" / "install.yaml").read_text()))


def rendered(values: Object) -> dict[str, Object]:
    """What the chart makes of values, in the namespace of the other ways."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    given = {
        "Values": values,
        "Release": {"Namespace": deployment.NAMESPACE, "Name": "holdfast"},
        "Chart": {"AppVersion": chart["appVersion"], "Name": chart["name"]},
    }
    objects: list[Object] = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        text = Template(path.read_text(), name=path.name).render(given)
        objects += documents(text)
    for obj in objects:
        notes = obj["metadata"].get("annotations", {})
        if notes.pop("helm.sh/resource-policy", "") and not notes:
            del obj["metadata"]["annotations"]
    return named(objects)


def values() -> Object:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_files_are_those_that_the_code_gives() -> None:
    for name, text in deployment.files().items():
        assert (ROOT / name).read_text() == text, f"{name}: `make gen` writes it anew"
    assert not deployment.outdated(ROOT)


def test_kustomize_builds_what_the_one_file_holds() -> None:
    built = subprocess.run(
        [tools.kubectl(), "kustomize", str(ROOT / "deploy" / "kustomize")], capture_output=True, text=True, check=True
    )
    assert named(documents(built.stdout)) == installed()


def test_the_chart_makes_the_same_objects() -> None:
    wanted = {key: obj for key, obj in installed().items() if obj["kind"] != "Namespace"}
    found = rendered(values())
    assert found.keys() == wanted.keys()
    for key, obj in wanted.items():
        assert found[key] == obj, key


def test_an_api_that_is_switched_off_brings_neither_kinds_nor_rights() -> None:
    chosen = values()
    chosen["apis"]["kubestash"]["enabled"] = False
    found = rendered(chosen)
    assert not [key for key in found if "kubestash" in key.lower()]
    assert "ClusterRole//holdfast-operator-antfly" in found


def test_the_optional_parts_are_those_of_their_kustomizations() -> None:
    chosen = values() | {"webhook": {"enabled": True}, "rest": {"enabled": True}}
    plain = rendered(values())
    more = {key: obj for key, obj in rendered(chosen).items() if key not in plain}
    assert more == named([*deployment.webhook_objects(), *deployment.rest_objects()])
    for part in ("webhook", "rest"):
        built = subprocess.run([tools.kubectl(), "kustomize", str(ROOT / "deploy" / part)], capture_output=True, check=True)
        assert f"ServiceAccount/{deployment.NAMESPACE}/holdfast-{part}" in named(documents(built.stdout))


def test_values_reach_the_pod() -> None:
    chosen = values() | {
        "image": {"repository": "registry.example/holdfast", "tag": "9", "pullSecrets": ["pull"]},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "nodeSelector": {"disk": "ssd"},
        "priorityClassName": "high",
        "shards": 4,
    }
    found = rendered(chosen)
    pod = found[f"Deployment/{deployment.NAMESPACE}/holdfast-operator"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/holdfast:9"
    assert "--image=registry.example/holdfast:9" in pod["containers"][0]["args"]
    assert "--shards=4" in pod["containers"][0]["args"]
    assert pod["containers"][0]["env"] == chosen["env"]
    assert (pod["tolerations"], pod["nodeSelector"], pod["priorityClassName"]) == (
        chosen["tolerations"],
        {"disk": "ssd"},
        "high",
    )
    account = found[f"ServiceAccount/{deployment.NAMESPACE}/holdfast-operator"]
    assert account["imagePullSecrets"] == [{"name": "pull"}]


def test_the_values_have_a_schema_that_notices_mistakes() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(values(), schema)
    assert set(values()["apis"]) == set(KINDS)
    for wrong in ({"replicas": 0}, {"imagee": {}}, {"apis": {"antfly": {"enabled": "yes"}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values() | wrong, schema)


def test_the_operator_runs_without_privileges() -> None:
    pod = installed()[f"Deployment/{deployment.NAMESPACE}/holdfast-operator"]["spec"]["template"]["spec"]
    container = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
