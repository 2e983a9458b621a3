"""Definitions that users own: clusters, policies, objectstores, hooks."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta

from holdfast.dialects.cloudcasa.types.common import Document, Provider, Tags, reference
from holdfast.schema.fields import Maybe, Wire, doc


class KubeclusterSpec(Document):
    """A cluster whose data is protected."""

    name: Annotated[str, doc("Name of the document; unique.", min_length=1, max_length=253)]
    description: Maybe[Annotated[str, doc("Free text.")]] = UNSET
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET
    image_pull_secret_name: Maybe[
        Annotated[str, doc("Pull Secret; refused unless empty: Holdfast's installation has one.")]
    ] = UNSET
    container_registry: Maybe[Annotated[str, doc("Registry; refused unless empty: movers run the operator's `--image`.")]] = (
        UNSET
    )
    backup_provider: Maybe[
        Annotated[Provider, doc("Preferred backup target of this cluster; a copy's own `offload_provider` comes first.")]
    ] = UNSET


class KubeclusterStatus(Document):
    """Whether the cluster can be worked on."""

    state: Maybe[
        Annotated[
            Literal["REGISTERED", "PENDING", "ACTIVE"],
            doc("Never heard of, silent for two minutes, or an agent reports from the cluster."),
        ]
    ] = UNSET
    agentURL: Maybe[Annotated[str, doc("Where the agent's manifest is served.")]] = UNSET
    last_seen: Maybe[Annotated[int, doc("When its agent last reported, in Unix seconds.")]] = UNSET
    version: Maybe[Annotated[str, doc("Version of its agent.")]] = UNSET
    kubernetes_version: Maybe[Annotated[str, doc("Version of its API server.")]] = UNSET
    nodes: Maybe[Annotated[int, doc("How many nodes it has.", ge=0)]] = UNSET
    namespaces: Maybe[Annotated[int, doc("How many namespaces it has.", ge=0)]] = UNSET
    trouble: Maybe[Annotated[str, doc("Why a cluster with a kubeconfig can't be reached now; else absent.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words.")]] = UNSET


class Kubecluster(Wire):
    """A Kubernetes cluster. The one that this API server is exists by itself and is ACTIVE."""

    spec: Annotated[KubeclusterSpec, doc("What the user says of it.")]
    status: Maybe[Annotated[KubeclusterStatus, doc("Whether it can be worked on.")]] = UNSET


class Timing(Document):
    """When to run: `cronSpec`, which wins, or the five parts; a part that is absent is `*`, or `0` for minute and hour."""

    cronSpec: Maybe[Annotated[str, doc("Five cron fields; names such as `MON,FRI` are understood.")]] = UNSET
    minute: Maybe[Annotated[str, doc("Minute part.")]] = UNSET
    hour: Maybe[Annotated[str, doc("Hour part.")]] = UNSET
    dayOfMonth: Maybe[Annotated[str, doc("Day part.")]] = UNSET
    month: Maybe[Annotated[str, doc("Month part.")]] = UNSET
    dayOfWeek: Maybe[Annotated[str, doc("Weekday part.")]] = UNSET


class ScheduleEntry(Document):
    """One schedule of a policy. Entries that are due together make one run, kept for the longest time among them."""

    retainDays: Annotated[int, doc("Days to keep the recovery point.", ge=1, le=36500)]
    schedule: Annotated[Timing, doc("When to run.")]
    locked: Annotated[bool, doc("SafeLock: whether the recovery point can't be deleted before it expires.")] = False


class PolicySpec(Document):
    """When to run and how long to keep."""

    name: Annotated[str, doc("Name of the document; unique.", min_length=1, max_length=253)]
    schedules: Annotated[
        list[ScheduleEntry], Meta(description="When to run and how long to keep.", min_length=1, max_length=64)
    ]
    timezone: Annotated[str, doc("IANA time zone of the schedules.")] = "UTC"
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET


class PolicyStatus(Document):
    """Whether the policy is at work."""

    suspended: Maybe[Annotated[bool, doc("Whether its schedules are stopped.")]] = UNSET
    next_run_time: Maybe[Annotated[int, doc("When it is due next, in Unix seconds.")]] = UNSET
    message: Maybe[Annotated[str, doc("What is wrong with it, if anything.")]] = UNSET


class Policy(Wire):
    """Schedules in one time zone, which snapshots and copies follow."""

    spec: Annotated[PolicySpec, doc("When to run and how long to keep.")]
    status: Maybe[Annotated[PolicyStatus, doc("Whether it is at work.")]] = UNSET


class Credentials(Document):
    """Keys of a store. Write-only: they are moved into a Secret and never shown again."""

    access_key: Maybe[Annotated[str, doc("S3 access key.")]] = UNSET
    secret_key: Maybe[Annotated[str, doc("S3 secret key.")]] = UNSET
    subscription_id: Maybe[Annotated[str, doc("Azure subscription.")]] = UNSET
    tenant_id: Maybe[Annotated[str, doc("Azure tenant.")]] = UNSET
    client_id: Maybe[Annotated[str, doc("Azure client.")]] = UNSET
    client_secret: Maybe[Annotated[str, doc("Azure client secret.")]] = UNSET
    encryption_password: Maybe[
        Annotated[
            str,
            doc(
                "Password of the repository in the store. Made up when absent; give it to read copies that another made.",
                min_length=8,
            ),
        ]
    ] = UNSET


class StoreProvider(Document):
    """Access to a store."""

    endpoint: Maybe[Annotated[str, doc("Address of the S3 service, as a URL; AWS itself when absent.")]] = UNSET
    credentials: Maybe[Annotated[Credentials, doc("Access keys; never echoed.")]] = UNSET
    cloud: Maybe[Annotated[Literal["Public", "Government"], doc("Azure cloud.")]] = UNSET
    resource_group_name: Maybe[Annotated[str, doc("Azure resource group.")]] = UNSET
    storage_account_name: Maybe[Annotated[str, doc("Azure storage account.")]] = UNSET


class ObjectstoreSpec(Document):
    """A bucket that copies go to."""

    name: Annotated[str, doc("Name of the document; unique.", min_length=1, max_length=253)]
    provider_type: Annotated[Literal["aws", "azure"], doc("Any S3 store, or Azure.")]
    bucket_name: Maybe[Annotated[str, doc("Bucket or container.", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$")]] = UNSET
    region: Maybe[Annotated[str, doc("Region of the bucket.")]] = UNSET
    private: Annotated[bool, doc("Whether only clusters can reach it.")] = False
    proxy_cluster_list: Maybe[Annotated[list[str], doc("Clusters that reach a private store; needed when `private`.")]] = UNSET
    skip_tls_certificate_validation: Annotated[bool, doc("Whether the store's certificate is taken unchecked.")] = False
    s3provider: Maybe[Annotated[StoreProvider, doc("Access to the store.")]] = UNSET
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET


class ObjectstoreStatus(Document):
    """Whether the store can be used."""

    validate_state: Maybe[
        Annotated[Literal["VALIDATING", "VALID", "INVALID"], doc("Whether it was written, read, listed and deleted in.")]
    ] = UNSET
    message: Maybe[Annotated[str, doc("What is wrong with it, if anything.")]] = UNSET
    object_lock: Maybe[
        Annotated[bool, doc("Whether the bucket has S3's object lock, by which copies of locked schedules are kept.")]
    ] = UNSET
    probed: Maybe[Annotated[str, doc("Version of the definition and of its credentials that was tried.")]] = UNSET


class Objectstore(Wire):
    """A bucket of an S3 service, or a container of Azure, that holds one encrypted repository of copies."""

    spec: Annotated[ObjectstoreSpec, doc("Where it is and how it is reached.")]
    status: Maybe[Annotated[ObjectstoreStatus, doc("Whether it can be used.")]] = UNSET


class HookTarget(Document):
    """One command in one container."""

    command: Annotated[str, doc("Command to run, as a shell of the container takes it.", min_length=1)]
    container: Maybe[Annotated[str, doc("Container to run it in; the first one when absent.")]] = UNSET


class HookRule(Document):
    """Pods by label, and what to run in them."""

    labels: Annotated[dict[str, str], doc("Pod labels; all must match, commas in a value give alternatives.")]
    target: Maybe[Annotated[list[HookTarget], doc("Commands for those pods, in order.")]] = UNSET


class KubehookSpec(Document):
    """Commands that run in pods around a snapshot or after a restore."""

    name: Annotated[str, doc("Name of the document; unique.", min_length=1, max_length=253)]
    hook_type: Maybe[
        Annotated[
            Literal["PRE_BACKUP", "POST_BACKUP", "POST_RESTORE", "COMMON"], doc("When it may run; COMMON is any of them.")
        ]
    ] = UNSET
    hook: Maybe[Annotated[list[HookRule], doc("Pods and commands, in order.")]] = UNSET
    tags: Maybe[Annotated[Tags, doc("Free labels.")]] = UNSET


class Kubehook(Wire):
    """Commands that snapshots and restores run in pods."""

    spec: Annotated[KubehookSpec, doc("Pods and commands.")]


class OrganizationSpec(Document):
    """Settings of an organisation, which is this object's namespace."""

    backup_provider: Maybe[Annotated[Provider, doc("Preferred backup target where neither copy nor cluster names one.")]] = (
        UNSET
    )


class Organization(Wire):
    """Settings of an organisation; its one object is named `settings`."""

    spec: Annotated[OrganizationSpec, doc("The settings.")]


class ApikeySpec(Document):
    """A key of the REST API. The key itself is shown once and kept nowhere."""

    name: Annotated[str, doc("What it is for.", min_length=1, max_length=253)]
    roles: Annotated[
        list[Literal["admin", "editor", "operator", "viewer", "agent"]],
        Meta(description="What it may do.", min_length=1, max_length=4),
    ]
    digest: Annotated[str, doc("SHA-256 of the key's secret part, in hex.", pattern="^[0-9a-f]{64}$")]
    expires: Maybe[Annotated[int, doc("When it ends, in Unix seconds; absent, it does not.")]] = UNSET
    cluster: Maybe[Annotated[str, reference("The one cluster that an agent's key is for.")]] = UNSET


class Apikey(Wire):
    """A key of the REST API of its namespace's organisation."""

    spec: Annotated[ApikeySpec, doc("Who may do what until when.")]


class NameclaimSpec(Document):
    """A unique name."""

    resource: Annotated[str, doc("Collection within which the name is unique.")]
    name: Annotated[str, doc("The name.")]
    holder: Annotated[str, reference("Document that holds it.")]


class Nameclaim(Wire):
    """Holds a unique name: of two writers that want the same one, only one can create this object."""

    spec: Annotated[NameclaimSpec, doc("Which name, and whose.")]


class BulkwriteSpec(Document):
    """Documents that appear together."""

    resource: Annotated[str, doc("Their collection.")]
    documents: Annotated[list[str], doc("Their ids.")]


class Bulkwrite(Wire):
    """Says that the documents of a bulk request exist now; without it none of them does."""

    spec: Annotated[BulkwriteSpec, doc("Which documents.")]
