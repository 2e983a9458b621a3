"""What several KubeBlocks kinds share: targets, methods, credentials, conditions, retention periods."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, field

from holdfast.schema.fields import Maybe, Rule, Time, Wire, doc
from holdfast.schema.kubernetes import EnvVar, LabelSelector, LabelSelectorRequirement, ResourceRequirements, VolumeMount

NAME: Final = r"^[a-z0-9]([a-z0-9\.\-]*[a-z0-9])?$"
"""How the API spells the names of its objects and methods."""

_ONCE: Final = Rule(
    "!self.matches('y.*y|mo.*mo|w.*w|d.*d|h.*h|m[0-9]+([0-9a-z]*[a-z][0-9]+)?m([^o]|$)')",
    "names a unit twice, which can be read as a sum or as a correction: write each unit once",
)

RetentionPeriod: TypeAlias = Annotated[
    str, Meta(pattern=r"^\s*([0-9]{1,9}(y|mo|w|d|h|m))*\s*$", max_length=100, extra_json_schema={"title": "period"})
]
"""Numbers with units `y mo w d h m` in any order; nothing or zero means for ever."""


def period(description: str) -> Meta:
    """Describe a field that holds a RetentionPeriod."""
    return doc(description, rules=(_ONCE,))


class Condition(Wire):
    """One thing that holds, does not hold or is not known, with the reason."""

    type: Annotated[str, doc("What this condition is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Maybe[Annotated[str, doc("The cause as one word, for programs.")]] = UNSET
    message: Maybe[Annotated[str, doc("The cause as a sentence, for people.")]] = UNSET
    last_transition_time: Maybe[Annotated[Time, doc("When it last changed.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET


class SecretReference(Wire):
    """Names a Secret."""

    name: Maybe[Annotated[str, doc("Name of the Secret.")]] = UNSET
    namespace: Maybe[Annotated[str, doc("Namespace of the Secret.")]] = UNSET


class SecretKeySelector(Wire):
    """Names one entry of a Secret."""

    key: Annotated[str, doc("The entry.")]
    name: Maybe[Annotated[str, doc("Name of the Secret.")]] = UNSET
    optional: Maybe[Annotated[bool, doc("Whether it may be missing.")]] = UNSET


class Parameter(Wire):
    """A value for a parameter that the action set declares."""

    name: Annotated[str, doc("Name of the parameter.")]
    value: Annotated[str, doc("Its value, as text.")]


class ConnectionCredential(Wire):
    """How to log in to a database. Jobs read the Secret by reference; its values are copied nowhere."""

    secret_name: Annotated[str, doc("Secret that holds the login, in the namespace of the jobs.", pattern=NAME)]
    username_key: Annotated[str, doc("Entry with the user name.", default="username")]
    password_key: Annotated[str, doc("Entry with the password.", default="password")]
    host_key: Maybe[Annotated[str, doc("Entry with the host; that of the pod when absent.")]] = UNSET
    port_key: Maybe[Annotated[str, doc("Entry with the port; the first port of the pod when absent.")]] = UNSET


class AnyPodSelector(Wire):
    """Picks pods by label."""

    match_labels: Maybe[Annotated[dict[str, str], doc("Labels that a pod must carry.")]] = UNSET
    match_expressions: Maybe[
        Annotated[list[LabelSelectorRequirement], doc("Rules over label values, all of which must hold.")]
    ] = UNSET
    fallback_label_selector: Maybe[Annotated[LabelSelector, doc("Used instead when no pod of the first choice is ready.")]] = (
        UNSET
    )
    use_parent_selected_pods: Maybe[Annotated[bool, doc("Whether the pods of the parent backup are taken.")]] = UNSET


class PodSelector(AnyPodSelector, kw_only=True):
    """Picks the pods that are backed up."""

    strategy: Annotated[Literal["Any", "All"], doc("One ready pod of those that match, or every one of them.", default="Any")]


class KubeResources(Wire):
    """Kubernetes objects of the target's namespace to save beside the data."""

    selector: Maybe[Annotated[LabelSelector, doc("Which objects; without it none at all are saved.")]] = UNSET
    included: Annotated[list[str], doc("Resource types to save, such as `configmaps`; `*` means all.")] = field(
        default_factory=lambda: ["*"]
    )
    excluded: Maybe[Annotated[list[str], doc("Resource types to leave out.")]] = UNSET


class ContainerPort(Wire):
    """A named port of a container."""

    container_name: Annotated[str, doc("The container.")]
    port_name: Annotated[str, doc("Name of its port.")]


class BackupTarget(Wire):
    """What is backed up: pods with their volumes, and how to talk to them."""

    name: Maybe[Annotated[str, doc("Name of this target; needed, and used once, where there are several.")]] = UNSET
    pod_selector: Maybe[Annotated[PodSelector, doc("The pods, with their volumes.")]] = UNSET
    connection_credential: Maybe[Annotated[ConnectionCredential, doc("How to log in to the database.")]] = UNSET
    resources: Maybe[Annotated[KubeResources, doc("Kubernetes objects to save as well.")]] = UNSET
    service_account_name: Maybe[Annotated[str, doc("Service account of the jobs; ours when absent.")]] = UNSET
    container_port: Maybe[Annotated[ContainerPort, doc("Port that jobs connect to.")]] = UNSET


class SelectedTarget(BackupTarget):
    """A target as a backup used it."""

    selected_target_pods: Maybe[Annotated[list[str], doc("Pods that were picked.")]] = UNSET


class RuntimeSettings(Wire):
    """Limits of the container that backs up."""

    resources: Maybe[Annotated[ResourceRequirements, doc("Its requests and limits.")]] = UNSET


class TargetVolumes(Wire):
    """Volumes of the target's pod that a job mounts, or of which snapshots are taken."""

    volumes: Maybe[Annotated[list[str], doc("Names of volumes of the pod.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where the job mounts them.")]] = UNSET


class BackupMethod(Wire):
    """One way to back up."""

    name: Annotated[str, doc("Name by which Backups and schedules pick it.", pattern=NAME)]
    snapshot_volumes: Annotated[bool, doc("Whether CSI snapshots of the volumes are taken; then no action set is needed.")] = (
        False
    )
    action_set_name: Maybe[Annotated[str, doc("ActionSet to run.")]] = UNSET
    compatible_method: Maybe[
        Annotated[str, doc("Method of the full backups that an incremental one builds on.", pattern=NAME)]
    ] = UNSET
    target_volumes: Maybe[Annotated[TargetVolumes, doc("Volumes of the target for the job, or to snapshot.")]] = UNSET
    env: Maybe[Annotated[list[EnvVar], doc("Variables of the job; they replace those of the action set by name.")]] = UNSET
    runtime_settings: Maybe[Annotated[RuntimeSettings, doc("Limits of the container that backs up.")]] = UNSET
    target: Maybe[Annotated[BackupTarget, doc("Target of this method, in the place of the policy's as a whole.")]] = UNSET
    targets: Maybe[Annotated[list[BackupTarget], doc("Several named targets of this method.")]] = UNSET


class EncryptionConfig(Wire):
    """Encryption of what is stored."""

    algorithm: Annotated[Literal["AES-128-CFB", "AES-192-CFB", "AES-256-CFB"], doc("The cipher.", default="AES-256-CFB")]
    pass_phrase_secret_key_ref: Annotated[SecretKeySelector, doc("Where the pass phrase is kept.")]
