"""How the pods of Jobs run: the settings that users may give for executors, triggers, hooks and initializers.

Two shapes exist. A pod template mixes pod and main-container fields in one block; runtime settings keep them apart.
Kubernetes' own types below are kept as they are given.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, field

from holdfast.schema.fields import Maybe, Wire, doc
from holdfast.schema.kubernetes import (
    Affinity,
    Container,
    EnvFromSource,
    EnvVar,
    Lifecycle,
    LocalObjectReference,
    PodDNSConfig,
    PodReadinessGate,
    PodSecurityContext,
    Probe,
    ResourceRequirements,
    SecurityContext,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    VolumeMount,
)


class Nice(Wire):
    """CPU priority of a process."""

    adjustment: Maybe[Annotated[int, doc("Added to the niceness; reaches the container as NICE_ADJUSTMENT.")]] = UNSET


class IONice(Wire):
    """Disk priority of a process."""

    class_: Maybe[Annotated[int, doc("Scheduling class; reaches the container as IONICE_CLASS.")]] = field(
        name="class", default=UNSET
    )
    class_data: Maybe[Annotated[int, doc("Priority within the class; reaches the container as IONICE_CLASS_DATA.")]] = UNSET


class ContainerSettings(Wire):
    """Settings of a Job's container."""

    resources: Maybe[Annotated[ResourceRequirements, doc("Compute requests and limits.")]] = UNSET
    liveness_probe: Maybe[Annotated[Probe, doc("A check whose failure restarts the container.")]] = UNSET
    readiness_probe: Maybe[Annotated[Probe, doc("A check whose failure takes the container out of service endpoints.")]] = UNSET
    lifecycle: Maybe[Annotated[Lifecycle, doc("What runs after the start and before the stop.")]] = UNSET
    security_context: Maybe[Annotated[SecurityContext, doc("Security attributes of the container.")]] = UNSET
    nice: Maybe[Annotated[Nice, doc("CPU priority of the process.")]] = UNSET
    ionice: Maybe[Annotated[IONice, doc("Disk priority of the process.")]] = UNSET
    env: Maybe[Annotated[list[EnvVar], doc("Environment variables; they replace those of the same name.")]] = UNSET
    env_from: Maybe[Annotated[list[EnvFromSource], doc("Secrets and ConfigMaps whose entries become variables.")]] = UNSET


class PodSettings(Wire):
    """Settings of a Job's pod."""

    pod_labels: Maybe[Annotated[dict[str, str], doc("Labels for the pod.")]] = UNSET
    pod_annotations: Maybe[Annotated[dict[str, str], doc("Annotations for the pod.")]] = UNSET
    service_account_name: Maybe[Annotated[str, doc("Service account that the Job runs as.")]] = UNSET
    service_account_annotations: Maybe[Annotated[dict[str, str], doc("Annotations for the generated service account.")]] = UNSET
    automount_service_account_token: Maybe[Annotated[bool, doc("Whether the pod gets an API token.")]] = UNSET
    node_selector: Maybe[Annotated[dict[str, str], doc("Labels that the node must have.")]] = UNSET
    node_name: Maybe[Annotated[str, doc("The node that must run the pod.")]] = UNSET
    security_context: Maybe[Annotated[PodSecurityContext, doc("Security attributes of the pod.")]] = UNSET
    image_pull_secrets: Maybe[Annotated[list[LocalObjectReference], doc("Secrets for private registries.")]] = UNSET
    affinity: Maybe[Annotated[Affinity, doc("Where the pod likes to run and where not.")]] = UNSET
    scheduler_name: Maybe[Annotated[str, doc("Scheduler that places the pod.")]] = UNSET
    tolerations: Maybe[Annotated[list[Toleration], doc("Taints that the pod tolerates.")]] = UNSET
    priority_class_name: Maybe[Annotated[str, doc("PriorityClass of the pod.")]] = UNSET
    priority: Maybe[Annotated[int, doc("Priority of the pod as a number.")]] = UNSET
    readiness_gates: Maybe[Annotated[list[PodReadinessGate], doc("Further conditions of readiness.")]] = UNSET
    runtime_class_name: Maybe[Annotated[str, doc("RuntimeClass that runs the pod.")]] = UNSET
    enable_service_links: Maybe[Annotated[bool, doc("Whether services are told through environment variables.")]] = UNSET
    topology_spread_constraints: Maybe[
        Annotated[list[TopologySpreadConstraint], doc("How pods spread over zones and nodes.")]
    ] = UNSET


class RuntimeSettings(Wire):
    """How a Job runs, at the level of its pod and of its containers."""

    pod: Maybe[Annotated[PodSettings, doc("Settings of the pod.")]] = UNSET
    container: Maybe[Annotated[ContainerSettings, doc("Settings of the containers.")]] = UNSET


class TemplateMetadata(Wire):
    """Labels and annotations to set."""

    labels: Maybe[Annotated[dict[str, str], doc("Labels to set.")]] = UNSET
    annotations: Maybe[Annotated[dict[str, str], doc("Annotations to set.")]] = UNSET


class PodTemplateSpec(Wire):
    """Settings of a pod and of its main container in one block."""

    service_account_name: Maybe[Annotated[str, doc("Service account that the pod runs as.")]] = UNSET
    security_context: Maybe[Annotated[PodSecurityContext, doc("Security attributes of the pod.")]] = UNSET
    container_security_context: Maybe[Annotated[SecurityContext, doc("Security attributes of the main container.")]] = UNSET
    args: Maybe[Annotated[list[str], doc("Arguments; `$(NAME)` expands to a variable, `$$(NAME)` stays as it is.")]] = UNSET
    env: Maybe[Annotated[list[EnvVar], doc("Environment variables of the main container.")]] = UNSET
    resources: Maybe[Annotated[ResourceRequirements, doc("Compute requests and limits of the main container.")]] = UNSET
    liveness_probe: Maybe[Annotated[Probe, doc("Liveness check; an empty object keeps a controller from adding its own.")]] = (
        UNSET
    )
    readiness_probe: Maybe[
        Annotated[Probe, doc("Readiness check; an empty object keeps a controller from adding its own.")]
    ] = UNSET
    lifecycle: Maybe[Annotated[Lifecycle, doc("What runs after the start and before the stop.")]] = UNSET
    volumes: Maybe[Annotated[list[Volume], doc("Further volumes of the pod.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where the main container mounts volumes.")]] = UNSET
    init_containers: Maybe[Annotated[list[Container], doc("Containers that run before the main one.")]] = UNSET
    termination_grace_period_seconds: Annotated[
        int, doc("Seconds from the request to stop until the kill; zero kills at once.", ge=0)
    ] = 30
    dns_policy: Annotated[
        Literal["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        doc("Where names are looked up; with the host's network say ClusterFirstWithHostNet."),
    ] = "ClusterFirst"
    dns_config: Maybe[Annotated[PodDNSConfig, doc("Name servers and options, merged into those of the policy.")]] = UNSET
    node_selector: Maybe[Annotated[dict[str, str], doc("Labels that the node must have.")]] = UNSET
    host_network: Annotated[bool, doc("Whether the pod uses the node's network; its ports must then be named.")] = False
    host_pid: Annotated[bool, doc("Whether the pod sees the node's processes.")] = field(name="hostPID", default=False)
    host_ipc: Annotated[bool, doc("Whether the pod shares the node's IPC.")] = field(name="hostIPC", default=False)
    share_process_namespace: Annotated[bool, doc("Whether containers see each other's processes; excludes hostPID.")] = False
    image_pull_secrets: Maybe[Annotated[list[LocalObjectReference], doc("Secrets for private registries.")]] = UNSET
    affinity: Maybe[Annotated[Affinity, doc("Where the pod likes to run and where not.")]] = UNSET
    scheduler_name: Maybe[Annotated[str, doc("Scheduler that places the pod.")]] = UNSET
    tolerations: Maybe[Annotated[list[Toleration], doc("Taints that the pod tolerates.")]] = UNSET
    priority_class_name: Maybe[Annotated[str, doc("PriorityClass of the pod.")]] = UNSET
    priority: Maybe[Annotated[int, doc("Priority as a number; where classes are used they set it.")]] = UNSET
    runtime_class_name: Maybe[Annotated[str, doc("RuntimeClass of the pod; an unknown one keeps it from running.")]] = UNSET
    enable_service_links: Annotated[bool, doc("Whether services are told through environment variables.")] = True
    topology_spread_constraints: Maybe[
        Annotated[list[TopologySpreadConstraint], doc("How pods spread over zones and nodes; all of them must hold.")]
    ] = UNSET


class PodTemplate(Wire):
    """The pod of a Job."""

    metadata: Maybe[Annotated[TemplateMetadata, doc("For the pod.")]] = UNSET
    controller: Maybe[Annotated[TemplateMetadata, doc("For the Job or CronJob that owns the pod.")]] = UNSET
    spec: Maybe[Annotated[PodTemplateSpec, doc("Settings of the pod and its main container.")]] = UNSET
