"""Whole answers, field by field, as the documentation of Kubernetes says a real API server gives them.

Defaults and first statuses of the built-in kinds, columns of their tables, refusals of every class, the shape of lists, and
what an eviction is told. Nothing runs here: what is compared no controller has touched.
"""

from typing import Any

import pytest
from tests.api_samples import WIDGET_CRD, Object, widget
from tests.embedded_fixture import Http, api_server, http, until  # noqa: F401

pytestmark = pytest.mark.api

CORE, APPS, BATCH = "/api/v1/namespaces/default", "/apis/apps/v1/namespaces/default", "/apis/batch/v1/namespaces/default"
NETWORK, POLICY = "/apis/networking.k8s.io/v1/namespaces/default", "/apis/policy/v1/namespaces/default"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

CONTAINER: Object = {"name": "a", "image": "busybox:1"}
FULL_CONTAINER: Object = {
    **CONTAINER, "imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}  # fmt: skip
FULL_POD: Object = {
    "containers": [FULL_CONTAINER], "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler", "securityContext": {},
}  # fmt: skip
ONCE: Object = {"restartPolicy": "Never", "containers": [CONTAINER]}
FULL_ONCE: Object = {**FULL_POD, "restartPolicy": "Never"}
LABELS: Object = {"app": "x"}
SELECTOR: Object = {"matchLabels": LABELS}
TEMPLATE: Object = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
FULL_TEMPLATE: Object = {"metadata": {"labels": LABELS}, "spec": FULL_POD}
CLAIM: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}
FULL_CLAIM: Object = {**CLAIM, "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"}
PORT: Object = {"port": 80}
FULL_PORT: Object = {"port": 80, "protocol": "TCP", "targetPort": 80}
SERVICE: Object = {
    "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack", "ports": [FULL_PORT],
}  # fmt: skip
NOTHING_RUNS = {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}

COMPLETED: dict[str, tuple[str, Object, Object, Object]] = {
    "StatefulSet": (
        f"{APPS}/statefulsets",
        {"serviceName": "s", "selector": SELECTOR, "template": TEMPLATE},
        {
            "serviceName": "s", "selector": SELECTOR, "template": FULL_TEMPLATE, "replicas": 1, "revisionHistoryLimit": 10,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        },
        {"replicas": 0, "availableReplicas": 0},
    ),
    "Deployment": (
        f"{APPS}/deployments",
        {"selector": SELECTOR, "template": TEMPLATE},
        {
            "selector": SELECTOR, "template": FULL_TEMPLATE, "replicas": 1, "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        },
        {},
    ),
    "DaemonSet": (
        f"{APPS}/daemonsets",
        {"selector": SELECTOR, "template": TEMPLATE},
        {
            "selector": SELECTOR, "template": FULL_TEMPLATE, "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        },
        NOTHING_RUNS,
    ),
    "ReplicaSet": (
        f"{APPS}/replicasets",
        {"selector": SELECTOR, "template": TEMPLATE},
        {"selector": SELECTOR, "template": FULL_TEMPLATE, "replicas": 1},
        {"replicas": 0},
    ),
    "CronJob": (
        f"{BATCH}/cronjobs",
        {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": ONCE}}}},
        {
            "schedule": "0 0 * * *", "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": FULL_ONCE}}},
        },
        {},
    ),
    "PersistentVolumeClaim": (f"{CORE}/persistentvolumeclaims", CLAIM, FULL_CLAIM, {"phase": "Pending"}),
    "PersistentVolume": (
        "/api/v1/persistentvolumes",
        {"capacity": {"storage": "0.5Ti"}, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "a", "path": "/"}},
        {
            "capacity": {"storage": "512Gi"}, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "a", "path": "/"},
            "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem",
        },
        {"phase": "Pending"},
    ),
    "Service": (f"{CORE}/services", {"ports": [PORT]}, SERVICE, {"loadBalancer": {}}),
    "ResourceQuota": (f"{CORE}/resourcequotas", {"hard": {"cpu": 0.5}}, {"hard": {"cpu": "500m"}}, {}),
    "NetworkPolicy": (
        f"{NETWORK}/networkpolicies",
        {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]},
        {"podSelector": {}, "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}], "policyTypes": ["Ingress", "Egress"]},
        {},
    ),
    "PodDisruptionBudget": (
        f"{POLICY}/poddisruptionbudgets",
        {"minAvailable": 1, "selector": SELECTOR},
        {"minAvailable": 1, "selector": SELECTOR},
        dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0),
    ),
}  # fmt: skip
"""Per kind: where it is made, what is sent, the spec that is answered, and the status before any controller came by."""

ADDRESSES = ("clusterIP", "clusterIPs")
"""What no two servers give alike."""


async def test_specs_are_completed_and_statuses_begun(http: Http):  # noqa: F811
    for kind, (path, sent, spec, status) in COMPLETED.items():
        made = await http.ok("POST", path, {"metadata": {"name": "whole"}, "spec": sent})
        for key in ADDRESSES if kind == "Service" else ():
            assert made["spec"].pop(key)
        assert made["spec"].pop("storageClassName", "standard") == "standard"
        assert (kind, made["spec"], made.get("status") or {}) == (kind, spec, status)


async def test_a_pod_is_completed(http: Http):  # noqa: F811
    limits = {"cpu": "1000m", "memory": "1024Mi"}
    container = {**CONTAINER, "image": "busybox", "resources": {"limits": limits}, "ports": [{"containerPort": 80}]}
    container |= {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}
    container |= {"livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"grpc": {"port": 1}}}
    volumes: list[Object] = [
        {"name": "e"},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "h", "hostPath": {"path": "/"}},
    ]
    made = await http.ok(
        "POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [container], "volumes": volumes}}
    )
    spec, amounts = made["spec"], {"cpu": "1", "memory": "1Gi"}
    probe = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    found = spec["containers"][0]
    found.pop("volumeMounts", None)
    assert found == {
        **FULL_CONTAINER, "image": "busybox", "imagePullPolicy": "Always",
        "resources": {"limits": amounts, "requests": amounts},
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "env": [{"name": "X", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        "livenessProbe": {**probe, "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}},
        "readinessProbe": {**probe, "grpc": {"port": 1, "service": ""}},
    }  # fmt: skip
    assert [each for each in spec["volumes"] if not each["name"].startswith("kube-api-access-")] == [
        {"name": "e", "emptyDir": {}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "h", "hostPath": {"path": "/", "type": ""}},
    ]
    rest = {key: spec[key] for key in FULL_POD if key != "containers"}
    assert rest == {key: value for key, value in FULL_POD.items() if key != "containers"}
    assert (spec["enableServiceLinks"], spec["priority"], spec["preemptionPolicy"]) == (True, 0, "PreemptLowerPriority")
    assert [(each["key"], each["tolerationSeconds"]) for each in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]
    assert made["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


@pytest.mark.own
async def test_a_pod_gets_its_accounts_token_as_a_volume_of_its_own_but_where_nobody_wants_it(http: Http):  # noqa: F811
    made = await http.ok("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})
    mount, volume = made["spec"]["containers"][0]["volumeMounts"][0], made["spec"]["volumes"][0]
    assert mount["name"] == volume["name"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/var/run/secrets/kubernetes.io/serviceaccount", True)
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    spec: Object = {"containers": [CONTAINER], "automountServiceAccountToken": False}
    bare = await http.ok("POST", f"{CORE}/pods", {"metadata": {"name": "bare"}, "spec": spec})
    assert "volumes" not in bare["spec"]


async def test_what_admission_adds_has_no_manager(http: Http):  # noqa: F811
    made = await http.ok("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})
    (entry,) = made["metadata"]["managedFields"]
    assert {"manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"} == set(entry)
    assert set(entry["fieldsV1"]) == {"f:spec"}
    assert {"f:tolerations", "f:serviceAccount", "f:priority", "f:volumes"}.isdisjoint(entry["fieldsV1"]["f:spec"])


async def test_a_job_selects_its_pods_by_its_uid_and_shares_their_labels(http: Http):  # noqa: F811
    made = await http.ok("POST", f"{BATCH}/jobs", {"metadata": {"name": "j"}, "spec": {"template": {"spec": ONCE}}})
    uid, spec = made["metadata"]["uid"], made["spec"]
    marks = {
        "batch.kubernetes.io/controller-uid": uid,
        "controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "job-name": "j",
    }
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert spec["template"] == {"metadata": {"labels": marks}, "spec": FULL_ONCE}
    wanted = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False}
    assert {key: spec[key] for key in wanted} == wanted
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    assert (await http.ok("GET", f"{BATCH}/jobs/j"))["metadata"]["labels"] == marks


async def test_a_load_balancer_gets_ports_on_nodes_that_nobody_else_has(http: Http):  # noqa: F811
    spec = {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "ports": [PORT]}
    made = (await http.ok("POST", f"{CORE}/services", {"metadata": {"name": "lb"}, "spec": spec}))["spec"]
    taken = made["ports"][0]["nodePort"]
    assert 30000 <= taken <= 32767
    assert (made["externalTrafficPolicy"], made["allocateLoadBalancerNodePorts"]) == ("Cluster", True)
    assert made["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    again: Object = {"type": "NodePort", "ports": [{**PORT, "nodePort": taken}]}
    refused = await http.call("POST", f"{CORE}/services", {"metadata": {"name": "again"}, "spec": again})
    assert refused.code == 422
    assert "provided port is already allocated" in refused.body["message"]
    outside = {"type": "ExternalName", "externalName": "db.example.com"}
    made = (await http.ok("POST", f"{CORE}/services", {"metadata": {"name": "db"}, "spec": outside}))["spec"]
    assert made == {**outside, "sessionAffinity": "None"}


async def test_items_of_built_in_lists_leave_their_kind_to_the_list_and_others_say_it(http: Http):  # noqa: F811
    await http.ok("POST", f"{CORE}/configmaps", {"metadata": {"name": "a"}})
    listed = await http.ok("GET", f"{CORE}/configmaps?limit=1")
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert {"kind", "apiVersion"}.isdisjoint(listed["items"][0])
    labelled = await http.ok("GET", f"{CORE}/configmaps?fieldSelector=metadata.name%3Da")
    assert (len(labelled["items"]), "kind" in labelled["items"][0]) == (1, False)
    await http.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGET_CRD)
    await http.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "demo"}})
    path = "/apis/example.dev/v1/namespaces/demo/widgets"

    async def made() -> bool:
        return (await http.call("POST", path, widget("w", size=1))).code in (201, 409)

    await until(made)
    assert (await http.ok("GET", path))["items"][0]["kind"] == "Widget"


COLUMNS = {
    "/api/v1/pods": "Name Ready Status Restarts Age IP+ Node+ Nominated_Node+ Readiness_Gates+",
    "/api/v1/services": "Name Type Cluster-IP External-IP Port(s) Age Selector+",
    "/api/v1/endpoints": "Name Endpoints Age",
    "/api/v1/nodes": "Name Status Roles Age Version Internal-IP+ External-IP+ OS-Image+ Kernel-Version+ Container-Runtime+",
    "/api/v1/namespaces": "Name Status Age",
    "/api/v1/secrets": "Name Type Data Age",
    "/api/v1/configmaps": "Name Data Age",
    "/api/v1/serviceaccounts": "Name Secrets Age",
    "/api/v1/persistentvolumes": "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass"
    " Reason Age VolumeMode+",
    "/api/v1/persistentvolumeclaims": "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass"
    " Age VolumeMode+",
    "/api/v1/limitranges": "Name Created_At",
    "/api/v1/events": "Last_Seen Type Reason Object Subobject+ Source+ Message First_Seen+ Count+ Name+",
    "/api/v1/replicationcontrollers": "Name Desired Current Ready Age Containers+ Images+ Selector+",
    "/apis/apps/v1/deployments": "Name Ready Up-to-date Available Age Containers+ Images+ Selector+",
    "/apis/apps/v1/replicasets": "Name Desired Current Ready Age Containers+ Images+ Selector+",
    "/apis/apps/v1/statefulsets": "Name Ready Age Containers+ Images+",
    "/apis/apps/v1/daemonsets": "Name Desired Current Ready Up-to-date Available Node_Selector Age"
    " Containers+ Images+ Selector+",
    "/apis/apps/v1/controllerrevisions": "Name Controller Revision Age",
    "/apis/batch/v1/jobs": "Name Status Completions Duration Age Containers+ Images+ Selector+",
    "/apis/batch/v1/cronjobs": "Name Schedule Timezone Suspend Active Last_Schedule Age Containers+ Images+ Selector+",
    "/apis/discovery.k8s.io/v1/endpointslices": "Name AddressType Ports Endpoints Age",
    "/apis/policy/v1/poddisruptionbudgets": "Name Min_Available Max_Unavailable Allowed_Disruptions Age",
    "/apis/networking.k8s.io/v1/ingresses": "Name Class Hosts Address Ports Age",
    "/apis/networking.k8s.io/v1/ingressclasses": "Name Controller Parameters Age",
    "/apis/networking.k8s.io/v1/networkpolicies": "Name Pod-Selector Age",
    "/apis/rbac.authorization.k8s.io/v1/roles": "Name Created_At",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles": "Name Created_At",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings": "Name Role Age Users+ Groups+ ServiceAccounts+",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings": "Name Role Age Users+ Groups+ ServiceAccounts+",
    "/apis/coordination.k8s.io/v1/leases": "Name Holder Age",
    "/apis/scheduling.k8s.io/v1/priorityclasses": "Name Value Global-Default Age PreemptionPolicy",
    "/apis/storage.k8s.io/v1/storageclasses": "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
    "/apis/storage.k8s.io/v1/csidrivers": "Name AttachRequired PodInfoOnMount StorageCapacity TokenRequests RequiresRepublish"
    " Modes Age",
    "/apis/storage.k8s.io/v1/volumeattachments": "Name Attacher PV Node Attached Age",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": "Name Created_At",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations": "Name Webhooks Age",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": "Name Webhooks Age",
}
"""Columns of `kubectl get`; those with a plus are shown by `-o wide` only, an underscore is a space."""


async def test_every_kind_has_the_columns_that_kubectl_users_know(http: Http):  # noqa: F811
    for path, wanted in COLUMNS.items():
        table = await http.ok("GET", path, headers={"Accept": TABLE})
        shown = [item["name"].replace(" ", "_") + ("+" if item["priority"] else "") for item in table["columnDefinitions"]]
        assert (path, " ".join(shown)) == (path, wanted)


async def _cells(http: Http, path: str) -> dict[str, Any]:  # noqa: F811
    table = await http.ok("GET", path, headers={"Accept": TABLE})
    names = [item["name"] for item in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True)) | {"row": table["rows"][0]}


async def test_cells_are_worded_as_kubectl_users_know_them(http: Http):  # noqa: F811
    meta: Object = {"metadata": {"name": "c"}}
    budget: Object = {"maxUnavailable": "10%", "selector": SELECTOR}
    await http.ok("POST", f"{POLICY}/poddisruptionbudgets", {**meta, "spec": budget})
    found = await _cells(http, f"{POLICY}/poddisruptionbudgets/c")
    assert (found["Min Available"], found["Max Unavailable"], found["Allowed Disruptions"]) == ("N/A", "10%", 0)
    rule: Object = {"host": "a.example.com", "http": {"paths": []}}
    rule["http"]["paths"] = [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 1}}}}]
    await http.ok("POST", f"{NETWORK}/ingresses", {**meta, "spec": {"tls": [{"hosts": ["a.example.com"]}], "rules": [rule]}})
    found = await _cells(http, f"{NETWORK}/ingresses/c")
    assert (found["Class"], found["Hosts"], found["Address"], found["Ports"]) == ("<none>", "a.example.com", "", "80, 443")
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    who = [{"kind": "Group", "name": "ops"}, {"kind": "ServiceAccount", "name": "ci", "namespace": "default"}]
    await http.ok("POST", rbac, {**meta, "roleRef": ref, "subjects": who})
    found = await _cells(http, f"{rbac}/c")
    assert (found["Role"], found["Groups"], found["ServiceAccounts"]) == ("ClusterRole/view", "ops", "default/ci")
    spec = {"parallelism": 2, "template": {"spec": ONCE}}
    await http.ok("POST", f"{BATCH}/jobs", {**meta, "spec": spec})
    found = await _cells(http, f"{BATCH}/jobs/c")
    assert (found["Status"], found["Completions"], found["Containers"], found["Images"]) == (
        "Running",
        "0/1 of 2",
        "a",
        "busybox:1",
    )
    await http.ok("POST", f"{CORE}/pods", {**meta, "spec": {"containers": [CONTAINER]}})
    await http.patch(f"{CORE}/pods/c/status", {"status": {"phase": "Succeeded"}})
    found = await _cells(http, f"{CORE}/pods/c")
    assert (found["IP"], found["Node"], found["Ready"]) == ("<none>", "<none>", "0/1")
    assert found["row"]["conditions"][0] | {"message": ""} == {
        "type": "Completed", "status": "True", "reason": "Succeeded", "message": "",
    }  # fmt: skip


STALE: Object = {"metadata": {"name": "there", "resourceVersion": "1"}, "data": {"a": "b"}}
THERE: Object = {"name": "there", "kind": "configmaps"}
REFUSALS: list[tuple[str, str, Any, int, str, Object]] = [
    ("GET", f"{CORE}/pods/none", None, 404, "NotFound", {"name": "none", "kind": "pods"}),
    ("GET", f"{APPS}/deployments/none", None, 404, "NotFound", {"name": "none", "group": "apps", "kind": "deployments"}),
    ("POST", f"{CORE}/configmaps", {"metadata": {"name": "there"}}, 409, "AlreadyExists", THERE),
    ("PUT", f"{CORE}/configmaps/there", STALE, 409, "Conflict", THERE),
    ("POST", f"{CORE}/configmaps", {"metadata": {"name": "A"}}, 422, "Invalid", {"name": "A", "kind": "ConfigMap"}),
    ("POST", f"{CORE}/configmaps", b"{", 400, "BadRequest", {}),
    ("POST", "/api/v1/namespaces/none/configmaps", {"metadata": {"name": "a"}}, 404, "NotFound", {"kind": "namespaces"}),
    ("DELETE", f"{CORE}/configmaps/there?propagationPolicy=None", None, 422, "Invalid", {}),
    ("GET", f"{CORE}/things", None, 404, "NotFound", {}),
    ("GET", f"{CORE}/configmaps?labelSelector=a%3D%3D%3D", None, 400, "BadRequest", {}),
    ("GET", f"{CORE}/configmaps?fieldSelector=data.a%3Db", None, 400, "BadRequest", {}),
    ("GET", f"{CORE}/configmaps?continue=x", None, 400, "BadRequest", {}),
    ("PATCH", f"{CORE}/configmaps/there", {}, 415, "UnsupportedMediaType", {}),
    ("PUT", f"{CORE}/configmaps", {}, 405, "MethodNotAllowed", {}),
]  # fmt: skip


async def test_refusals_of_every_class_are_statuses_with_their_reason_and_details(http: Http):  # noqa: F811
    await http.ok("POST", f"{CORE}/configmaps", {"metadata": {"name": "there"}})
    for method, path, body, code, reason, details in REFUSALS:
        reply = await http.call(method, path, body)
        found = reply.body
        assert (method, path, reply.code, found["code"], found["reason"]) == (method, path, code, code, reason)
        assert (found["kind"], found["apiVersion"], found["status"], found["metadata"]) == ("Status", "v1", "Failure", {})
        assert found["message"]
        held = found.get("details", {})
        assert {key: held.get(key) for key in details} == details


async def _evict(http: Http, name: str) -> Any:  # noqa: F811
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    return await http.call("POST", f"{CORE}/pods/{name}/eviction", body)


async def test_an_eviction_needs_a_budget_that_allows_it_and_takes_one_off(http: Http):  # noqa: F811
    budgets = f"{POLICY}/poddisruptionbudgets"
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for name in ("a", "b", "c"):
        meta = {"name": name, "labels": LABELS}
        await http.ok("POST", f"{CORE}/pods", {"metadata": meta, "spec": {"containers": [CONTAINER]}})
        await http.patch(f"{CORE}/pods/{name}/status", {"status": ready})
    await http.ok("POST", budgets, {"metadata": {"name": "calm"}, "spec": {"minAvailable": 2, "selector": SELECTOR}})
    early = await _evict(http, "a")
    assert (early.code, early.headers["Retry-After"]) == (429, "10")
    counted = {"observedGeneration": 1, "expectedPods": 3, "desiredHealthy": 2, "currentHealthy": 3, "disruptionsAllowed": 1}
    await http.patch(f"{budgets}/calm/status", {"status": counted})
    assert (await _evict(http, "a")).code == 201
    status = (await http.ok("GET", f"{budgets}/calm"))["status"]
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["a"])
    refused = await _evict(http, "b")
    assert (refused.code, refused.body["reason"]) == (429, "TooManyRequests")
    assert refused.body["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused.body["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget calm needs 2 healthy pods and has 3 currently"}
    ]
    await http.ok("POST", budgets, {"metadata": {"name": "second"}, "spec": {"minAvailable": 1, "selector": SELECTOR}})
    assert (await _evict(http, "b")).code == 500
    both = {"minAvailable": 1, "maxUnavailable": 1}
    assert (await http.call("POST", budgets, {"metadata": {"name": "both"}, "spec": both})).code == 422
