"""PostgreSQL under write load, backed up by the shipped manifests: what is restored starts, with every row up to a moment."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tools
from tests.e2e.plane import Plane, eventually

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SERVER = "kubeblocks/postgresql-server.yaml"
PSQL = 'PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)" exec psql -h 127.0.0.1 -U postgres'
CORE = "core.kubestash.com/v1alpha1"
Object = dict[str, Any]


def examples(name: str) -> list[Object]:
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


class Database:
    """The server of the example and what restores make of it."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def apply(self, *documents: Object) -> None:
        said = self.plane.kubectl("apply", "-n", "demo", "-f", "-", text=yaml.safe_dump_all(documents))
        assert "created" in said, said

    def get(self, kind: str, name: str) -> Object:
        return json.loads(self.plane.kubectl("get", kind, name, "-n", "demo", "-o", "json"))

    def phase(self, kind: str, name: str) -> str:
        return self.get(kind, name).get("status", {}).get("phase", "")

    def ended(self, kind: str, name: str) -> Object:
        ends = ("Succeeded", "Failed", "Skipped", "Invalid")
        eventually(lambda: self.phase(kind, name) in ends, f"{kind} {name} does not end")
        status = self.get(kind, name)["status"]
        assert status["phase"] == "Succeeded", status
        return status

    def back_up(self, session: str) -> str:
        """Run a session now, and return the name of its Snapshot."""
        name = f"pg-{session}-1705405200"
        invoker = {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": "pg"}
        spec = {"invoker": invoker, "session": session, "retryLeft": 0}
        self.apply({"apiVersion": CORE, "kind": "BackupSession", "metadata": {"name": name}, "spec": spec})
        return self.ended("backupsession", name)["snapshots"][0]["name"]

    def restore(self, name: str, snapshot: str, task: str, **volumes: Any) -> None:
        """Restore a Snapshot into the claim `<name>-0`."""
        claim = {
            "metadata": {"name": name + "-${POD_ORDINAL}"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        tasks = [{"name": task, "targetVolumes": {"volumeClaimTemplates": [claim], **volumes}}]
        spec = {"dataSource": {"snapshot": snapshot}, "addon": {"name": "workload-addon", "tasks": tasks}}
        self.apply({"apiVersion": CORE, "kind": "RestoreSession", "metadata": {"name": name}, "spec": spec})
        self.ended("restoresession", name)

    def serve(self, name: str, folder: str) -> None:
        """Start the same server under another name, on the claim that a restore filled."""
        text = yaml.safe_dump(next(found for found in examples(SERVER) if found["kind"] == "StatefulSet"))
        text = text.replace("name: pg\n", f"name: {name}\n").replace("instance: pg\n", f"instance: {name}\n")
        made: Object = yaml.safe_load(text.replace("value: /data/pg\n", f"value: {folder}\n"))
        made["spec"].pop("volumeClaimTemplates")
        made["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": f"{name}-0"}}]
        self.apply(made)
        self.ready(name)

    def ready(self, name: str) -> None:
        eventually(lambda: self.get("statefulset", name)["status"].get("readyReplicas") == 1, f"{name} serves nothing", 60)

    def sql(self, name: str, statement: str) -> str:
        said = self.plane.kubectl("exec", "-n", "demo", f"{name}-0", "--", "bash", "-c", f'{PSQL} -qtA -c "{statement}"')
        return said.strip()

    @contextlib.contextmanager
    def written_to(self) -> Iterator[None]:
        """Insert a row every 10 ms meanwhile."""
        inserts = f'{PSQL} -q -c "select 1" -f <(echo "insert into rows default values \\watch 0.01")'
        command = [tools.kubectl(), "--kubeconfig", str(self.plane.kubeconfig), "exec", "-n", "demo", "pg-0", "--"]
        with subprocess.Popen([*command, "bash", "-c", inserts], stdout=subprocess.DEVNULL, start_new_session=True) as load:
            try:
                eventually(lambda: int(self.sql("pg", "select count(*) from rows")) > 50, "nobody writes")
                yield
                assert load.poll() is None, "the load has ended before the backups did"
            finally:
                os.killpg(load.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Generator[Database]:
    plane = Plane(tmp_path_factory.mktemp("pg") / "plane")
    assert plane.up().returncode == 0
    found = Database(plane)
    try:
        found.apply(*examples("kubestash/namespace.yaml"))
        for name in (SERVER, "kubestash/secrets.yaml", "kubestash/storage-local.yaml", "kubestash/retention-policy.yaml"):
            found.apply(*examples(name))
        found.apply(*examples("kubestash/postgresql.yaml"))
        found.ready("pg")
        eventually(lambda: found.phase("backupconfiguration", "pg") == "Ready", "the BackupConfiguration is not Ready")
        yield found
    finally:
        plane.down()


def test_a_server_under_load_is_restored_from_its_base_backup_and_from_its_volume(database: Database) -> None:
    database.sql("pg", "create table rows (id bigserial primary key, words text default repeat(md5(random()::text), 30))")
    with database.written_to():
        first = int(database.sql("pg", "select max(id) from rows"))
        base = database.back_up("base")
        volume = database.back_up("volume")
        last = int(database.sql("pg", "select max(id) from rows"))
    assert database.sql("pg", "select count(*) from pg_ls_dir('..') as found where found = 'base'") == "0", "the copy stays"

    database.restore("base", base, "LogicalBackupRestore", volumeMounts=[{"name": "base-${POD_ORDINAL}", "mountPath": "/data"}])
    database.restore("volume", volume, "VolumeSnapshotRestore")
    database.serve("base", "/data/base")
    database.serve("volume", "/data/pg")

    for name in ("base", "volume"):
        rows, newest = (int(each) for each in database.sql(name, "select count(*), max(id) from rows").split("|"))
        assert first <= newest <= last, f"{name}: row {newest} is not of the time of the backups"
        assert rows == newest, f"{name}: {newest - rows} rows before the newest are missing"
        assert database.sql(name, "select count(*) from rows where length(words) <> 960") == "0"
