"""Restore: bring a backup back into volumes, and run what the database needs afterwards."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubeblocks.types.common import AnyPodSelector, Condition, ConnectionCredential, Parameter
from holdfast.schema.fields import IMMUTABLE, Duration, Maybe, Rule, Time, Wire, doc
from holdfast.schema.kubernetes import (
    Affinity,
    EnvVar,
    LabelSelector,
    ObjectMeta,
    PersistentVolumeClaimSpec,
    ResourceRequirements,
    Toleration,
    TopologySpreadConstraint,
    VolumeMount,
)


class BackupRef(Wire):
    """Names a Backup."""

    name: Annotated[str, doc("Name of the Backup.")]
    namespace: Annotated[str, doc("Its namespace.")]
    source_target_name: Maybe[Annotated[str, doc("Which of its targets, where it has several.")]] = UNSET


class IncludeResource(Wire):
    """Kubernetes objects of one type."""

    group_resource: Annotated[str, doc("Resource and group, such as `deployments.apps` or `configmaps`.")]
    label_selector: Maybe[Annotated[LabelSelector, doc("Labels of those to bring back.")]] = UNSET


class RestoreKubeResources(Wire):
    """Kubernetes objects to bring back beside the data."""

    included: Maybe[Annotated[list[IncludeResource], doc("Types of objects to bring back.")]] = UNSET


class VolumeConfig(Wire):
    """Which saved volume, and where the job mounts its copy."""

    RULES = (
        Rule(
            "(has(self.volumeSource) && self.volumeSource != '') || (has(self.mountPath) && self.mountPath != '')",
            "one of volumeSource and mountPath must be set",
        ),
    )

    volume_source: Maybe[Annotated[str, doc("Volume of the backup to restore; needed when it is a volume snapshot.")]] = UNSET
    mount_path: Maybe[Annotated[str, doc("Where the job mounts it.")]] = UNSET


class RestoreVolumeClaim(VolumeConfig, kw_only=True):
    """A claim to fill; made when it is not there."""

    metadata: Annotated[ObjectMeta, doc("Name, labels and annotations of the claim.")]
    volume_claim_spec: Annotated[PersistentVolumeClaimSpec, doc("Size, class and access modes of the claim.")]


class RestoreVolumeClaimsTemplate(Wire):
    """A pattern for one set of claims for each replica."""

    templates: Annotated[list[RestoreVolumeClaim], doc("Claims of one replica, named <template>-<index>.")]
    replicas: Annotated[int, doc("How many sets.", ge=1, int32=True)]
    starting_index: Maybe[Annotated[int, doc("Index of the first set; 0 when absent.", ge=0, int32=True)]] = UNSET


class SchedulingSpec(Wire):
    """Where the pods of a restore run."""

    tolerations: Maybe[Annotated[list[Toleration], doc("Taints of nodes that they tolerate.")]] = UNSET
    node_selector: Maybe[Annotated[dict[str, str], doc("Labels that their node must carry.")]] = UNSET
    node_name: Maybe[Annotated[str, doc("The one node on which they run.")]] = UNSET
    affinity: Maybe[Annotated[Affinity, doc("Nodes and pods that attract or repel them.")]] = UNSET
    topology_spread_constraints: Maybe[
        Annotated[list[TopologySpreadConstraint], doc("How they are spread over the cluster.")]
    ] = UNSET
    scheduler_name: Maybe[Annotated[str, doc("Scheduler that places them.")]] = UNSET


class SourceOfOneToMany(Wire):
    """The one pod whose data every claim gets."""

    target_pod_name: Annotated[str, doc("Name of the pod at the time of the backup.")]


class RequiredPolicy(Wire):
    """Which of several saved pods goes where."""

    data_restore_policy: Annotated[
        str, doc("OneToOne pairs them by number; OneToMany gives every claim the data of one.", default="OneToOne")
    ]
    source_of_one_to_many: Maybe[Annotated[SourceOfOneToMany, doc("The one pod of OneToMany.")]] = UNSET


class PrepareDataConfig(Wire):
    """The volumes to fill, and where that work runs."""

    volume_claim_restore_policy: Annotated[
        Literal["Parallel", "Serial"], doc("All claims at once, or one after the other.", default="Parallel")
    ]
    data_source_ref: Maybe[
        Annotated[VolumeConfig, doc("For claims that name the Restore as their data source.", rules=(IMMUTABLE,))]
    ] = UNSET
    volume_claims: Maybe[
        Annotated[list[RestoreVolumeClaim], doc("Claims that one job fills together.", rules=(IMMUTABLE,))]
    ] = UNSET
    volume_claims_template: Maybe[
        Annotated[RestoreVolumeClaimsTemplate, doc("Claims for several replicas.", rules=(IMMUTABLE,))]
    ] = UNSET
    scheduling_spec: Maybe[Annotated[SchedulingSpec, doc("Where the pods of the restore run.", rules=(IMMUTABLE,))]] = UNSET
    required_policy_for_all_pod_selection: Maybe[
        Annotated[RequiredPolicy, doc("Which saved pod goes where; needed when every pod was backed up.")]
    ] = UNSET


class ReadyPodSelector(AnyPodSelector):
    """Picks pods of the restored service."""

    strategy: Annotated[Literal["Any", "All"], doc("One ready pod of those that match, or every one of them.")] = "Any"


class JobActionTarget(Wire):
    """The pod after which the jobs are made."""

    pod_selector: Annotated[ReadyPodSelector, doc("Picks the pod whose volumes and variables the job gets.")]
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Volumes of that pod to mount.")]] = UNSET


class ReadyJobAction(Wire):
    """Settings of steps that run as jobs."""

    target: Annotated[JobActionTarget, doc("The pod after which the jobs are made.")]
    required_policy_for_all_pod_selection: Maybe[
        Annotated[RequiredPolicy, doc("Which saved pod goes where; needed when every pod was backed up.")]
    ] = UNSET


class ExecActionTarget(Wire):
    """The pods in which commands run."""

    pod_selector: Annotated[LabelSelector, doc("Picks the pods: the command runs in all of them.")]


class ReadyExecAction(Wire):
    """Settings of steps that run inside pods."""

    target: Maybe[Annotated[ExecActionTarget, doc("The pods in which they run.")]] = UNSET


class ReadinessProbeExec(Wire):
    """The command of a probe."""

    image: Annotated[str, doc("Image of the container.")]
    command: Annotated[list[str], doc("The command; it succeeds once the service is up.")]


class ReadinessProbe(Wire):
    """How it is found out that the restored service is up."""

    exec: Annotated[ReadinessProbeExec, doc("What is run.")]
    initial_delay_seconds: Maybe[Annotated[int, doc("Seconds before the first try.", ge=0)]] = UNSET
    timeout_seconds: Annotated[int, doc("Seconds after which one try has failed.", ge=1)] = 30
    period_seconds: Annotated[int, doc("Seconds between two tries.", ge=1)] = 5


class ReadyConfig(Wire):
    """What is done once the restored service is up."""

    RULES = (Rule("has(self.jobAction) || has(self.execAction)", "one of jobAction and execAction must be set"),)

    job_action: Maybe[Annotated[ReadyJobAction, doc("Settings of steps that run as jobs.")]] = UNSET
    exec_action: Maybe[Annotated[ReadyExecAction, doc("Settings of steps that run inside pods.")]] = UNSET
    connection_credential: Maybe[Annotated[ConnectionCredential, doc("How to log in to the restored database.")]] = UNSET
    readiness_probe: Maybe[Annotated[ReadinessProbe, doc("When set, steps wait until it succeeds.")]] = UNSET


class RestoreSpec(Wire):
    """What to restore, into what."""

    RULES = (Rule("has(self.parameters) == has(oldSelf.parameters)", "parameters can't be added or removed later"),)

    backup: Annotated[BackupRef, doc("The Backup to restore.", rules=(IMMUTABLE,))]
    restore_time: Maybe[
        Annotated[
            str,
            doc(
                "Moment to restore to, in UTC.",
                pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
                rules=(IMMUTABLE,),
            ),
        ]
    ] = UNSET
    resources: Maybe[Annotated[RestoreKubeResources, doc("Kubernetes objects to bring back as well.", rules=(IMMUTABLE,))]] = (
        UNSET
    )
    prepare_data_config: Maybe[Annotated[PrepareDataConfig, doc("The volumes to fill.")]] = UNSET
    service_account_name: Maybe[Annotated[str, doc("Service account of the pods of the restore.")]] = UNSET
    ready_config: Maybe[Annotated[ReadyConfig, doc("What is done once the restored service is up.")]] = UNSET
    env: Maybe[Annotated[list[EnvVar], doc("Variables of every container; they win over those of method and action set.")]] = (
        UNSET
    )
    container_resources: Maybe[Annotated[ResourceRequirements, doc("Requests and limits of the containers.")]] = UNSET
    backoff_limit: Maybe[Annotated[int, doc("How often a failed job is tried again.", ge=0, le=10, int32=True)]] = UNSET
    parameters: Maybe[
        Annotated[
            list[Parameter],
            doc("Values of parameters of the action set.", key="name", max_length=128, rules=(IMMUTABLE,)),
        ]
    ] = UNSET


class RestoreStatusAction(Wire):
    """How far one step of a restore is."""

    name: Annotated[str, doc("The step.")]
    backup_name: Annotated[str, doc("Backup whose data it restores.")]
    object_key: Annotated[str, doc("Workload that does it, as `Job/<name>`.")]
    status: Annotated[Literal["Processing", "Completed", "Failed"], doc("How far it is.")]
    message: Maybe[Annotated[str, doc("What is to be said of it.")]] = UNSET
    start_time: Maybe[Annotated[Time, doc("When it began.")]] = UNSET
    end_time: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET


class RestoreStatusActions(Wire):
    """How far the steps are."""

    prepare_data: Maybe[Annotated[list[RestoreStatusAction], doc("Steps that fill volumes.")]] = UNSET
    post_ready: Maybe[Annotated[list[RestoreStatusAction], doc("Steps once the service is up.")]] = UNSET


class RestoreStatus(Wire):
    """What became of a restore."""

    phase: Maybe[Annotated[Literal["Running", "Completed", "Failed", "AsDataSource"], doc("How far it is.")]] = UNSET
    start_timestamp: Maybe[Annotated[Time, doc("When it began.")]] = UNSET
    completion_timestamp: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET
    duration: Maybe[Annotated[Duration, doc("How long it took.")]] = UNSET
    actions: Maybe[Annotated[RestoreStatusActions, doc("How far the steps are.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("What holds for it.", key="type")]] = UNSET


class Restore(Wire):
    """Brings a Backup back."""

    spec: Maybe[Annotated[RestoreSpec, doc("What to restore, into what.")]] = UNSET
    status: Maybe[Annotated[RestoreStatus, doc("What became of it.")]] = UNSET
