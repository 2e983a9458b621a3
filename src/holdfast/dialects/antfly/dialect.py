"""The Antfly dialect: its handlers, and every kind that they look at."""

from collections.abc import Sequence

from holdfast.core.objects import Kind
from holdfast.core.ports import Handler
from holdfast.dialects.antfly import kinds
from holdfast.dialects.antfly.backup import AntflyBackupHandler
from holdfast.dialects.antfly.cluster import AntflyClusterHandler
from holdfast.dialects.antfly.restore import AntflyRestoreHandler


class Antfly:
    """Implements `core.ports.Dialect`."""

    name = "antfly"

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        return (AntflyBackupHandler(), AntflyRestoreHandler(), AntflyClusterHandler())

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up or owns, beside the handled ones."""
        return (kinds.JOB, kinds.CRON_JOB)

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets."""
        return (kinds.CRON_JOB,)
