"""Objects that tests of the API server share."""

from typing import Any

Object = dict[str, Any]

WIDGET_CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.dev"},
    "spec": {
        "group": "example.dev",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1, "description": "How many parts it has."},
                                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                    "note": {"type": "string"},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {"name": {"type": "string"}, "weight": {"type": "integer"}},
                                        },
                                    },
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "demo"}
    return {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": meta, "spec": spec}


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod_template(image: str = "busybox", **spec: Any) -> Object:
    main = {"name": "main", "image": image, "command": ["true"]}
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [main], **spec}}


def pod(name: str, **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_template(**spec)["spec"]}


def _workload(kind: str, name: str, spec: Object) -> Object:
    meta = {"name": name, "namespace": "demo"}
    selector = {"matchLabels": {"app": "web"}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": {"selector": selector, **spec}}


def deployment(name: str, image: str = "busybox") -> Object:
    return _workload("Deployment", name, {"template": pod_template(image)})


def statefulset(name: str) -> Object:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    spec = {
        "replicas": 1,
        "serviceName": name,
        "template": pod_template(),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    return _workload("StatefulSet", name, spec)


def job(name: str) -> Object:
    spec = {"template": pod_template(restartPolicy="Never")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def cronjob(name: str, schedule: str = "0 3 * * *") -> Object:
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": pod_template(restartPolicy="Never")}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "demo"}, "spec": spec}
