"""Which objects a manifests backup means, and how they come back."""

from typing import Any

import pytest

from holdfast.core.manifests import Changes, Selection, identity, path_of, rank, resource_of, restored, why_left
from holdfast.core.objects import Object


def obj(kind: str, name: str = "x", namespace: str = "demo", **fields: Any) -> Object:
    meta = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": {key: value for key, value in meta.items() if value}, **fields}


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), True),
        (("*",), (), True),
        (("deployments",), (), True),
        (("deployments.apps",), (), True),
        (("deployments.other",), (), False),
        ((), ("deployments",), False),
        (("*",), ("deployments.apps",), False),
        (("deployments",), ("deployments.apps",), False),
        ((), ("*",), False),
    ],
)
def test_resources_are_named_by_plural_or_with_their_group(
    include: tuple[str, ...], exclude: tuple[str, ...], taken: bool
) -> None:
    selection = Selection(resources=include, exclude_resources=exclude)
    assert selection.takes_resource("deployments.apps", namespaced=True) is taken
    assert not selection.takes_resource("deployments.apps", namespaced=False)


def test_namespaces_are_chosen_and_left_out() -> None:
    assert Selection(namespaces=("demo",)).takes(obj("Pod"))
    assert not Selection(namespaces=("other",)).takes(obj("Pod"))
    assert not Selection(namespaces=("*",), exclude_namespaces=("demo",)).takes(obj("Pod"))
    assert Selection(namespaces=("other",)).takes(obj("Namespace", namespace=""))


@pytest.mark.parametrize(
    ("every", "some", "taken"),
    [
        (("app=web", "tier:front"), (), True),
        (("app=web", "tier=back"), (), False),
        (("app",), (), True),
        (("zone",), (), False),
        ((), ("zone", "app=web"), True),
        ((), ("zone", "app=db"), False),
        (("app",), ("app=db",), False),
    ],
)
def test_labels_are_all_wanted_or_one_of_them(every: tuple[str, ...], some: tuple[str, ...], taken: bool) -> None:
    labelled = obj("Pod", metadata={"labels": {"app": "web", "tier": "front"}})
    assert Selection(all_labels=every, any_labels=some).takes(labelled) is taken


def test_a_manifest_lies_by_resource_and_place() -> None:
    assert path_of("deployments.apps", obj("Deployment")) == "deployments.apps/namespaces/demo/x.yaml"
    assert path_of("namespaces", obj("Namespace", namespace="")) == "namespaces/cluster/x.yaml"
    assert resource_of("/deployments.apps/namespaces/demo/x.yaml") == "deployments.apps"
    for wrong in ("x.yaml", "a/namespaces/x.yaml", "a/cluster/x.txt", "a/b/c/d/e.yaml"):
        with pytest.raises(ValueError, match="is no manifest"):
            resource_of(wrong)


def test_definitions_come_first_and_what_nothing_waits_for_last() -> None:
    names = ["pods", "configmaps", "secrets", "namespaces", "persistentvolumeclaims", "deployments.apps"]
    names.append("customresourcedefinitions.apiextensions.k8s.io")
    assert sorted(names, key=rank) == [
        "customresourcedefinitions.apiextensions.k8s.io",
        "namespaces",
        "persistentvolumeclaims",
        "secrets",
        "configmaps",
        "deployments.apps",
        "pods",
    ]


@pytest.mark.parametrize(
    ("resource", "given", "why"),
    [
        ("events", obj("Event"), "by itself"),
        ("persistentvolumes", obj("PersistentVolume", namespace=""), "not asked for"),
        ("secrets", obj("Secret", type="kubernetes.io/service-account-token"), "another cluster"),
        ("secrets", obj("Secret", type="Opaque"), ""),
        ("configmaps", obj("ConfigMap", "kube-root-ca.crt"), "its own"),
        ("jobs.batch", obj("Job", status={"conditions": [{"type": "Complete", "status": "True"}]}), "had ended"),
        ("jobs.batch", obj("Job", status={"active": 1}), ""),
        ("pods", obj("Pod", status={"phase": "Succeeded"}), "had ended"),
    ],
)
def test_what_is_true_of_another_cluster_only_stays_out(resource: str, given: Object, why: str) -> None:
    left = why_left(resource, given, Changes(), ())
    assert (why in left) if why else left == ""


def test_what_a_controller_owns_is_left_to_it_when_it_comes_back_too() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": True}
    pod = obj("Pod", metadata={"ownerReferences": [owner]})
    there = identity(obj("ReplicaSet", "web-1"))
    assert why_left("pods", pod, Changes(), {there}) == "it is left to its ReplicaSet web-1"
    assert why_left("pods", pod, Changes(), set()) == ""
    assert "ownerReferences" not in restored("pods", pod, Changes())["metadata"]


def test_volumes_come_along_only_when_that_is_asked_for() -> None:
    annotations = {"pv.kubernetes.io/bind-completed": "yes", "mine": "1"}
    spec = {"volumeName": "pv-1", "storageClassName": "fast", "dataSource": {"kind": "VolumeSnapshot", "name": "s"}}
    claim = obj("PersistentVolumeClaim", metadata={"annotations": annotations}, spec=spec, status={"phase": "Bound"})
    made = restored("persistentvolumeclaims", claim, Changes(storage_classes={"fast": "slow"}))
    assert made["spec"] == {"storageClassName": "slow"}
    assert made["metadata"]["annotations"] == {"mine": "1"}
    assert "status" not in made
    assert claim["spec"]["volumeName"] == "pv-1"
    kept = restored("persistentvolumeclaims", claim, Changes(volumes=True))
    assert kept["spec"]["volumeName"] == "pv-1"
    reference = {"namespace": "demo", "name": "x", "uid": "u", "resourceVersion": "1"}
    volume = obj("PersistentVolume", namespace="", spec={"claimRef": reference, "storageClassName": "fast"})
    made = restored("persistentvolumes", volume, Changes({"demo": "copy"}, {"fast": "slow"}, volumes=True))
    assert made["spec"] == {"claimRef": {"namespace": "copy", "name": "x"}, "storageClassName": "slow"}


def test_what_the_cluster_gave_out_is_asked_for_anew() -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    service = obj("Service", metadata={"uid": "u", "resourceVersion": "5"}, spec={"clusterIP": "10.0.0.1", "ports": ports})
    made = restored("services", service, Changes())
    assert made["spec"] == {"ports": ports}
    assert made["metadata"] == {"name": "x", "namespace": "demo"}
    assert restored("services", service, Changes({"demo": "copy"}))["spec"]["ports"] == [{"port": 80}]
    headless = obj("Service", spec={"clusterIP": "None", "clusterIPs": ["None"]})
    assert restored("services", headless, Changes())["spec"] == headless["spec"]


def test_a_job_gets_a_selector_of_its_own_and_a_pod_a_node_and_token() -> None:
    labels = {"batch.kubernetes.io/controller-uid": "u", "app": "x"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": dict(labels)}, "spec": {}}}
    made = restored("jobs.batch", obj("Job", spec=spec), Changes())
    assert made["spec"] == {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {}}}
    mounts = [{"name": "kube-api-access-1", "mountPath": "/t"}, {"name": "data", "mountPath": "/d"}]
    pod = obj(
        "Pod",
        spec={
            "nodeName": "n1",
            "volumes": [{"name": "kube-api-access-1"}, {"name": "data"}],
            "containers": [{"name": "c", "volumeMounts": mounts}],
        },
    )
    made = restored("pods", pod, Changes())
    assert made["spec"] == {"volumes": [{"name": "data"}], "containers": [{"name": "c", "volumeMounts": mounts[1:]}]}


def test_a_mapped_namespace_is_meant_everywhere() -> None:
    changes = Changes({"demo": "copy"})
    assert restored("namespaces", obj("Namespace", "demo", ""), changes)["metadata"]["name"] == "copy"
    assert restored("configmaps", obj("ConfigMap"), changes)["metadata"]["namespace"] == "copy"
    binding = obj("RoleBinding", subjects=[{"kind": "ServiceAccount", "name": "a", "namespace": "demo"}])
    made = restored("rolebindings.rbac.authorization.k8s.io", binding, changes)
    assert made["subjects"][0]["namespace"] == "copy"
