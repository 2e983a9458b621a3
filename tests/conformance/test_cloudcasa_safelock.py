"""SafeLock on a bucket with S3's object lock, judged by what the service itself says of its objects (moto)."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import Any

import botocore.session
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from tests.cloudcasa_runs import app, store
from tests.cloudcasa_world import World, world
from tests.movers_builders import KEY, SECRET
from tests.store_servers import moto_server

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa import runs
from holdfast.dialects.cloudcasa.kinds import KUBEJOB, KUBEOFFLOAD, ORGANIZATION, derived_id
from holdfast.repo.check import check
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from holdfast.rest.state import RESOURCES

pytestmark = [pytest.mark.run, pytest.mark.asyncio(loop_scope="module")]
PASSWORD = "known to the auditor"
DAYS = 20


class Lookup:
    """Finds the one kubebackup that a job names."""

    def __init__(self, backup: Object) -> None:
        self.backup = backup

    def spec_of(self, plural: str, ident: str) -> Object | None:
        return self.backup if plural == "kubebackups" else None


class Bucket:
    """The bucket, as whoever owns its keys sees it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        session = botocore.session.get_session()
        self.client: Any = session.create_client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        self.client.create_bucket(Bucket="copies", ObjectLockEnabledForBucket=True)

    def days_left(self, key: str) -> float:
        """For how many days the newest version of an object is kept; 0 when it is free."""
        until = self.client.head_object(Bucket="copies", Key=key).get("ObjectLockRetainUntilDate")
        return (until - datetime.datetime.now(datetime.UTC)).total_seconds() / 86_400 if until else 0

    def keys(self, kind: str) -> list[str]:
        found = self.client.list_objects_v2(Bucket="copies", Prefix=f"cloudcasa/{kind}").get("Contents", [])
        return [each["Key"] for each in found]

    def destroy(self, key: str) -> None:
        """What a thief with the keys would do: delete every version."""
        for version in self.client.list_object_versions(Bucket="copies", Prefix=key).get("Versions", []):
            self.client.delete_object(Bucket="copies", Key=key, VersionId=version["VersionId"])

    def sound(self) -> bool:
        access = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        with Repository.open(open_store(f"s3:{self.endpoint}/copies/cloudcasa", access), PASSWORD) as repo:
            return check(repo, read_data=True).ok


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, Bucket]]:
    folder = tmp_path_factory.mktemp("safelock")
    with moto_server() as endpoint:
        bucket = Bucket(endpoint)
        async with world(folder / "cluster", pods=True) as found:
            await store(found, endpoint, encryption_password=PASSWORD)
            await app(found, "shop")
            yield found, bucket


async def test_a_locked_copy_is_kept_by_the_bucket_and_others_go_around_it(scene: tuple[World, Bucket]) -> None:
    found, bucket = scene
    rest = found.rest
    backup = await rest.backup("shop", source={"namespaces": ["shop"]})
    offload = await rest.offload(backup, "shop")
    plain = (await rest.ended(await rest.run("kubeoffloads", offload, runBackup=True)))["backup_inst"]
    (shown,) = await rest.find("objectstores", {})
    assert shown["status"]["object_lock"] is True
    assert [bucket.days_left(key) for key in bucket.keys("snapshots/")] == [0, 0, 0]

    obj = await found.client.get(RESOURCES[KUBEOFFLOAD], offload, ORGANIZATION)
    lookup = Lookup({"name": "shop", "cluster": obj["spec"]["cluster"]})
    job = runs.copy_job(obj, derived_id("locked"), 1, lookup, retain_days=DAYS, run_backup=True, locked=True)
    await found.client.create(RESOURCES[KUBEJOB], job)
    while (await rest.call("GET", f"/jobs/{job['metadata']['name']}")).code != 200:  # noqa: ASYNC110 - a watch brings it
        await asyncio.sleep(0.02)
    ended = await rest.ended(job["metadata"]["name"])

    assert ended["state"] == "COMPLETED", ended
    info = (await rest.ok("GET", f"/backupinstances/{ended['backup_inst']}"))["backup_location"]["backup_location_info"]
    held = [info["volumes"][0]["snapshot_id"], info["resources"], *info["catalog"]]
    assert all(bucket.days_left(f"cloudcasa/snapshots/{ident}") >= DAYS - 0.01 for ident in held)
    assert all(bucket.days_left(key) >= DAYS - 0.01 for key in bucket.keys("config"))
    assert (await rest.call("DELETE", f"/backupinstances/{ended['backup_inst']}")).code == 409
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.destroy(f"cloudcasa/snapshots/{held[0]}")

    assert (await rest.call("DELETE", f"/backupinstances/{plain}")).code == 204
    async with asyncio.timeout(60):
        while await rest.find("backupinstances", {"_id": plain}):  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.1)

    assert sorted(key.rpartition("/")[2] for key in bucket.keys("snapshots/")) == sorted(held)
    assert all(bucket.days_left(key) >= DAYS - 0.01 for kind in ("index/", "keys/") for key in bucket.keys(kind))
    assert await asyncio.to_thread(bucket.sound)
