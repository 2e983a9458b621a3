"""The Jobs of this API: one container, which the engine fills, and the rules by which a failed pod is tried again.

A second pod starts only when the first one said that nothing had begun (exit code 75). A pod that was lost, evicted or killed
may have asked the server already, so its Job ends there: what became of it is found out by looking, not by asking twice.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from holdfast.core.labels import MOVER
from holdfast.core.objects import Object
from holdfast.core.plan import SecretFiles
from holdfast.core.report import EXIT_AGAIN
from holdfast.dialects.antfly.decode import Storage

_LAST_WORDS: Final = 30.0
_MOUNT: Final = "antfly"
_TOKEN: Final = "ANTFLY_TOKEN"
TOKEN_FILE: Final = f"/holdfast/secrets/{_MOUNT}/{_TOKEN}"


def job_spec(container: str, labels: Object, *, timeout: timedelta, retries: int, env: Sequence[Object] = ()) -> Object:
    """Return the `spec` of a Job: `timeout` for all its pods together, `retries` after pods that began nothing."""
    rules: list[Object] = [
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [EXIT_AGAIN]}},
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    main: Object = {"name": container}
    if env:
        main["env"] = list(env)
    return {
        "activeDeadlineSeconds": int(timeout.total_seconds()),
        "backoffLimit": retries,
        "podFailurePolicy": {"rules": rules},
        "template": {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [main]}},
    }


def marked(labels: Object, mover: str) -> Object:
    """Return labels with the mark by which a Job is known to leave a report."""
    return {**labels, MOVER: mover}


def token_of(storage: Storage) -> tuple[str, tuple[SecretFiles, ...]]:
    """Return the token file of a call and the Secret it comes from: its one key, and neither need be there."""
    if not storage.secret:
        return "", ()
    return TOKEN_FILE, (SecretFiles(_MOUNT, storage.secret, optional=True, keys=(_TOKEN,)),)


def patience(timeout: timedelta) -> int:
    """Return after how many seconds a mover gives up: a little before its Job is stopped, so that it can still say why."""
    seconds = timeout.total_seconds()
    return max(1, int(seconds - min(_LAST_WORDS, seconds / 20)))
