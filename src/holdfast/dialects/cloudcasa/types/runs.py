"""Definitions of runs, and what comes of them: snapshots, copies, restores, jobs, recovery points."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta

from holdfast.dialects.cloudcasa.types.common import Document, Provider, Retention, Tags, reference
from holdfast.dialects.cloudcasa.types.definitions import HookTarget
from holdfast.schema.fields import Duration, Maybe, Opaque, Wire, doc

Trigger = Literal["ADHOC", "SCHEDULED"]
JobState = Literal["PENDING", "RUNNING", "CATALOG", "COMPLETED", "PARTIAL", "SKIPPED", "FAILED", "CANCELLED"]
JobType = Literal["KUBE_BACKUP", "KUBE_OFFLOAD", "KUBE_RESTORE", "DELETE_BACKUP"]


class Source(Document):
    """What of a cluster is meant."""

    all_namespaces: Maybe[Annotated[bool, doc("Every namespace but those of the system.")]] = UNSET
    namespaces: Maybe[Annotated[list[str], doc("Named namespaces; ignored with `all_namespaces`.")]] = UNSET
    snapshotPersistentVolumes: Maybe[Annotated[bool, doc("Whether volumes are taken as well as resources.")]] = UNSET


class HookUse(Document):
    """Hooks for some namespaces."""

    template: Maybe[Annotated[bool, doc("Whether the hooks are templates; none exist here, so only false is accepted.")]] = (
        UNSET
    )
    namespaces: Maybe[Annotated[list[str], doc("Namespaces they apply to; all of the definition when absent.")]] = UNSET
    hooks: Maybe[Annotated[list[str], doc("Ids of the kubehooks, in order.")]] = UNSET


class KubebackupSpec(Document):
    """A snapshot definition."""

    name: Annotated[str, doc("Name of the document; unique.", min_length=1, max_length=253)]
    cluster: Annotated[str, reference("Cluster to snapshot; never changes.")]
    source: Annotated[Source, doc("What to snapshot.")]
    trigger_type: Annotated[Trigger, doc("Runs by policy, or only when asked.")] = "SCHEDULED"
    policy: Maybe[
        Annotated[str, reference("Policy that gives the schedule; needed for SCHEDULED unless `copydef` is set.")]
    ] = UNSET
    pre_hooks: Maybe[Annotated[list[HookUse], doc("Hooks to run before the snapshot.")]] = UNSET
    post_hooks: Maybe[Annotated[list[HookUse], doc("Hooks to run after the snapshot, however it went.")]] = UNSET
    pause: Annotated[bool, doc("Whether the schedule is stopped.")] = False
    copydef: Maybe[Annotated[str, reference("Copy definition that uses it.")]] = UNSET
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET


class JobNote(Document):
    """A job, in short."""

    id: Maybe[Annotated[str, doc("Its id.")]] = UNSET
    state: Maybe[Annotated[str, doc("Its state.")]] = UNSET
    message: Maybe[Annotated[str, doc("Its state in words.")]] = UNSET


class KubebackupStatus(Document):
    """How its jobs went."""

    last_job_run_time: Maybe[Annotated[int, doc("When the last job began, in Unix seconds.")]] = UNSET
    jobs: Maybe[Annotated[list[JobNote], Meta(description="Newest jobs, newest first.", max_length=3)]] = UNSET
    copy_policy: Maybe[Annotated[str, doc("Policy of the copy definition.")]] = UNSET
    last_tick: Maybe[Annotated[int, doc("Up to when its schedule has been dealt with, in Unix seconds.")]] = UNSET
    schedule: Maybe[Annotated[str, doc("Tag of the schedule that this is about.")]] = UNSET
    rests: Maybe[Annotated[str, doc("Why its schedule is at rest, if it is.")]] = UNSET
    next_run_time: Maybe[Annotated[int, doc("When it is due next, in Unix seconds.")]] = UNSET
    message: Maybe[Annotated[str, doc("What is wrong with it, if anything.")]] = UNSET


class Kubebackup(Wire):
    """A snapshot definition: what of a cluster to snapshot, and when."""

    spec: Annotated[KubebackupSpec, doc("What to snapshot, and when.")]
    status: Maybe[Annotated[KubebackupStatus, doc("How its jobs went.")]] = UNSET


class CopyOptions(Document):
    """Tuning of a copy."""

    upload_speed_limit: Maybe[Annotated[int, doc("Upload limit of each mover in KiB per second.", ge=1)]] = UNSET
    download_speed_limit: Maybe[Annotated[int, doc("Download limit of each mover in KiB per second.", ge=1)]] = UNSET
    pvc_file_parallelism: Maybe[
        Annotated[int, doc("Transfers at once for each claim, in backup and restore.", ge=1, le=256)]
    ] = UNSET
    pvc_parallelism: Maybe[Annotated[int, doc("Claims of a namespace that are copied at once.", ge=1, le=256)]] = UNSET
    total_file_parallelism: Maybe[
        Annotated[int, doc("Transfers at once in all: the claims copied at once share them.", ge=1, le=1024)]
    ] = UNSET
    mover_memory_limit: Maybe[Annotated[int, doc("Memory limit of a mover in MiB.", ge=64)]] = UNSET
    mover_ready_timeout: Maybe[Annotated[Duration, doc("How long a mover may take to start, such as `20m`.")]] = UNSET
    preserve_node_ports: Maybe[
        Annotated[
            bool,
            doc("Whether a restore keeps the node ports of Services; they are given out anew here, so only false is accepted."),
        ]
    ] = UNSET
    azure_files_restore_options: Maybe[
        Annotated[
            Opaque, doc("Settings for restores from Azure Files snapshots; none exist here, so only an empty one is accepted.")
        ]
    ] = UNSET


class KubeoffloadSpec(Document):
    """A copy definition."""

    name: Annotated[str, doc("Name of the copy definition; unique.", min_length=1, max_length=253)]
    backupdef: Annotated[str, reference("Snapshot definition that is copied.")]
    trigger_type: Annotated[Trigger, doc("Runs by policy, or only when asked.")] = "SCHEDULED"
    policy: Maybe[Annotated[str, reference("Policy that gives the schedule; needed for SCHEDULED, unused by ADHOC.")]] = UNSET
    cluster: Maybe[Annotated[str, reference("Cluster of the snapshot definition; filled in.")]] = UNSET
    delete_snapshots: Annotated[bool, doc("Whether the snapshot point goes after a copy that succeeded in full.")] = True
    run_backup: Annotated[bool, doc("Whether scheduled runs take a snapshot first.")] = False
    snapshot_longhorn: Maybe[
        Annotated[
            bool, doc("Whether claims of Longhorn are snapshot too; false leaves them out of a run that takes a snapshot.")
        ]
    ] = UNSET
    options: Maybe[Annotated[CopyOptions, doc("Tuning of the copy.")]] = UNSET
    offload_provider: Maybe[
        Annotated[Provider, doc("Preferred backup target; then the cluster's, the organisation's, the system's pick.")]
    ] = UNSET
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET


class KubeoffloadStatus(Document):
    """How its newest job stands."""

    state: Maybe[Annotated[JobState, doc("State of the newest job.")]] = UNSET
    jobid: Maybe[Annotated[str, doc("Job behind the state.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words.")]] = UNSET
    last_job_run_time: Maybe[Annotated[int, doc("When the last job began, in Unix seconds.")]] = UNSET
    terminal: Maybe[Annotated[bool, doc("Whether the state is final.")]] = UNSET
    last_tick: Maybe[Annotated[int, doc("Up to when its schedule has been dealt with, in Unix seconds.")]] = UNSET
    schedule: Maybe[Annotated[str, doc("Tag of the schedule that this is about.")]] = UNSET
    rests: Maybe[Annotated[str, doc("Why its schedule is at rest, if it is.")]] = UNSET
    next_run_time: Maybe[Annotated[int, doc("When it is due next, in Unix seconds.")]] = UNSET


class Kubeoffload(Wire):
    """A copy definition: which snapshots go to which objectstore, and when."""

    spec: Annotated[KubeoffloadSpec, doc("Which snapshots go where, and when.")]
    status: Maybe[Annotated[KubeoffloadStatus, doc("How its newest job stands.")]] = UNSET


class NamespaceMapping(Document):
    """A new name for a namespace."""

    source: Annotated[str, doc("Name it had.", min_length=1)]
    target: Annotated[str, doc("Name it gets.", min_length=1)]


class KuberestoreSpec(Document):
    """A restore definition."""

    name: Annotated[str, doc("Name of the document; unique.", min_length=1, max_length=253)]
    backup_inst: Annotated[str, reference("Recovery point.")]
    cluster: Annotated[str, reference("Cluster to restore into.")]
    source_cluster: Maybe[Annotated[str, reference("Cluster that was backed up; must be the recovery point's.")]] = UNSET
    migrationdef: Maybe[Annotated[str, reference("Migration that it belongs to; refused, since none exist here.")]] = UNSET
    all_namespaces: Maybe[Annotated[bool, doc("Every namespace of the recovery point.")]] = UNSET
    namespaces: Maybe[Annotated[list[str], doc("Named namespaces; ignored with `all_namespaces`.")]] = UNSET
    namespace_mappings: Maybe[Annotated[list[NamespaceMapping], doc("New names for namespaces.")]] = UNSET
    restore_pvs: Maybe[Annotated[bool, doc("Whether volumes are restored too; yes when absent.")]] = UNSET
    overwrite: Maybe[Annotated[bool, doc("Whether objects and volumes that exist are replaced.")]] = UNSET
    cluster_resources: Maybe[
        Annotated[
            bool,
            doc("Whether definitions, Namespaces, StorageClasses and cluster roles are made, too, where they are missing."),
        ]
    ] = UNSET
    post_hooks: Maybe[
        Annotated[list[HookUse], doc("Hooks to run once all is back; their `namespaces` are names before the mapping.")]
    ] = UNSET
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET


class KuberestoreStatus(Document):
    """How its newest job stands."""

    state: Maybe[Annotated[JobState, doc("State of the newest job.")]] = UNSET
    jobid: Maybe[Annotated[str, doc("Job behind the state.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words.")]] = UNSET
    last_job_run_time: Maybe[Annotated[int, doc("When the last job began, in Unix seconds.")]] = UNSET


class Kuberestore(Wire):
    """A restore definition: which recovery point goes where."""

    spec: Annotated[KuberestoreSpec, doc("Which recovery point goes where.")]
    status: Maybe[Annotated[KuberestoreStatus, doc("How its newest job stands.")]] = UNSET


class Volume(Document):
    """One claim in a job or in a recovery point."""

    namespace: Annotated[str, doc("Namespace of the claim.")]
    claim: Annotated[str, doc("Name of the claim.")]
    target: Maybe[Annotated[str, doc("Namespace that it is restored into.")]] = UNSET
    size: Maybe[Annotated[str, doc("Capacity that it asks for.")]] = UNSET
    storage_class: Maybe[Annotated[str, doc("Its StorageClass.")]] = UNSET
    access_modes: Maybe[Annotated[list[str], doc("Its access modes.")]] = UNSET
    volume_snapshot: Maybe[Annotated[str, doc("VolumeSnapshot of it, in its namespace.")]] = UNSET
    snapshot_id: Maybe[Annotated[str, doc("Snapshot in the repository that holds its files.")]] = UNSET
    bytes: Maybe[Annotated[int, doc("Bytes of its files.", ge=0)]] = UNSET
    state: Maybe[Annotated[JobState, doc("How far it is.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words.")]] = UNSET


class HookCall(Document):
    """One command in one pod."""

    when: Annotated[Literal["pre", "post"], doc("Before or after the snapshot; after it, too, when after a restore.")]
    namespace: Annotated[str, doc("Namespace of the pod.")]
    pod: Annotated[str, doc("Name of the pod.")]
    command: Annotated[str, doc("The command.")]
    container: Maybe[Annotated[str, doc("Container that it runs in.")]] = UNSET


class HookWait(Document):
    """Commands for pods that a restore brings back."""

    name: Annotated[str, doc("Name of the kubehook.")]
    namespaces: Annotated[list[str], doc("Namespaces of the pods.")]
    labels: Annotated[dict[str, str], doc("Labels of the pods.")]
    target: Annotated[list[HookTarget], doc("The commands, in order.")]


class Leftovers(Document):
    """What a job that did not end well may have left in an objectstore: snapshots that belong to no recovery point."""

    objectstore: Annotated[str, reference("Where they lie.")]
    tags: Annotated[list[str], doc("Tags that they have.")]
    keep: Annotated[list[str], doc("Snapshots with such a tag that a recovery point holds.")]


class KubejobSpec(Document):
    """What a job is to do. `jobs` of the REST API shows it together with the status."""

    name: Annotated[str, doc("Name of the job, `kubecluster-<Unix seconds>`.")]
    type: Annotated[JobType, doc("Kind of work.")]
    display_name: Maybe[Annotated[str, doc("Name to show.")]] = UNSET
    display_type: Maybe[Annotated[str, doc("Kind of work, to show.")]] = UNSET
    cluster: Maybe[Annotated[str, reference("Cluster it works on.")]] = UNSET
    cluster_name: Maybe[Annotated[str, doc("Name of that cluster.")]] = UNSET
    backupdef: Maybe[Annotated[str, reference("Snapshot definition; for copies too.")]] = UNSET
    backupdef_name: Maybe[Annotated[str, doc("Name of that definition.")]] = UNSET
    copydef: Maybe[Annotated[str, reference("Copy definition.")]] = UNSET
    restoredef: Maybe[Annotated[str, reference("Restore definition.")]] = UNSET
    backup_inst: Maybe[Annotated[str, reference("Recovery point that is restored or deleted.")]] = UNSET
    run_backup: Maybe[Annotated[bool, doc("Whether a copy takes a snapshot first.")]] = UNSET
    retention: Maybe[Annotated[Retention, doc("How long the result is kept.")]] = UNSET
    locked: Maybe[Annotated[bool, doc("Whether the result can't be deleted before it expires.")]] = UNSET
    due: Maybe[Annotated[int, doc("When it was due, in Unix seconds; absent when somebody asked for it.")]] = UNSET
    skip: Maybe[Annotated[str, doc("Why it is not done at all.")]] = UNSET
    cancel: Maybe[Annotated[bool, doc("Whether somebody wants it to end.")]] = UNSET
    leftovers: Maybe[Annotated[Leftovers, doc("What another job has left, if that is what is deleted.")]] = UNSET


class KubejobStatus(Document):
    """How far a job is."""

    state: Maybe[Annotated[JobState, doc("State; the last five are final.")]] = UNSET
    terminal: Maybe[Annotated[bool, doc("Whether the state is final.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words.")]] = UNSET
    activity: Maybe[Annotated[list[str], doc("Progress lines, oldest first; a hundred at most.")]] = UNSET
    start_time: Maybe[Annotated[int, doc("When it started, in Unix seconds.")]] = UNSET
    end_time: Maybe[Annotated[int, doc("When it ended, in Unix seconds.")]] = UNSET
    jobrunner: Maybe[Annotated[str, doc("Worker that runs it.")]] = UNSET
    num_backup_resources: Maybe[Annotated[int, doc("Resources saved so far.", ge=0)]] = UNSET
    total_backup_resources: Maybe[Annotated[int, doc("Resources to save.", ge=0)]] = UNSET
    total_copy_data: Maybe[Annotated[int, doc("Bytes of the files that were copied.", ge=0)]] = UNSET
    objectstore: Maybe[Annotated[str, reference("Objectstore that was chosen.")]] = UNSET
    backup_inst: Maybe[Annotated[str, reference("Recovery point that it made.")]] = UNSET
    snapshot_inst: Maybe[Annotated[str, reference("Snapshot point that it copies.")]] = UNSET
    volumes: Maybe[Annotated[list[Volume], doc("The claims that it works on.")]] = UNSET
    resources: Maybe[Annotated[str, doc("Snapshot in the repository that holds the resources.")]] = UNSET
    resources_message: Maybe[Annotated[str, doc("What is wrong with the resources, if anything.")]] = UNSET
    namespaces: Maybe[Annotated[list[str], doc("The namespaces that it works on.")]] = UNSET
    missing_namespaces: Maybe[Annotated[list[str], doc("Namespaces that were named and did not exist.")]] = UNSET
    hooks: Maybe[Annotated[list[HookCall], doc("The commands that run around the snapshot, or after the restore.")]] = UNSET
    hooks_message: Maybe[Annotated[str, doc("What went wrong with a command after the snapshot, if anything.")]] = UNSET
    hook_rules: Maybe[Annotated[list[HookWait], doc("The commands to run after a restore, as asked for when it started.")]] = (
        UNSET
    )
    hooks_since: Maybe[Annotated[int, doc("Since when pods are waited for, in Unix seconds.")]] = UNSET
    restored: Maybe[Annotated[str, doc("What came back, in words; then the commands run.")]] = UNSET
    snapshots_taken: Maybe[Annotated[bool, doc("Whether the snapshots have been tried, and the commands after them run.")]] = (
        UNSET
    )
    mappings: Maybe[Annotated[list[NamespaceMapping], doc("New names for namespaces.")]] = UNSET
    overwrite: Maybe[Annotated[bool, doc("Whether what exists is replaced.")]] = UNSET
    cluster_resources: Maybe[Annotated[JobState, doc("How far a restore is with what has no namespace, if asked for.")]] = UNSET
    cluster_message: Maybe[Annotated[str, doc("What of that could not be made, and why.")]] = UNSET
    snapshot_ids: Maybe[Annotated[list[str], doc("Snapshots in the repository that it works on.")]] = UNSET
    options: Maybe[Annotated[CopyOptions, doc("Tuning, as it was when the job started.")]] = UNSET
    delete_snapshots: Maybe[Annotated[bool, doc("Whether the snapshot point goes after full success.")]] = UNSET
    selection: Maybe[Annotated[Source, doc("What was chosen, as it was when the job started.")]] = UNSET


class Kubejob(Wire):
    """One run: a snapshot, a copy, a restore, or the deletion of a recovery point."""

    spec: Annotated[KubejobSpec, doc("What it is to do.")]
    status: Maybe[Annotated[KubejobStatus, doc("How far it is.")]] = UNSET


class MoverLog(Document):
    """What one mover printed."""

    namespace: Annotated[str, doc("Namespace of its pod.")]
    running: Annotated[bool, doc("Whether more may come.")]
    lines: Annotated[list[str], doc("Its last lines.")]


class JoblogSpec(Document):
    """What the movers of a job printed last."""

    movers: Annotated[dict[str, MoverLog], doc("Their last lines, by pod.")]


class Joblog(Wire):
    """What the movers of the Kubejob of this name printed last; `GET /jobs/<id>/logs` shows it."""

    spec: Annotated[JoblogSpec, doc("The lines.")]


class BackupLocation(Document):
    """Where a recovery point lies."""

    backup_location_info: Maybe[Annotated[Opaque, doc("Details of that place: repository, claims and their snapshots.")]] = (
        UNSET
    )


class BackupinstanceSpec(Document):
    """A recovery point."""

    name: Annotated[str, doc("Name of the recovery point, `backupinst-<Unix seconds>`.")]
    type: Annotated[Literal["SNAPSHOT", "COPY"], doc("In the cluster, or in the objectstore.")]
    source_type: Annotated[Literal["kubernetes"], doc("What was protected.")] = "kubernetes"
    start_time: Maybe[Annotated[int, doc("When its job started, in Unix seconds.")]] = UNSET
    end_time: Maybe[Annotated[int, doc("When its job ended, in Unix seconds.")]] = UNSET
    backupdef: Maybe[Annotated[str, reference("Snapshot definition.")]] = UNSET
    backupdef_name: Maybe[Annotated[str, doc("Name of that definition.")]] = UNSET
    cluster: Maybe[Annotated[str, reference("Source cluster.")]] = UNSET
    cluster_name: Maybe[Annotated[str, doc("Name of that cluster.")]] = UNSET
    backup_selection: Maybe[Annotated[Source, doc("Copy of the definition's source.")]] = UNSET
    pv_count: Maybe[Annotated[int, doc("Volumes in it.", ge=0)]] = UNSET
    total_copy_data: Maybe[Annotated[int, doc("Bytes copied.", ge=0)]] = UNSET
    objectstore: Maybe[Annotated[str, reference("Objectstore that holds it.")]] = UNSET
    backup_location: Maybe[Annotated[BackupLocation, doc("Where it lies.")]] = UNSET
    retention: Maybe[Annotated[Retention, doc("How long it is kept.")]] = UNSET
    expiry_timestamp: Maybe[Annotated[int, doc("When it expires, in Unix seconds.")]] = UNSET
    locked: Maybe[Annotated[bool, doc("Whether it can't be deleted before it expires.")]] = UNSET
    partial: Maybe[Annotated[bool, doc("Whether some of what was asked for is not in it.")]] = UNSET


class BackupinstanceStatus(Document):
    """Whether a recovery point can be used."""

    state: Maybe[Annotated[Literal["READY", "DELETING", "FAILED"], doc("Whether it can be used.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words, such as why it outlives its expiry.")]] = UNSET


class Backupinstance(Wire):
    """A recovery point. Deleting it removes its data, unless it is locked."""

    spec: Annotated[BackupinstanceSpec, doc("What it holds.")]
    status: Maybe[Annotated[BackupinstanceStatus, doc("Whether it can be used.")]] = UNSET
