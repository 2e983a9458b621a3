"""Proof that a backup can be restored: BackupVerifier says how, a BackupVerificationSession is one test."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubestash.types.common import Condition, Invoker, RetryConfig, TypedRef
from holdfast.dialects.kubestash.types.runtime import RuntimeSettings
from holdfast.dialects.kubestash.types.scheduling import Scheduler
from holdfast.dialects.kubestash.types.tasks import AddonUse
from holdfast.schema.fields import Maybe, Opaque, Wire, doc
from holdfast.schema.kubernetes import Volume, VolumeMount


class RestoreOption(Wire):
    """How to restore for a test."""

    target: Maybe[Annotated[TypedRef, doc("Where to restore to.")]] = UNSET
    addon_info: Maybe[Annotated[AddonUse, doc("What does the work.")]] = UNSET


class VerifierScript(Wire):
    """A script that tests restored data."""

    location: Maybe[Annotated[str, doc("Path of the script.")]] = UNSET
    args: Maybe[Annotated[list[str], doc("Its arguments.")]] = UNSET


class BackupVerifierSpec(Wire):
    """When and how backups are tested."""

    restore_option: Maybe[Annotated[RestoreOption, doc("How to restore for the test.")]] = UNSET
    scheduler: Maybe[Annotated[Scheduler, doc("When to test.")]] = UNSET
    function: Maybe[Annotated[str, doc("Function that runs the query or the script.")]] = UNSET
    type: Maybe[Annotated[Literal["RestoreOnly", "Query", "Script"], doc("How deep the test goes.")]] = UNSET
    query: Maybe[Annotated[Opaque, doc("Queries that must succeed, for type Query.")]] = UNSET
    script: Maybe[Annotated[VerifierScript, doc("Script that must succeed, for type Script.")]] = UNSET
    volumes: Maybe[Annotated[list[Volume], doc("Volumes of the Job that tests.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where they are mounted.")]] = UNSET
    retry_config: Maybe[Annotated[RetryConfig, doc("What happens after a failed test.")]] = UNSET
    session_history_limit: Annotated[int, doc("Finished tests to keep.", ge=0)] = 1
    runtime_settings: Maybe[Annotated[RuntimeSettings, doc("Settings of the Job that tests.")]] = UNSET


class BackupVerifier(Wire):
    """Tests backups on a schedule: restores the newest Snapshot and looks at what came back."""

    spec: Annotated[BackupVerifierSpec, doc("When and how to test.")]


class BackupVerificationSessionSpec(Wire):
    """What is tested."""

    invoker: Maybe[Annotated[Invoker, doc("The object on whose behalf it runs.")]] = UNSET
    session: Maybe[Annotated[str, doc("Name of the session there.")]] = UNSET
    repository: Maybe[Annotated[str, doc("The Repository.")]] = UNSET
    snapshot: Maybe[Annotated[str, doc("The Snapshot.")]] = UNSET
    retry_left: Maybe[Annotated[int, doc("Repetitions that remain after this test.", ge=0)]] = UNSET


class BackupVerificationSessionStatus(Wire):
    """How a test goes or went."""

    phase: Maybe[Annotated[Literal["Running", "Succeeded", "Failed", "Skipped"], doc("State of the test.")]] = UNSET
    duration: Maybe[Annotated[str, doc("How long it took.")]] = UNSET
    retried: Maybe[Annotated[bool, doc("Whether another session repeats it.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("Steps of the test.", key="type")]] = UNSET


class BackupVerificationSession(Wire):
    """One test of one Snapshot."""

    spec: Annotated[BackupVerificationSessionSpec, doc("What is tested.")]
    status: Maybe[Annotated[BackupVerificationSessionStatus, doc("How it goes.")]] = UNSET
