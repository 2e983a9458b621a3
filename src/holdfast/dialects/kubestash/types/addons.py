"""What does the work: an Addon lists tasks, a Function is the container of one."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubestash.types.common import Parameter
from holdfast.dialects.kubestash.types.runtime import ContainerSettings
from holdfast.dialects.kubestash.types.tasks import VolumeSource
from holdfast.schema.fields import Maybe, Wire, doc
from holdfast.schema.kubernetes import ContainerPort, VolumeDevice, VolumeMount


class VolumeTemplate(Wire):
    """A volume that a task needs."""

    name: Maybe[Annotated[str, doc("Name of the volume.")]] = UNSET
    usage: Maybe[Annotated[str, doc("What it is for.")]] = UNSET
    source: Maybe[Annotated[VolumeSource, doc("Its source, unless a session gives another.")]] = UNSET


class Task(Wire):
    """One way of backing up or restoring."""

    name: Maybe[Annotated[str, doc("Name by which sessions ask for it.")]] = UNSET
    function: Maybe[Annotated[str, doc("Function that carries it out.")]] = UNSET
    driver: Maybe[
        Annotated[
            Literal["Restic", "WalG", "Medusa", "VolumeSnapshotter", "Solr", "ClickHouseBackup", "Neo4jAdmin"],
            doc("Tool that moves the data."),
        ]
    ] = UNSET
    executor: Maybe[
        Annotated[Literal["Job", "Sidecar", "EphemeralContainer", "MultiLevelJob"], doc("Where it runs; a Job when absent.")]
    ] = UNSET
    singleton: Maybe[Annotated[bool, doc("Whether one Job does all, and not one for each pod or node.")]] = UNSET
    parameters: Maybe[Annotated[list[Parameter], doc("Parameters that a session may give.")]] = UNSET
    volume_template: Maybe[Annotated[list[VolumeTemplate], doc("Volumes that it needs.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where its container mounts them.")]] = UNSET


class AddonSpec(Wire):
    """Tasks that sessions can use."""

    backup_tasks: Maybe[Annotated[list[Task], doc("Tasks that back up.")]] = UNSET
    restore_tasks: Maybe[Annotated[list[Task], doc("Tasks that restore.")]] = UNSET


class Addon(Wire):
    """What can back up and restore one kind of application."""

    spec: Annotated[AddonSpec, doc("Its tasks.")]


class FunctionSpec(Wire):
    """A container, with `${name}` where values are filled in."""

    image: Maybe[Annotated[str, doc("Image of the container.")]] = UNSET
    command: Maybe[Annotated[list[str], doc("Program to run.")]] = UNSET
    args: Maybe[Annotated[list[str], doc("Its arguments.")]] = UNSET
    working_dir: Maybe[Annotated[str, doc("Working directory.")]] = UNSET
    ports: Maybe[Annotated[list[ContainerPort], doc("Ports of the container.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where it mounts volumes.")]] = UNSET
    volume_devices: Maybe[Annotated[list[VolumeDevice], doc("Block devices of the container.")]] = UNSET
    runtime_settings: Maybe[Annotated[ContainerSettings, doc("Settings of the container.")]] = UNSET
    available_versions: Maybe[Annotated[list[str], doc("Versions of the database for which there is an image.")]] = UNSET


class Function(Wire):
    """The container that carries a task out."""

    spec: Annotated[FunctionSpec, doc("The container.")]
