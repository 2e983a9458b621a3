"""AntflyCluster: what backups need to know of the database. Its operator owns the kind; this is for where there is none."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, field

from holdfast.dialects.antfly.types.common import Condition
from holdfast.schema.fields import Maybe, Time, Wire, doc
from holdfast.schema.kubernetes import EnvFromSource


class Nodes(Wire):
    """Servers of one role."""

    OPEN: ClassVar[bool] = True

    env_from: Maybe[Annotated[list[EnvFromSource], doc("Their environment, with the credentials of the storage.")]] = UNSET


class PublicAPI(Wire):
    """The Service of the public API."""

    OPEN: ClassVar[bool] = True

    enabled: Annotated[bool, doc("Whether the Service exists.")] = False
    service_type: Annotated[Literal["ClusterIP", "NodePort", "LoadBalancer"], doc("Type of the Service.")] = "LoadBalancer"
    port: Annotated[int, doc("Port of the Service.", ge=1, le=65535)] = 80


class AntflyClusterSpec(Wire):
    """The database."""

    OPEN: ClassVar[bool] = True

    image: Annotated[str, doc("Image of the database. Backups need none of it: they talk to the server.")]
    mode: Annotated[Literal["Clustered", "Swarm"], doc("Servers of several roles, or one that does everything.")] = "Clustered"
    public_api: Maybe[Annotated[PublicAPI, doc("The Service of the public API; there is one at port 80 when absent.")]] = field(
        name="publicAPI", default=UNSET
    )
    metadata_nodes: Maybe[Annotated[Nodes, doc("Metadata servers, in mode Clustered.")]] = UNSET
    data_nodes: Maybe[Annotated[Nodes, doc("Data servers, in mode Clustered.")]] = UNSET
    swarm: Maybe[Annotated[Nodes, doc("The servers of mode Swarm.")]] = UNSET


class AntflyClusterStatus(Wire):
    """Whether the database can be backed up, by its own word."""

    OPEN: ClassVar[bool] = True

    conditions: Maybe[Annotated[list[Condition], doc("Ready: what the server's own status call says.")]] = UNSET
    endpoint: Maybe[Annotated[str, doc("URL at which the server was asked. Only Holdfast sets it.")]] = UNSET
    checks: Maybe[Annotated[int, doc("How often it was asked.")]] = UNSET
    next_check: Maybe[Annotated[Time, doc("When it will be asked again.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was checked.")]] = UNSET


class AntflyCluster(Wire):
    """An Antfly database cluster."""

    spec: Annotated[AntflyClusterSpec, doc("The database.")]
    status: Maybe[Annotated[AntflyClusterStatus, doc("Whether it can be backed up, by its own word.")]] = UNSET
