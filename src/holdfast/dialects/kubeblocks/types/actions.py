"""ActionSet: the commands that back up one kind of database and bring it back."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, field

from holdfast.schema.fields import Duration, Maybe, Rule, Wire, doc
from holdfast.schema.kubernetes import EnvFromSource, EnvVar, JSONSchemaProps

OnError = Literal["Continue", "Fail"]
Availability = Literal["Available", "Unavailable"]


class BaseJobAction(Wire):
    """A command that runs in a Job of its own."""

    image: Annotated[str, doc("Image of the container; `$(VAR)` is expanded from the variables of the action.")]
    command: Annotated[list[str], doc("The command.")]


class JobAction(BaseJobAction):
    """A command that runs in a Job, with or without the volumes of the target."""

    run_on_target_pod_node: Annotated[
        bool, doc("Whether it runs on the node of the target's pod, with that pod's volumes mounted.")
    ] = False
    on_error: Annotated[OnError, doc("Whether a failure ends the run or is only recorded.")] = "Fail"


class SyncProgress(Wire):
    """Reports about a running backup."""

    enabled: Maybe[Annotated[bool, doc("Whether the status follows the job while it runs.")]] = UNSET
    interval_seconds: Annotated[int, doc("Seconds between two looks.", int32=True)] = 60


class BackupDataAction(JobAction):
    """The job that saves the data."""

    sync_progress: Maybe[Annotated[SyncProgress, doc("Reports while it runs.")]] = UNSET


class ExecAction(Wire):
    """A command that runs inside a pod of the target."""

    command: Annotated[list[str], doc("The command and its arguments.", min_length=1)]
    container: Maybe[Annotated[str, doc("Container to run it in; the pod's first when absent.")]] = UNSET
    on_error: Annotated[OnError, doc("Whether a failure ends the run or is only recorded.")] = "Fail"
    timeout: Maybe[Annotated[Duration, doc("Time after which it has failed, such as `30s`.")]] = UNSET


class Action(Wire):
    """One step: a command in a pod, or a Job."""

    RULES = (Rule("!(has(self.exec) && has(self.job))", "only one of exec and job may be set"),)

    exec: Maybe[Annotated[ExecAction, doc("Run a command inside a pod of the target.")]] = UNSET
    job: Maybe[Annotated[JobAction, doc("Run a Job.")]] = UNSET


class BackupAction(Wire):
    """How a backup is taken."""

    backup_data: Maybe[Annotated[BackupDataAction, doc("The job that saves the data.")]] = UNSET
    pre_backup: Maybe[Annotated[list[Action], doc("Steps before it, in order.")]] = UNSET
    post_backup: Maybe[Annotated[list[Action], doc("Steps after it, in order.")]] = UNSET
    pre_delete: Maybe[
        Annotated[BaseJobAction, doc("Job before stored files are deleted; variables of the action set are not given to it.")]
    ] = UNSET
    with_parameters: Maybe[Annotated[list[str], doc("Parameters that a Backup may pass.")]] = UNSET


class RestoreAction(Wire):
    """How the data is brought back."""

    prepare_data: Maybe[Annotated[JobAction, doc("Job that fills the volumes.")]] = UNSET
    post_ready: Maybe[Annotated[list[Action], doc("Steps once the restored service is up, in order.")]] = UNSET
    base_backup_required: Annotated[bool, doc("Whether a restore to a moment begins with a full backup.")] = True
    with_parameters: Maybe[Annotated[list[str], doc("Parameters that a Restore may pass.")]] = UNSET


class ActionParametersSchema(Wire):
    """Parameters of an action set."""

    open_api_v3_schema: Maybe[Annotated[JSONSchemaProps, doc("Schema that passed values must meet.")]] = field(
        name="openAPIV3Schema", default=UNSET
    )


class ActionSetSpec(Wire):
    """The commands, and the variables they get."""

    backup_type: Annotated[
        Literal["Full", "Incremental", "Differential", "Continuous"],
        doc(
            "What a backup holds: all, what changed since the last one, what changed since the last full one, or the log as it"
            " is written.",
            default="Full",
        ),
    ]
    env: Maybe[Annotated[list[EnvVar], doc("Variables of every container.")]] = UNSET
    env_from: Maybe[
        Annotated[list[EnvFromSource], doc("Sources of variables: the later one wins, and `env` wins over all.")]
    ] = UNSET
    backup: Maybe[Annotated[BackupAction, doc("How a backup is taken.")]] = UNSET
    restore: Maybe[Annotated[RestoreAction, doc("How the data is brought back.")]] = UNSET
    parameters_schema: Maybe[Annotated[ActionParametersSchema, doc("Parameters that may be passed.")]] = UNSET


class AvailabilityStatus(Wire):
    """Whether an object can be used."""

    phase: Maybe[Annotated[Availability, doc("Whether it can be used.")]] = UNSET
    message: Maybe[Annotated[str, doc("Why not.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET


class ActionSet(Wire):
    """The commands that back up one kind of database and bring it back."""

    spec: Maybe[Annotated[ActionSetSpec, doc("The commands.")]] = UNSET
    status: Maybe[Annotated[AvailabilityStatus, doc("Whether it can be used.")]] = UNSET
