"""Where data lies: BackupRepo, and StorageProvider which says how such a place is reached."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, field

from holdfast.dialects.kubeblocks.types.common import Condition, SecretReference
from holdfast.schema.fields import IMMUTABLE, Maybe, Time, Wire, doc
from holdfast.schema.kubernetes import JSONSchemaProps, Quantity


class ParametersSchema(Wire):
    """The parameters that the templates of a provider use."""

    open_api_v3_schema: Maybe[Annotated[JSONSchemaProps, doc("Schema of the parameters, with their defaults.")]] = field(
        name="openAPIV3Schema", default=UNSET
    )
    credential_fields: Maybe[Annotated[list[str], doc("Parameters that must come from a Secret.")]] = UNSET


class StorageProviderSpec(Wire):
    """How a kind of storage is reached: by volumes, by the storage tool, or both."""

    csi_driver_name: Maybe[Annotated[str, doc("CSI driver that mounts it; without one there is no CSI access.")]] = UNSET
    csi_driver_secret_template: Maybe[
        Annotated[str, doc("Go template of the Secret for the CSI driver, as a flat YAML map.")]
    ] = UNSET
    storage_class_template: Maybe[Annotated[str, doc("Go template of the StorageClass, in YAML.")]] = UNSET
    persistent_volume_claim_template: Maybe[
        Annotated[str, doc("Go template of the claim, in YAML; it may name the generated StorageClass.")]
    ] = UNSET
    datasafed_config_template: Maybe[
        Annotated[str, doc("Go template of the configuration of the storage tool; without it there is no such access.")]
    ] = UNSET
    parameters_schema: Maybe[Annotated[ParametersSchema, doc("The parameters that the templates use.")]] = UNSET


class StorageProviderStatus(Wire):
    """Whether the storage can be reached."""

    phase: Maybe[Annotated[Literal["NotReady", "Ready"], doc("Whether it can be used.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("What holds for it.", key="type")]] = UNSET


class StorageProvider(Wire):
    """A kind of storage and how it is reached."""

    spec: Maybe[Annotated[StorageProviderSpec, doc("How it is reached.")]] = UNSET
    status: Maybe[Annotated[StorageProviderStatus, doc("Whether it can be used.")]] = UNSET


class BackupRepoSpec(Wire):
    """Which storage, reached how, with which parameters."""

    storage_provider_ref: Annotated[str, doc("StorageProvider of this repository.", rules=(IMMUTABLE,))]
    pv_reclaim_policy: Annotated[Literal["Delete", "Retain"], doc("What becomes of a volume when its claim is deleted.")]
    access_method: Annotated[Literal["Mount", "Tool"], doc("Whether jobs mount a volume or use the storage tool.")] = "Mount"
    volume_capacity: Maybe[Annotated[Quantity, doc("Size of the claim.")]] = UNSET
    config: Maybe[Annotated[dict[str, str], doc("Parameters that are no secrets.")]] = UNSET
    credential: Maybe[Annotated[SecretReference, doc("Secret with the parameters that are secrets.")]] = UNSET
    path_prefix: Maybe[Annotated[str, doc("Folder of the storage that holds everything.", pattern="^([a-zA-Z0-9-_]+/?)*$")]] = (
        UNSET
    )


class BackupRepoStatus(Wire):
    """Whether the repository can be used, and what was made for it."""

    phase: Maybe[Annotated[Literal["PreChecking", "Failed", "Ready", "Deleting"], doc("Whether it can be used.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("How each step of preparing it went.", key="type")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET
    generated_csi_driver_secret: Maybe[Annotated[SecretReference, doc("Secret made for the CSI driver.")]] = field(
        name="generatedCSIDriverSecret", default=UNSET
    )
    generated_storage_class_name: Maybe[Annotated[str, doc("StorageClass made for it.")]] = UNSET
    backup_pvc_name: Maybe[Annotated[str, doc("Name of its claim in each namespace that uses it.")]] = field(
        name="backupPVCName", default=UNSET
    )
    tool_config_secret_name: Maybe[
        Annotated[str, doc("Name of the Secret for the storage tool in each namespace that uses it.")]
    ] = UNSET
    is_default: Maybe[Annotated[bool, doc("Whether policies that name no repository use it.")]] = UNSET
    kopia_password_secret_name: Maybe[
        Annotated[str, doc("Secret with the password of deduplicated backups: keep a copy of it elsewhere.")]
    ] = UNSET
    pre_check_digest: Maybe[Annotated[str, doc("Digest of what was checked: parameters, templates, access.")]] = UNSET
    checked_credential: Maybe[Annotated[str, doc("Version of the Secret with the credentials that was tried there.")]] = UNSET
    searched_with: Maybe[Annotated[str, doc("Digest of the pass phrases with which backups were looked for.")]] = UNSET
    last_pre_check_time: Maybe[Annotated[Time, doc("When writing, reading and deleting there was last tried.")]] = UNSET


class BackupRepo(Wire):
    """A place for backups, proven to work before anybody relies on it."""

    spec: Maybe[Annotated[BackupRepoSpec, doc("Which storage, and how it is reached.")]] = UNSET
    status: Maybe[Annotated[BackupRepoStatus, doc("Whether it can be used.")]] = UNSET
