"""What tables show and what requests may ask: ages, paths, selectors, URLs, pod states, names, certificates."""

import datetime as dt
import ssl
from pathlib import Path

import pytest

from holdfast.embedded.apiserver.ages import duration
from holdfast.embedded.apiserver.builtin import KINDS
from holdfast.embedded.apiserver.cells import pod_status
from holdfast.embedded.apiserver.discovery import version_order
from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.jsonpath import compile_path
from holdfast.embedded.apiserver.pki import ensure_server_certificate
from holdfast.embedded.apiserver.request import Route, parse_accept, parse_route
from holdfast.embedded.apiserver.selectors import Selector, parse_labels
from holdfast.embedded.apiserver.store import Key, Record
from holdfast.embedded.apiserver.tables import table
from holdfast.embedded.apiserver.wire import parse_body, with_version

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (12000, "3h20m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (180000, "2d2h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (94694400, "3y1d"),
    ],
)
def test_ages_read_as_kubectl_writes_them(seconds: int, shown: str):
    assert duration(dt.timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.size", [3]),
        ("{.spec.size}", [3]),
        ("$.spec.size", [3]),
        (".status.conditions[0].type", ["Ready"]),
        (".status.conditions[-1].type", ["Live"]),
        (".status.conditions[*].type", ["Ready", "Live"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".metadata.labels['app.io/x']", ["y"]),
        (r".metadata.labels.app\.io/x", ["y"]),
        (".spec.none.deeper", []),
    ],
)
def test_paths_of_printer_columns(path: str, found: list):
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Live", "status": "False"}]
    obj = {"spec": {"size": 3}, "status": {"conditions": conditions}, "metadata": {"labels": {"app.io/x": "y"}}}
    assert compile_path(path)(obj) == found


def test_a_path_that_is_not_understood_is_named():
    with pytest.raises(ValueError, match="not understood"):
        compile_path(".spec[?(@.a>3)]")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1,b", {"a": "1"}, False),
        ("a!=1", {}, True),
        ("a in (1, 2)", {"a": "2"}, True),
        ("a notin (1,2)", {"a": "3"}, True),
        ("a notin (1,2)", {}, True),
        ("!a", {"a": ""}, False),
        ("a=", {"a": ""}, True),
        ("x.dev/a in (1),b notin (2)", {"x.dev/a": "1"}, True),
    ],
)
def test_label_selectors(text: str, labels: dict, expected: bool):
    test = parse_labels(text)
    assert test is not None
    assert test(labels) is expected


def test_field_selectors_compare_as_text_what_a_kind_lets_them_name():
    paths = ("status.phase", "spec.on", "status.reason", "spec.hostNetwork")
    record = Record(Key("/pods", "default", "p"), 1, "u", {}, b'{"spec":{"on":true},"status":{"phase":"Running"}}')
    assert Selector("", "status.phase=Running,spec.on=true,metadata.name=p", paths).matches(record)
    assert Selector("", "status.reason=,spec.hostNetwork=false", paths).matches(record)
    assert not Selector("", "status.phase!=Running", paths).matches(record)
    with pytest.raises(StatusError, match=r'field label not supported: "status.phse"'):
        Selector("", "status.phse!=Running", paths)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/pods", Route("", "v1", "pods")),
        ("/api/v1/namespaces/a", Route("", "v1", "namespaces", "", "a")),
        ("/api/v1/namespaces/a/status", Route("", "v1", "namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/pods/p/log", Route("", "v1", "pods", "a", "p", "log")),
        ("/apis/apps/v1/namespaces/a/deployments/d/", Route("apps", "v1", "deployments", "a", "d")),
    ],
)
def test_urls(path: str, route: Route):
    assert parse_route(path) == route


@pytest.mark.parametrize("path", ["/api/v1", "/apis/apps/v1", "/api/v1//pods"])
def test_urls_that_name_no_resource(path: str):
    with pytest.raises(StatusError):
        parse_route(path)


@pytest.mark.parametrize(
    ("header", "is_table"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", True),
        ("application/json", False),
        ("application/vnd.kubernetes.protobuf,application/json;as=Table;v=v1;g=meta.k8s.io", True),
        ("*/*", False),
    ],
)
def test_the_form_of_the_answer_follows_the_first_that_can_be_made(header: str, is_table: bool):
    assert parse_accept(header).table is is_table


def _pod(phase: str, *states: dict, **status) -> dict:
    containers = [{"name": str(at), "state": state} for at, state in enumerate(states)]
    spec = {"containers": [{} for _ in states]}
    return {"metadata": {}, "spec": spec, "status": {"phase": phase, "containerStatuses": containers, **status}}


@pytest.mark.parametrize(
    ("pod", "shown"),
    [
        (_pod("Running", {"running": {}}), "Running"),
        (_pod("Pending", {"waiting": {"reason": "ContainerCreating"}}), "ContainerCreating"),
        (_pod("Running", {"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff"),
        (_pod("Succeeded", {"terminated": {"reason": "Completed", "exitCode": 0}}), "Completed"),
        (_pod("Failed", {"terminated": {"exitCode": 3}}), "ExitCode:3"),
        (_pod("Failed", {"terminated": {"signal": 9}}), "Signal:9"),
        (_pod("Failed", reason="Evicted"), "Evicted"),
    ],
)
def test_the_word_under_status(pod: dict, shown: str):
    assert pod_status(pod, NOW) == shown


def test_a_sidecar_that_runs_counts_as_ready_and_holds_nothing_up():
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"initContainers": [{"name": "side", "restartPolicy": "Always"}], "containers": [{"name": "main"}]},
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": "side", "started": True, "ready": True, "state": {"running": {}}}],
            "containerStatuses": [{"name": "main", "ready": True, "state": {"running": {}}}],
        },
    }
    kind = next(kind for kind in KINDS if kind.kind == "Pod")
    assert table(kind, [pod], {}, NOW)["rows"][0]["cells"][:3] == ["x", "2/2", "Running"]
    pod["status"]["initContainerStatuses"][0]["started"] = False
    assert pod_status(pod, NOW) == "Init:0/1"


def test_every_built_in_kind_has_a_table_and_a_schema():
    for kind in KINDS:
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}, "spec": {}}
        assert kind.schema is not None
        assert kind.schema().process(obj).errors == []
        shown = table(kind, [obj], {}, NOW)
        assert len(shown["rows"][0]["cells"]) == len(shown["columnDefinitions"])


def test_the_preferred_version_is_the_most_stable_and_highest():
    assert sorted(["v1beta1", "v1", "v1alpha1", "v2", "v2beta3", "other"], key=version_order) == [
        "v2", "v1", "v2beta3", "v1beta1", "v1alpha1", "other",
    ]  # fmt: skip


def test_yaml_keeps_dates_as_text():
    assert parse_body(b"a: 2026-11-20", allow_yaml=True) == {"a": "2026-11-20"}


def test_another_version_changes_only_the_head():
    data = b'{"apiVersion":"x.dev/v1","kind":"A","spec":{"apiVersion":"x.dev/v1"}}'
    expected = b'{"apiVersion":"x.dev/v2","kind":"A","spec":{"apiVersion":"x.dev/v1"}}'
    assert with_version(data, "x.dev/v1", "x.dev/v2") == expected


def test_certificates_are_kept_and_renewed_when_a_name_is_missing(tmp_path: Path):
    ca, certificate, key = ensure_server_certificate(tmp_path, ("127.0.0.1",))
    first = certificate.read_bytes()
    ensure_server_certificate(tmp_path, ("127.0.0.1",))
    assert certificate.read_bytes() == first
    ensure_server_certificate(tmp_path, ("api.example.dev",))
    assert certificate.read_bytes() != first
    ssl.create_default_context(cafile=str(ca)).load_cert_chain(certificate, key)
