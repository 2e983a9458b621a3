"""Every spec field of the Mirantis API does something: a generated mutation changes plans, children, conditions or Problems."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.fields.ledger import rows
from tests.fields.mutation import allowed, differences, unread
from tests.fields.scene import Scene, made

from holdfast.core.objects import Object
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.dialects.mirantis.types import KINDS

NOW = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)
BORN = "2026-11-20T12:50:00Z"
CONFIG = {"type": "s3", "access_key_id": "holdfast", "endpoint": "http://127.0.0.1:9000"}
BUCKET = {"rclone": {"bucket": "test", "credential": "swift-s3"}}
SHARE = {"nfsUploadUrl": "nfs://10.0.0.1:/backups"}
KEY = {"keyEncryptionKey": "swift-s3"}


def thing(kind: str, name: str, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "default"}
    document = {"apiVersion": "kaas.mirantis.com/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    return made(document, creationTimestamp=BORN)


def node() -> Object:
    meta = {"name": "manager-1", "labels": {"node-role.kubernetes.io/control-plane": ""}}
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return made({"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {}, "status": status})


def credential(**spec: Any) -> Object:
    given = {"remoteConfig": CONFIG, "remoteSecret": {"name": "kept", "key": "value"}, **spec}
    return thing("RCloneCredential", "swift-s3", **given)


def key(**secret: Any) -> Object:
    return thing("KeyEncryptionKey", "swift-s3", secret=secret or {"name": "key-text", "key": "value"})


def backup(**spec: Any) -> Object:
    return thing("ClusterBackup", "now", targetCluster="kaas-mgmt", **spec)


def schedule(**spec: Any) -> Object:
    return thing("ClusterBackupSchedule", "hourly", targetCluster="kaas-mgmt", schedule="0 * * * *", **spec)


def scenes() -> Sequence[Scene]:
    clear, older = {"value": "s3cret"}, {"secret": {"value": "s3cret"}}
    around = (thing("Cluster", "kaas-mgmt"), node(), credential(), key())
    return [
        Scene(objects, Mirantis().handlers, NOW)
        for objects in (
            (*around, backup(parameters={**BUCKET, **KEY}), schedule(parameters={**BUCKET, **KEY})),
            (*around, backup(parameters={**SHARE, **KEY}), schedule(parameters={**SHARE, **KEY})),
            (thing("Cluster", "kaas-mgmt", backup={**BUCKET, **KEY}), node(), credential(), key(), backup(), schedule()),
            (thing("Cluster", "kaas-mgmt", backup={**SHARE, **KEY}), node(), key(), backup(), schedule()),
            (credential(remoteSecret=clear), key(value="a key of more than 32 characters, in clear")),
            (credential(remoteSecret=older),),
        )
    ]


def test_no_field_of_a_spec_is_without_effect() -> None:
    found = differences(unread(rows("mirantis"), KINDS, scenes()), allowed("mirantis"))
    assert not found, "\n".join(found)
