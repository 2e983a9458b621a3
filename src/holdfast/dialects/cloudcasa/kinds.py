"""The kinds of the CloudCasa API, and the names, labels and words that REST and engine share, in one place.

A document of the REST API is one object: `metadata.name` is its `_id`, `metadata.namespace` the organisation, `spec` what users
own, `status` what Holdfast says of it. `kubectl` sees and edits the same things.
"""

import hashlib
import re
from typing import Final

from holdfast.core.objects import Kind

GROUP: Final = "cloudcasa.holdfast.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

ORGANIZATION: Final = "cloudcasa-io"
"""The organisation, and so the namespace, that exists from the start."""

KUBECLUSTER: Final = Kind(GROUP, "Kubecluster")
POLICY: Final = Kind(GROUP, "Policy")
OBJECTSTORE: Final = Kind(GROUP, "Objectstore")
KUBEBACKUP: Final = Kind(GROUP, "Kubebackup")
KUBEOFFLOAD: Final = Kind(GROUP, "Kubeoffload")
KUBERESTORE: Final = Kind(GROUP, "Kuberestore")
KUBEHOOK: Final = Kind(GROUP, "Kubehook")
KUBEJOB: Final = Kind(GROUP, "Kubejob")
BACKUPINSTANCE: Final = Kind(GROUP, "Backupinstance")
SETTINGS: Final = Kind(GROUP, "Organization")
APIKEY: Final = Kind(GROUP, "Apikey")
NAMECLAIM: Final = Kind(GROUP, "Nameclaim")
BULKWRITE: Final = Kind(GROUP, "Bulkwrite")
JOBLOG: Final = Kind(GROUP, "Joblog")

JOB: Final = Kind("batch", "Job")
CLAIM: Final = Kind("", "PersistentVolumeClaim")
NAMESPACE: Final = Kind("", "Namespace")
VOLUME_SNAPSHOT: Final = Kind("snapshot.storage.k8s.io", "VolumeSnapshot")
STORAGE_CLASS: Final = Kind("storage.k8s.io", "StorageClass")
POD: Final = Kind("", "Pod")
CONFIG_MAP: Final = Kind("", "ConfigMap")
SERVICE_ACCOUNT: Final = Kind("", "ServiceAccount")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io", "RoleBinding")
CLUSTER_ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io", "ClusterRoleBinding")

LOCAL_CLUSTER: Final = "cloudcasa.holdfast.dev/local"
"""Annotation on a Kubecluster: `true` on the one that this very API server is."""

KUBECONFIG: Final = "cloudcasa.holdfast.dev/kubeconfig"
"""Annotation on a Kubecluster: the Secret beside it with a kubeconfig, by which we reach it without an agent."""

ORGANIZATION_LABEL: Final = "cloudcasa.holdfast.dev/organization"
"""Label on a Namespace: `true` makes it an organisation. Nothing of this API runs elsewhere: its runs read all namespaces."""

ORIGIN: Final = "cloudcasa.holdfast.dev/origin"
"""Label on what came from another installation, which keeps the original: the `_id` of the Kubecluster that we are there."""

TARGET: Final = "cloudcasa.holdfast.dev/target"
"""Annotation on a Kubejob that came from there: the objectstore that was chosen for it."""

AGENT_NAMESPACE: Final = "cloudcasa-agent"
"""The organisation, and so the namespace, in which an agent lays down what it brings."""

AGENT: Final = "agent"
"""The role of an agent's key: it reports for its own cluster, and does nothing else."""

PENDING_BULK: Final = "cloudcasa.holdfast.dev/bulk"
"""Label: the Bulkwrite without which this object does not exist yet for anybody."""

UPDATED: Final = "cloudcasa.holdfast.dev/updated"
"""Annotation: when a user last wrote the document, in Unix seconds."""

CREDENTIALS: Final = "cloudcasa.holdfast.dev/credentials"
"""Annotation on an Objectstore: when its credentials were last written, in Unix milliseconds, so that it is tried anew."""

MADE_FOR: Final = "cloudcasa.holdfast.dev/objectstore"
"""Label on a Secret that REST made: the objectstore it is for. Secrets that users bring lack it, and are never swept."""

POINT: Final = "cloudcasa.holdfast.dev/point"
"""Label on a VolumeSnapshot: the recovery point it belongs to."""

COPYDEF: Final = "cloudcasa.holdfast.dev/copydef"
BACKUPDEF: Final = "cloudcasa.holdfast.dev/backupdef"
RESTOREDEF: Final = "cloudcasa.holdfast.dev/restoredef"
DELETES: Final = "cloudcasa.holdfast.dev/deletes"
"""Labels on a Kubejob: the definitions it belongs to, or the recovery point it removes."""

OUTLIVES: Final = "cloudcasa.holdfast.dev/outlives"
"""Annotation on what a job makes for good: a restored claim."""

ACTIVE_STATES: Final = ("PENDING", "RUNNING", "CATALOG")
FINAL_STATES: Final = ("COMPLETED", "PARTIAL", "SKIPPED", "FAILED", "CANCELLED")

IDENT: Final = re.compile(r"[0-9a-f]{24}")
"""What an `_id` looks like."""


def derived_id(*parts: str) -> str:
    """Return the `_id` that follows from these parts: the same parts never make a twin."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def local_cluster_id(organization: str) -> str:
    """Return the `_id` of the cluster that an organisation's own API server is."""
    return derived_id("local", organization)


def claim_name(plural: str, name: str) -> str:
    """Return the name of the object that holds a unique name of one resource."""
    return f"{plural}-{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def secret_name(objectstore: str) -> str:
    """Return the name of the Secret with the credentials of an objectstore."""
    return f"cloudcasa-objectstore-{objectstore}"
