"""What a restore of manifests brings back, for plain workloads and for each kind of database."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, field

from holdfast.dialects.kubestash.types.common import Ref
from holdfast.schema.fields import Maybe, Wire, doc
from holdfast.schema.kubernetes import TypedLocalObjectReference


class WorkloadManifests(Wire):
    """Where the manifests of a workload go."""

    restore_namespace: Maybe[Annotated[str, doc("Namespace to restore into.")]] = UNSET


class SecretManifests(WorkloadManifests):
    """Where the manifests of a database go, and what becomes of its credentials."""

    auth_secret: Annotated[bool, doc("Whether the Secret with the credentials is restored.")] = True
    auth_secret_name: Maybe[Annotated[str, doc("Another name for that Secret.")]] = UNSET


class SentinelManifests(SecretManifests):
    """Parts of a Redis sentinel to restore."""

    sentinel: Annotated[bool, doc("Whether the sentinel object is restored.")] = True
    sentinel_name: Maybe[Annotated[str, doc("Another name for the sentinel object.")]] = field(
        name="SentinelName", default=UNSET
    )
    tls_issuer_ref: Maybe[Annotated[TypedLocalObjectReference, doc("Another issuer of certificates.")]] = UNSET


class ObjectManifests(SecretManifests):
    """Where a database object goes."""

    db: Annotated[bool, doc("Whether the database object is restored.")] = True
    db_name: Maybe[Annotated[str, doc("Another name for the database object.")]] = UNSET


class DruidManifests(ObjectManifests):
    """Parts of a Druid database to restore."""

    config_secret: Annotated[bool, doc("Whether the Secret with the configuration is restored.")] = True
    config_secret_name: Maybe[Annotated[str, doc("Another name for that Secret.")]] = UNSET
    deep_storage_secret: Annotated[bool, doc("Whether the Secret of the deep storage is restored.")] = True


class ServerManifests(ObjectManifests):
    """Parts of a database server to restore."""

    init_script: Annotated[bool, doc("Whether the script that fills a new database is restored.")] = True
    archiver: Annotated[bool, doc("Whether the setting of the archiver is restored.")] = False
    archiver_ref: Maybe[Annotated[Ref, doc("Another archiver.")]] = UNSET
    tls_issuer_ref: Maybe[Annotated[TypedLocalObjectReference, doc("Another issuer of certificates.")]] = UNSET


class DatabaseManifests(ServerManifests):
    """Parts of a database to restore."""

    config_secret: Annotated[bool, doc("Whether the Secret with the configuration is restored.")] = True
    config_secret_name: Maybe[Annotated[str, doc("Another name for that Secret.")]] = UNSET


class ManifestOptions(Wire):
    """What to bring back, by kind of application."""

    workload: Maybe[Annotated[WorkloadManifests, doc("For plain workloads.")]] = UNSET
    clickhouse: Maybe[Annotated[DatabaseManifests, doc("For ClickHouse.")]] = UNSET
    druid: Maybe[Annotated[DruidManifests, doc("For Druid.")]] = UNSET
    maria_db: Maybe[Annotated[DatabaseManifests, doc("For MariaDB.")]] = field(name="mariaDB", default=UNSET)
    mongo_db: Maybe[Annotated[DatabaseManifests, doc("For MongoDB.")]] = field(name="mongoDB", default=UNSET)
    ms_sql_server: Maybe[Annotated[ServerManifests, doc("For Microsoft SQL Server.")]] = field(
        name="msSQLServer", default=UNSET
    )
    my_sql: Maybe[Annotated[DatabaseManifests, doc("For MySQL.")]] = field(name="mySQL", default=UNSET)
    postgres: Maybe[Annotated[DatabaseManifests, doc("For PostgreSQL.")]] = UNSET
    redis: Maybe[Annotated[DatabaseManifests, doc("For Redis.")]] = UNSET
    redis_sentinel: Maybe[Annotated[SentinelManifests, doc("For Redis sentinels.")]] = UNSET
    singlestore: Maybe[Annotated[DatabaseManifests, doc("For SingleStore.")]] = UNSET
    zoo_keeper: Maybe[Annotated[DatabaseManifests, doc("For ZooKeeper.")]] = UNSET
