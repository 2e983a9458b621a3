"""When a session is triggered: the CronJob that a user describes, and the Job it makes at each tick.

These rule the trigger, which lives for a second, and not the backup that it starts.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubestash.types.runtime import PodTemplate
from holdfast.schema.fields import Maybe, Wire, doc


class JobTemplate(Wire):
    """The Job that each tick makes."""

    parallelism: Maybe[Annotated[int, doc("Most pods that run at one time.", ge=0)]] = UNSET
    completions: Maybe[Annotated[int, doc("Pods that must succeed; absent, any one is enough.", ge=0)]] = UNSET
    completion_mode: Maybe[Annotated[Literal["NonIndexed", "Indexed"], doc("How successful pods are counted.")]] = UNSET
    active_deadline_seconds: Maybe[
        Annotated[int, doc("Seconds that the Job may take; suspended time does not count.", ge=1)]
    ] = UNSET
    backoff_limit: Annotated[int, doc("Retries until the Job counts as failed.", ge=0)] = 6
    ttl_seconds_after_finished: Maybe[
        Annotated[int, doc("Seconds until a finished Job is deleted; absent, it stays.", ge=0)]
    ] = UNSET
    suspend: Annotated[bool, doc("Whether the Job makes no pods; those that run are removed.")] = False
    template: Maybe[Annotated[PodTemplate, doc("The pod that triggers.")]] = UNSET


class Scheduler(Wire):
    """The CronJob that triggers a session."""

    schedule: Annotated[str, doc("When to trigger, as a cron expression.")]
    job_template: Annotated[JobTemplate, doc("The Job that each tick makes.")]
    starting_deadline_seconds: Maybe[
        Annotated[int, doc("Seconds by which a tick may be late; later it counts as failed.", ge=0)]
    ] = UNSET
    concurrency_policy: Annotated[
        Literal["Allow", "Forbid", "Replace"], doc("What happens when a trigger still runs at the next tick.")
    ] = "Allow"
    suspend: Annotated[bool, doc("Whether later ticks are left out; what has started goes on.")] = False
    successful_jobs_history_limit: Annotated[int, doc("Successful trigger Jobs to keep.", ge=0)] = 3
    failed_jobs_history_limit: Annotated[int, doc("Failed trigger Jobs to keep.", ge=0)] = 1
