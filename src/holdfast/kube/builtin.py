"""The resources that every cluster serves, by the names a kubectl user knows."""

from typing import Final

from holdfast.kube.resource import Resource

PODS: Final = Resource("", "v1", "Pod", "pods")
SERVICES: Final = Resource("", "v1", "Service", "services")
ENDPOINTS: Final = Resource("", "v1", "Endpoints", "endpoints")
ENDPOINTSLICES: Final = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
SECRETS: Final = Resource("", "v1", "Secret", "secrets")
CONFIGMAPS: Final = Resource("", "v1", "ConfigMap", "configmaps")
EVENTS: Final = Resource("", "v1", "Event", "events")
SERVICEACCOUNTS: Final = Resource("", "v1", "ServiceAccount", "serviceaccounts")
PVCS: Final = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
PVS: Final = Resource("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
NAMESPACES: Final = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
NODES: Final = Resource("", "v1", "Node", "nodes", namespaced=False)

STATEFULSETS: Final = Resource("apps", "v1", "StatefulSet", "statefulsets")
DEPLOYMENTS: Final = Resource("apps", "v1", "Deployment", "deployments")
DAEMONSETS: Final = Resource("apps", "v1", "DaemonSet", "daemonsets")
REPLICASETS: Final = Resource("apps", "v1", "ReplicaSet", "replicasets")

JOBS: Final = Resource("batch", "v1", "Job", "jobs")
CRONJOBS: Final = Resource("batch", "v1", "CronJob", "cronjobs")

PODDISRUPTIONBUDGETS: Final = Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")

LEASES: Final = Resource("coordination.k8s.io", "v1", "Lease", "leases")
PRIORITYCLASSES: Final = Resource("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)
STORAGECLASSES: Final = Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)
CSIDRIVERS: Final = Resource("storage.k8s.io", "v1", "CSIDriver", "csidrivers", namespaced=False)
CRDS: Final = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)

ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLEBINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
CLUSTERROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTERROLEBINDINGS: Final = Resource(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)

VALIDATINGWEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
SELFSUBJECTREVIEWS: Final = Resource("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False)
TOKENREVIEWS: Final = Resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False)

VOLUMESNAPSHOTS: Final = Resource("snapshot.storage.k8s.io", "v1", "VolumeSnapshot", "volumesnapshots")
VOLUMESNAPSHOTCONTENTS: Final = Resource(
    "snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent", "volumesnapshotcontents", namespaced=False
)
VOLUMESNAPSHOTCLASSES: Final = Resource(
    "snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass", "volumesnapshotclasses", namespaced=False
)
