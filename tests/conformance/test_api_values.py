"""What built-in kinds refuse as a real API server does, and the kinds that are only kept."""

import pytest
from tests.api_samples import Object
from tests.embedded_fixture import Http, api_server, http  # noqa: F401

pytestmark = pytest.mark.api

NS = "/api/v1/namespaces/default"
CONTAINER: Object = {"name": "a", "image": "x"}


def _object(api: str, kind: str, spec: Object) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "v"}, "spec": spec}


def _pod(**fields: object) -> Object:
    return _object("v1", "Pod", {"containers": [{**CONTAINER, **fields}]})


def _claim(size: object, mode: str = "ReadWriteOnce") -> Object:
    return _object("v1", "PersistentVolumeClaim", {"accessModes": [mode], "resources": {"requests": {"storage": size}}})


def _cron(**fields: object) -> Object:
    template = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}}
    return _object("batch/v1", "CronJob", {"schedule": "* * * * *", "jobTemplate": template, **fields})


def _deployment(**fields: object) -> Object:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
    return _object("apps/v1", "Deployment", {"selector": {"matchLabels": {"a": "b"}}, "template": template, **fields})


REFUSED = [
    (f"{NS}/pods", _pod(imagePullPolicy="Sometimes"), "spec.containers[0].imagePullPolicy"),
    (f"{NS}/pods", _pod(name="A_"), "spec.containers[0].name"),
    (f"{NS}/pods", _pod(ports=[{"containerPort": 0}]), "spec.containers[0].ports[0].containerPort"),
    (f"{NS}/pods", _pod(resources={"limits": {"cpu": "many"}}), "spec.containers[0].resources.limits.cpu"),
    (
        f"{NS}/pods",
        _pod(resources={"limits": {"cpu": 1}, "requests": {"cpu": "1500m"}}),
        "spec.containers[0].resources.requests",
    ),
    (f"{NS}/pods", _pod(livenessProbe={"periodSeconds": 1}), "spec.containers[0].livenessProbe"),
    (f"{NS}/pods", _pod(env=[{"name": "", "value": "x"}]), "spec.containers[0].env[0].name"),
    (f"{NS}/persistentvolumeclaims", _claim("-1Gi"), "spec.resources.requests.storage"),
    (f"{NS}/persistentvolumeclaims", _claim("1Gi", "Foo"), "spec.accessModes[0]"),
    (f"{NS}/services", _object("v1", "Service", {"ports": [{"port": 99999}]}), "spec.ports[0].port"),
    (f"{NS}/services", _object("v1", "Service", {"ports": [{"port": 1}, {"port": 2}]}), "spec.ports[0].name"),
    (f"{NS}/secrets", {**_object("v1", "Secret", {}), "type": "kubernetes.io/tls"}, "data[tls.key]"),
    (f"{NS}/configmaps", {**_object("v1", "ConfigMap", {}), "data": {"a": "x" * (1 << 20)}}, "data"),
    ("/api/v1/persistentvolumes", _object("v1", "PersistentVolume", {}), "spec.capacity"),
    ("/apis/batch/v1/namespaces/default/cronjobs", _cron(timeZone="Mars/X"), "spec.timeZone"),
    ("/apis/batch/v1/namespaces/default/cronjobs", _cron(startingDeadlineSeconds=-1), "spec.startingDeadlineSeconds"),
    ("/apis/apps/v1/namespaces/default/deployments", _deployment(replicas=-1), "spec.replicas"),
]


async def test_values_out_of_their_words_and_bounds_are_refused(http: Http):  # noqa: F811
    for path, body, field in REFUSED:
        answer = await http.call("POST", path, {key: value for key, value in body.items() if value})
        assert answer.code == 422, (field, answer.body)
        assert field in [cause["field"] for cause in answer.body["details"]["causes"]]


async def test_amounts_may_be_numbers_and_an_empty_word_is_left_out(http: Http):  # noqa: F811
    amounts = {"requests": {"cpu": 0.5, "memory": "1e3"}, "limits": {"cpu": "1", "memory": "1.5Gi"}}
    made = await http.ok("POST", "/apis/apps/v1/namespaces/default/deployments", _deployment())
    made["spec"]["template"]["spec"]["containers"][0] |= {"resources": amounts, "imagePullPolicy": ""}
    kept = await http.ok("PUT", "/apis/apps/v1/namespaces/default/deployments/v", made)
    assert kept["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_a_claim_grows_and_never_shrinks(http: Http):  # noqa: F811
    await http.ok("POST", f"{NS}/persistentvolumeclaims", _claim("2Gi"))
    sizes = [({"spec": {"resources": {"requests": {"storage": size}}}}, code) for size, code in (("1Gi", 422), ("3Gi", 200))]
    for body, code in sizes:
        assert (await http.patch(f"{NS}/persistentvolumeclaims/v", body)).code == code


async def test_a_slip_in_a_field_selector_selects_nothing_and_deletes_nothing(http: Http):  # noqa: F811
    await http.ok("POST", f"{NS}/configmaps", {"metadata": {"name": "kept"}})
    answer = await http.call("DELETE", f"{NS}/configmaps?fieldSelector=metadata.nmae!%3Dkept")
    assert (answer.code, "field label not supported" in answer.body["message"]) == (400, True)
    await http.ok("GET", f"{NS}/configmaps/kept")
    nodes = await http.ok("GET", "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse")
    assert nodes["kind"] == "NodeList"


async def test_kinds_without_a_controller_are_kept_and_openapi_v2_is_answered(http: Http):  # noqa: F811
    ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    made = await http.ok("POST", ingresses, _object("networking.k8s.io/v1", "Ingress", {"defaultBackend": backend}))
    assert made["spec"]["defaultBackend"] == backend
    assert (await http.ok("GET", "/openapi/v2"))["swagger"] == "2.0"
    missing = await http.call("GET", f"{NS}/pods/nosuch/ephemeralcontainers")
    assert (missing.code, "details" in missing.body) == (404, True)
