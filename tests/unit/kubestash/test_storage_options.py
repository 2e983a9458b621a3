"""What a BackupStorage says about transfers reaches the stores of its Jobs."""

import pytest

from holdfast.core.objects import Object
from holdfast.dialects.kubestash.storage import Store, open_store

S3 = {"provider": "s3", "s3": {"bucket": "b", "maxConnections": 7}}
LOCAL = {"provider": "local", "local": {"mountPath": "/x", "hostPath": {"path": "/x"}, "maxConnections": 7}}


@pytest.mark.parametrize("storage", [S3, LOCAL])
def test_the_greatest_number_of_connections_is_handed_on(storage: Object) -> None:
    obj: Object = {"metadata": {"name": "s", "namespace": "demo"}, "spec": {"storage": storage}}
    opened = open_store(obj, "demo", "storage-s", obj)

    assert isinstance(opened, Store)
    assert opened.root.options["connections"] == "7"
