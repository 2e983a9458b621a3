"""The identity of one run of a CronJob: the same for every pod that works on it, and never the same for two runs.

A run is one Job. Its pods learn the Job's name and uid from their own labels (the downward API), and whoever looks at the
Job from outside derives the same id, so nobody has to hand it around and a second pod can't make a second backup.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from holdfast.core.objects import Object, bounded_name

JOB_NAME: Final = "HOLDFAST_JOB_NAME"
JOB_UID: Final = "HOLDFAST_JOB_UID"
"""Environment variables of a mover that needs to know which Job it works for."""

_LABELS: Final = {JOB_NAME: "batch.kubernetes.io/job-name", JOB_UID: "batch.kubernetes.io/controller-uid"}
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]+")


def job_environment() -> Sequence[Object]:
    """Return the `env` entries by which a container learns the name and uid of its Job (Kubernetes 1.27 and later)."""
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}
        for name, label in _LABELS.items()
    ]


def run_id(owner: str, cron_job: str, job: str, uid: str) -> str:
    """Return `<name>-<due time as YYYYmmddHHMMSS, or the Job's name>-<4 hex digits of the owner, 8 of the Job's uid>`.

    `owner` is `<namespace>/<name>`. The due time stands in the name of a Job that a CronJob made by itself
    (`<cron_job>-<minutes since 1970>`); a Job that a person made keeps its own name. 150 characters at most: letters, digits,
    `-` and `_`.
    """
    minutes = job.removeprefix(f"{cron_job}-") if job.startswith(f"{cron_job}-") else ""
    due = minutes.isdigit() and len(minutes) == 8
    moment = datetime.fromtimestamp(int(minutes) * 60, UTC).strftime("%Y%m%d%H%M%S") if due else bounded_name(plain(job))
    return f"{_head(owner)}-{moment}-{_digest(owner, 4)}{_digest(uid, 8)}"


def is_scheduled(owner: str, ident: str) -> bool:
    """Whether an id is one that the schedule of this owner made, and not a person's, nor that of a namesake elsewhere."""
    head, place = re.escape(_head(owner)), _digest(owner, 4)
    return re.fullmatch(rf"{head}-[0-9]{{14}}-{place}[0-9a-f]{{8}}", ident) is not None


def _head(owner: str) -> str:
    return bounded_name(plain(owner.rpartition("/")[2]))


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def plain(text: str) -> str:
    """Return a name in which everything but letters, digits, `-` and `_` became `-`."""
    return _NOT_PLAIN.sub("-", text)
