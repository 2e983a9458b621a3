"""Every spec field of KubeBlocks' repositories, providers, policies and schedules does something, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.fields.ledger import rows
from tests.fields.mutation import allowed, differences, unread
from tests.fields.scene import Scene, made
from tests.unit.kubeblocks.memory import JOB, bucket, provider, thing

from holdfast.core.objects import Object
from holdfast.dialects.kubeblocks.dialect import KubeBlocks
from holdfast.dialects.kubeblocks.types import KINDS

NOW = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)
BORN = "2026-11-20T12:50:00Z"
JUDGED = ("StorageProvider", "BackupRepo", "BackupSchedule")
TARGET = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop"}}}


def policy() -> Object:
    methods = [{"name": name, "actionSetName": name} for name in ("dump", "log")]
    return thing("BackupPolicy", "shop", backupMethods=methods, target=TARGET, useKopia=True, backupRepoName="cloud")


def schedule(**spec: Any) -> Object:
    entries = [
        {
            "backupMethod": "dump",
            "cronExpression": "0 1 * * *",
            "enabled": True,
            "parameters": [{"name": "table", "value": "t"}],
        },
        {"backupMethod": "log", "cronExpression": "*/5 * * * *", "enabled": True, "name": "stream"},
    ]
    return thing("BackupSchedule", "daily", backupPolicyName="shop", schedules=entries, **spec)


def action_sets() -> Sequence[Object]:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"table": {"type": "string"}}}}
    dump = {"backupData": JOB, "withParameters": ["table"]}
    return (
        thing("ActionSet", "dump", backup=dump, parametersSchema=schema),
        thing("ActionSet", "log", backupType="Continuous", backup={"backupData": JOB}),
    )


def mounted() -> Object:
    return thing(
        "BackupRepo",
        "disk",
        storageProviderRef="minio",
        accessMethod="Mount",
        pvReclaimPolicy="Retain",
        volumeCapacity="5Gi",
        config={"bucket": "b", "endpoint": "https://m"},
        credential={"name": "keys", "namespace": "default"},
    )


def scenes() -> Sequence[Scene]:
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "ru.yandex.s3.csi"}, "spec": {}}
    kept = {"storageProviderRef": "pvc", "accessMethod": "Mount", "config": {}, "credential": {}}
    return [
        Scene([made(each, creationTimestamp=BORN) for each in objects], KubeBlocks().handlers, NOW)
        for objects in (
            (provider("minio"), bucket(), policy(), *action_sets()),
            (provider("minio"), driver, mounted()),
            (provider("pvc"), bucket(**kept)),
            (policy(), schedule(startingDeadlineMinutes=5), *action_sets()),
        )
    ]


def test_no_field_of_a_spec_is_without_effect() -> None:
    kinds = [spec for spec in KINDS if spec.kind in JUDGED]
    found = differences(unread(rows("kubeblocks"), kinds, scenes()), allowed("kubeblocks"))
    assert not found, "\n".join(found)
