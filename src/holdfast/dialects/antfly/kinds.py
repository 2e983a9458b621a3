"""The kinds that this dialect handles or looks at, and their API version, in one place."""

from typing import Final

from holdfast.core.objects import Kind

GROUP: Final = "antfly.io"
VERSION: Final = "v1"

BACKUP: Final = Kind(GROUP, "AntflyBackup")
RESTORE: Final = Kind(GROUP, "AntflyRestore")
CLUSTER: Final = Kind(GROUP, "AntflyCluster")

JOB: Final = Kind("batch", "Job")
CRON_JOB: Final = Kind("batch", "CronJob")
