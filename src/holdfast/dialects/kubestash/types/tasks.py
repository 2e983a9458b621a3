"""How a session uses an addon: its tasks, their parameters and their volumes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET

from holdfast.dialects.kubestash.types.runtime import ContainerSettings, PodTemplate
from holdfast.schema.fields import Maybe, Opaque, Wire, doc
from holdfast.schema.kubernetes import EnvVar, PersistentVolumeClaim, Volume, VolumeMount


class VolumeSource(Wire):
    """Any volume source of Kubernetes, or a claim to create."""

    OPEN: ClassVar[bool] = True

    volume_claim_template: Maybe[Annotated[PersistentVolumeClaim, doc("A claim that is created for the volume.")]] = UNSET


class AddonVolume(Wire):
    """A volume of the Addon, with another source."""

    name: Maybe[Annotated[str, doc("Name of the volume in the Addon.")]] = UNSET
    source: Maybe[Annotated[VolumeSource, doc("The source to use.")]] = UNSET


class TargetVolumes(Wire):
    """Volumes of the target, as a Job sees them."""

    volumes: Maybe[Annotated[list[Volume], doc("Volumes of the target.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where those volumes are mounted.")]] = UNSET
    volume_claim_templates: Maybe[
        Annotated[list[PersistentVolumeClaim], doc("Claims to create, one for each pod of a StatefulSet.")]
    ] = UNSET


class TaskUse(Wire):
    """One task to run."""

    name: Annotated[str, doc("Name of the task in the Addon; both generations of names are understood.")]
    variables: Maybe[Annotated[list[EnvVar], doc("Variables that fill in the task.")]] = UNSET
    params: Maybe[Annotated[Opaque, doc("Values for parameters that the Addon declares.")]] = UNSET
    target_volumes: Maybe[Annotated[TargetVolumes, doc("Volumes of the target to mount.")]] = UNSET
    addon_volumes: Maybe[Annotated[list[AddonVolume], doc("Other sources for volumes of the Addon.")]] = UNSET


class AddonUse(Wire):
    """An addon and what it shall do."""

    name: Annotated[str, doc("Name of the Addon.")]
    tasks: Annotated[list[TaskUse], doc("Tasks to run, in order.", min_length=1)]
    container_runtime_settings: Maybe[Annotated[ContainerSettings, doc("Settings of the containers that do the work.")]] = UNSET
    job_template: Maybe[Annotated[PodTemplate, doc("Settings of the Job that does the work.")]] = UNSET
