"""What the fields of built-in kinds may hold beyond their type: the words of an enumeration, the bounds of a number.

Facts of the Kubernetes API (1.33), by type and field, so that they hold wherever the type stands: a container's pull policy
in a Pod and in the template of a CronJob. They become part of the validation schema (`shapes.schema_of`). An empty word is
what a chart renders when nothing is set; it counts as left out.
"""

from typing import Final

from holdfast.embedded.apiserver.objects import Object

_WORDS: Final[dict[str, str]] = {
    "core.PodSpec.restartPolicy": "Always OnFailure Never",
    "core.PodSpec.dnsPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
    "core.PodSpec.preemptionPolicy": "PreemptLowerPriority Never",
    "core.Container.imagePullPolicy": "Always IfNotPresent Never",
    "core.Container.restartPolicy": "Always",
    "core.Container.terminationMessagePolicy": "File FallbackToLogsOnError",
    "core.ContainerPort.protocol": "TCP UDP SCTP",
    "core.HTTPGetAction.scheme": "HTTP HTTPS",
    "core.SeccompProfile.type": "Localhost RuntimeDefault Unconfined",
    "core.PodSecurityContext.fsGroupChangePolicy": "OnRootMismatch Always",
    "core.VolumeMount.mountPropagation": "None HostToContainer Bidirectional",
    "core.Toleration.operator": "Exists Equal",
    "core.Toleration.effect": "NoSchedule PreferNoSchedule NoExecute",
    "core.Taint.effect": "NoSchedule PreferNoSchedule NoExecute",
    "core.NodeSelectorRequirement.operator": "In NotIn Exists DoesNotExist Gt Lt",
    "core.TopologySpreadConstraint.whenUnsatisfiable": "DoNotSchedule ScheduleAnyway",
    "core.PersistentVolumeClaimSpec.accessModes": "ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod",
    "core.PersistentVolumeClaimSpec.volumeMode": "Filesystem Block",
    "core.PersistentVolumeSpec.accessModes": "ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod",
    "core.PersistentVolumeSpec.persistentVolumeReclaimPolicy": "Delete Recycle Retain",
    "core.PersistentVolumeSpec.volumeMode": "Filesystem Block",
    "core.ServiceSpec.type": "ClusterIP ExternalName LoadBalancer NodePort",
    "core.ServiceSpec.sessionAffinity": "ClientIP None",
    "core.ServiceSpec.externalTrafficPolicy": "Cluster Local",
    "core.ServiceSpec.internalTrafficPolicy": "Cluster Local",
    "core.ServicePort.protocol": "TCP UDP SCTP",
    "meta.LabelSelectorRequirement.operator": "In NotIn Exists DoesNotExist",
    "apps.DeploymentStrategy.type": "Recreate RollingUpdate",
    "apps.DaemonSetUpdateStrategy.type": "OnDelete RollingUpdate",
    "apps.StatefulSetUpdateStrategy.type": "OnDelete RollingUpdate",
    "apps.StatefulSetSpec.podManagementPolicy": "OrderedReady Parallel",
    "apps.StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted": "Retain Delete",
    "apps.StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled": "Retain Delete",
    "batch.JobSpec.podReplacementPolicy": "Failed TerminatingOrFailed",
    "storage.StorageClass.reclaimPolicy": "Delete Retain",
    "storage.StorageClass.volumeBindingMode": "Immediate WaitForFirstConsumer",
    "scheduling.PriorityClass.preemptionPolicy": "PreemptLowerPriority Never",
    "networking.HTTPIngressPath.pathType": "Exact ImplementationSpecific Prefix",
    "networking.NetworkPolicySpec.policyTypes": "Ingress Egress",
    "policy.PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy": "IfHealthyBudget AlwaysAllow",
    "admission.ValidatingWebhook.failurePolicy": "Fail Ignore",
    "admission.MutatingWebhook.failurePolicy": "Fail Ignore",
    "admission.ValidatingWebhook.matchPolicy": "Equivalent Exact",
    "admission.MutatingWebhook.matchPolicy": "Equivalent Exact",
    "admission.ValidatingWebhook.sideEffects": "None NoneOnDryRun",
    "admission.MutatingWebhook.sideEffects": "None NoneOnDryRun",
}
_PORT: Final = (1, 65535)
_COUNT: Final = (0, None)
_SOME: Final = (1, None)
_MODE: Final = (0, 0o777)
_RANGES: Final[dict[str, tuple[int, int | None]]] = {
    "core.PodSpec.terminationGracePeriodSeconds": _COUNT,
    "core.PodSpec.activeDeadlineSeconds": _SOME,
    "core.ContainerPort.containerPort": _PORT,
    "core.ContainerPort.hostPort": (0, 65535),
    "core.ServicePort.port": _PORT,
    "core.Probe.initialDelaySeconds": _COUNT,
    "core.Probe.timeoutSeconds": _COUNT,
    "core.Probe.periodSeconds": _COUNT,
    "core.Probe.successThreshold": _COUNT,
    "core.Probe.failureThreshold": _COUNT,
    "core.SecurityContext.runAsUser": (0, 2**31 - 1),
    "core.SecurityContext.runAsGroup": (0, 2**31 - 1),
    "core.PodSecurityContext.runAsUser": (0, 2**31 - 1),
    "core.PodSecurityContext.runAsGroup": (0, 2**31 - 1),
    "core.PodSecurityContext.fsGroup": (0, 2**31 - 1),
    "core.KeyToPath.mode": _MODE,
    "core.SecretVolumeSource.defaultMode": _MODE,
    "core.ConfigMapVolumeSource.defaultMode": _MODE,
    "core.DownwardAPIVolumeSource.defaultMode": _MODE,
    "core.ProjectedVolumeSource.defaultMode": _MODE,
    "core.ServiceAccountTokenProjection.expirationSeconds": (600, 2**32),
    "core.ReplicationControllerSpec.replicas": _COUNT,
    "apps.DeploymentSpec.replicas": _COUNT,
    "apps.DeploymentSpec.minReadySeconds": _COUNT,
    "apps.DeploymentSpec.revisionHistoryLimit": _COUNT,
    "apps.DeploymentSpec.progressDeadlineSeconds": _SOME,
    "apps.ReplicaSetSpec.replicas": _COUNT,
    "apps.ReplicaSetSpec.minReadySeconds": _COUNT,
    "apps.StatefulSetSpec.replicas": _COUNT,
    "apps.StatefulSetSpec.minReadySeconds": _COUNT,
    "apps.StatefulSetSpec.revisionHistoryLimit": _COUNT,
    "apps.StatefulSetOrdinals.start": _COUNT,
    "apps.DaemonSetSpec.minReadySeconds": _COUNT,
    "apps.DaemonSetSpec.revisionHistoryLimit": _COUNT,
    "batch.JobSpec.parallelism": _COUNT,
    "batch.JobSpec.completions": _COUNT,
    "batch.JobSpec.activeDeadlineSeconds": _SOME,
    "batch.JobSpec.backoffLimit": _COUNT,
    "batch.JobSpec.backoffLimitPerIndex": _COUNT,
    "batch.JobSpec.maxFailedIndexes": _COUNT,
    "batch.JobSpec.ttlSecondsAfterFinished": _COUNT,
    "batch.CronJobSpec.startingDeadlineSeconds": _COUNT,
    "batch.CronJobSpec.successfulJobsHistoryLimit": _COUNT,
    "batch.CronJobSpec.failedJobsHistoryLimit": _COUNT,
    "admission.ValidatingWebhook.timeoutSeconds": (1, 30),
    "admission.MutatingWebhook.timeoutSeconds": (1, 30),
}
QUANTITY: Final[Object] = {
    "x-kubernetes-preserve-unknown-fields": True,
    "allOf": [{"pattern": r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+|n|u|m|k|[KMGTPE]i?)?$", "minimum": 0}],
}
"""An amount, as a number or as text. Where Kubernetes has amounts, none is below zero."""


def limited(type_name: str, field: str, schema: Object) -> Object:
    """Return the schema of a field of a built-in type, with what is known of its values: a list's words hold for its items."""
    at = f"{type_name}.{field}"
    if at in _WORDS:
        words = sorted(_WORDS[at].split())
        is_list = schema["type"] == "array"
        return {**schema, "items": {**schema["items"], "enum": words}} if is_list else {**schema, "enum": [*words, ""]}
    if at not in _RANGES:
        return schema
    least, most = _RANGES[at]
    return {**schema, "minimum": least} if most is None else {**schema, "minimum": least, "maximum": most}
