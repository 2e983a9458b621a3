"""Two control planes: one serves the CloudCasa API, the other is its kubecluster by an agent that runs in it as a pod.

What a user does: register the cluster, apply there what its agentURL serves, back it up over REST, restore elsewhere.
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from os import kill
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.e2e.plane import Plane, eventually
from tests.movers_builders import KEY, SECRET, s3_server

pytestmark = [pytest.mark.run, pytest.mark.timeout(300)]
SHOP = (Path(__file__).resolve().parents[2] / "examples/cloudcasa/shop.yaml").read_text()


class Api:
    """The REST API of a control plane, with one key."""

    def __init__(self, plane: Plane) -> None:
        self.url = (plane.data / "cloudcasa.url").read_text().strip()
        self.key = (plane.data / "cloudcasa.key").read_text().strip()
        self._trust = ssl.create_default_context(cafile=str(plane.data / "pki/ca.crt"))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        url = path if path.startswith("https:") else f"{self.url}/{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._trust, timeout=30) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        code, text = self.call(method, path, body)
        assert code < 300, f"{method} {path}: {code} {text}"
        return json.loads(text) if text else None

    def run(self, path: str, **body: Any) -> str:
        return self.ok("POST", f"{path}/action/run", body)["status"]["jobid"]

    def ended(self, job: str) -> Any:
        eventually(lambda: self.ok("GET", f"jobs/{job}").get("terminal", False), f"job {job} does not end", 60)
        return self.ok("GET", f"jobs/{job}")


class Pair:
    """The two control planes, and the ids of the documents."""

    def __init__(self, home: Plane, other: Plane, endpoint: str) -> None:
        self.home, self.other, self.api = home, other, Api(home)
        cluster = self.api.ok("POST", "kubeclusters", {"name": "other"})
        self.cluster: str = cluster["_id"]
        self.agent_url: str = cluster["status"]["agentURL"]
        self.first_state: str = cluster["status"]["state"]
        access = {"access_key": KEY, "secret_key": SECRET, "encryption_password": "keep it safe"}
        place = {"bucket_name": "copies", "region": "us-east-1", "s3provider": {"endpoint": endpoint, "credentials": access}}
        self.api.ok("POST", "objectstores", {"name": "store", "provider_type": "aws", **place})
        body = {"name": "shop", "trigger_type": "ADHOC", "cluster": self.cluster, "source": {"namespaces": ["shop"]}}
        self.backup: str = self.api.ok("POST", "kubebackups", body)["_id"]
        copy = {"name": "shop", "trigger_type": "ADHOC", "backupdef": self.backup, "options": {"upload_speed_limit": 1024}}
        self.offload: str = self.api.ok("POST", "kubeoffloads", copy)["_id"]

    @property
    def local(self) -> str:
        found = self.api.ok("GET", "kubeclusters")["_items"]
        return next(each["_id"] for each in found if each["name"] == "local")

    def state(self) -> str:
        return self.api.ok("GET", f"kubeclusters/{self.cluster}")["status"]["state"]

    def restored(self, name: str, point: str, cluster: str) -> Any:
        mapping = [{"source": "shop", "target": name}]
        body = {"name": name, "backup_inst": point, "cluster": cluster, "all_namespaces": True, "namespace_mappings": mapping}
        return self.api.ended(self.api.run(f"kuberestores/{self.api.ok('POST', 'kuberestores', body)['_id']}"))

    def brought(self) -> list[str]:
        """What lies in the other cluster because of a job."""
        kinds = "kubejobs,kubebackups,kubeoffloads,kuberestores,backupinstances"
        label = f"cloudcasa.holdfast.dev/origin={self.cluster}"
        return self.other.kubectl("get", kinds, "-n", "cloudcasa-agent", "-l", label, "-o", "name").split()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    home, other = Plane(folder / "home"), Plane(folder / "other")
    with s3_server(folder / "s3") as endpoint:
        try:
            for plane in (home, other):
                done = plane.up()
                assert not done.returncode, done.stderr
            yield Pair(home, other, endpoint)
        finally:
            home.down()
            other.down()


def test_a_cluster_becomes_active_when_its_agent_is_applied(pair: Pair) -> None:
    early = pair.api.ended(pair.api.run(f"kubeoffloads/{pair.offload}", retention={"retainDays": 7}, runBackup=True))
    code, manifest = pair.api.call("GET", f"{pair.agent_url}?part=agent")

    assert (pair.first_state, early["state"], "agentURL" in early["message"]) == ("REGISTERED", "FAILED", True)
    assert code == 200
    assert pair.api.call("GET", pair.agent_url)[1].count("kind: Deployment") == 2
    assert pair.api.call("GET", f"{pair.agent_url}?part=agent")[1] == manifest
    said = pair.other.kubectl("apply", "-f", "-", text=manifest)
    assert "deployment.apps/cloudcasa-agent created" in said, said
    eventually(lambda: pair.state() == "ACTIVE", "the agent does not report")
    shown = pair.api.ok("GET", f"kubeclusters/{pair.cluster}")["status"]
    assert (shown["nodes"], shown["version"] != "", "key" in json.dumps(shown)) == (1, True, False)


def test_an_agents_key_reports_for_its_cluster_and_does_nothing_else(pair: Pair) -> None:
    secret = pair.other.kubectl("get", "secret", "-n", "cloudcasa-io", "cloudcasa-agent", "-o", "jsonpath={.data.key}")
    agent = Api(pair.home)
    agent.key = base64.b64decode(secret).decode()

    assert agent.call("GET", "jobs")[0] == 403
    assert agent.call("GET", f"kubeclusters/{pair.cluster}/agent")[0] == 403
    assert agent.call("POST", f"kubeclusters/{pair.local}/agent", {})[0] == 403
    assert agent.call("POST", f"kubeclusters/{pair.cluster}/agent", {"jobs": 3})[0] == 422
    assert pair.api.call("POST", f"kubeclusters/{pair.cluster}/agent", {})[0] == 403
    assert pair.api.call("GET", f"kubeclusters/{pair.local}/agent")[0] == 409


def test_a_copy_of_the_other_cluster_survives_kills_and_comes_back_in_either(pair: Pair) -> None:
    pair.other.apply(SHOP)
    pair.other.kubectl("wait", "-n", "shop", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    pair.other.kubectl("exec", "-n", "shop", "writer", "--", "sh", "-c", "head -c 4000000 /dev/urandom > /data/large")

    job = pair.api.run(f"kubeoffloads/{pair.offload}", retention={"retainDays": 7}, runBackup=True)
    eventually(lambda: pair.api.ok("GET", f"jobs/{job}")["state"] == "RUNNING", "the agent takes no job")
    kill(pair.other.pid_of("operator"), SIGKILL)
    kill(pair.home.pid_of("rest"), SIGKILL)
    pair.other.kubectl("delete", "pod", "-n", "cloudcasa-io", "--all", "--force")
    eventually(lambda: _answers(pair), "REST does not come back")
    ended = pair.api.ended(job)

    assert ended["state"] == "COMPLETED", ended
    assert ended["jobrunner"] == "agent of other"
    logs = pair.api.ok("GET", f"jobs/{job}/logs")["_items"]
    assert {"shop", "cloudcasa-agent"} <= {each["namespace"] for each in logs}
    here, there = (pair.restored(f"shop-{n}", ended["backup_inst"], each) for n, each in enumerate((pair.local, pair.cluster)))
    assert (here["state"], there["state"]) == ("COMPLETED", "COMPLETED"), (here, there)
    for plane, namespace in ((pair.home, "shop-0"), (pair.other, "shop-1")):
        plane.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/writer", "--timeout=60s")
        assert plane.kubectl("exec", "-n", namespace, "writer", "--", "cat", "/data/greeting") == "hello from the shop\n"
    eventually(lambda: pair.brought() == [], f"left in the other cluster: {pair.brought()}")


def test_a_snapshot_stays_in_its_cluster_and_is_deleted_there(pair: Pair) -> None:
    job = pair.api.ended(pair.api.run(f"kubebackups/{pair.backup}", retention={"retainDays": 7}))
    assert job["state"] == "COMPLETED", job
    point = job["snapshot_inst"]
    body = {"name": "no", "backup_inst": point, "cluster": pair.local, "all_namespaces": True}
    code, text = pair.api.call("POST", "kuberestores", body)
    assert (code, "snapshot" in text) == (422, True)

    pair.api.ok("DELETE", f"backupinstances/{point}")

    eventually(lambda: pair.api.call("GET", f"backupinstances/{point}")[0] == 404, "the point stays")
    eventually(lambda: pair.other.kubectl("get", "volumesnapshots", "-n", "shop") == "", "its snapshots stay")


def test_a_cancelled_job_of_the_other_cluster_ends_within_ten_seconds(pair: Pair) -> None:
    new = "head -c 20000000 /dev/urandom > /data/large"  # what is stored already is copied in no time
    pair.other.kubectl("exec", "-n", "shop", "writer", "--", "sh", "-c", new)
    job = pair.api.run(f"kubeoffloads/{pair.offload}", retention={"retainDays": 7}, runBackup=True)
    eventually(lambda: "copied" in pair.api.ok("GET", f"jobs/{job}").get("message", ""), "no copy begins")

    pair.api.ok("POST", f"jobs/{job}/action/cancel")

    eventually(lambda: pair.api.ok("GET", f"jobs/{job}")["state"] == "CANCELLED", "it goes on", seconds=10)
    eventually(lambda: pair.brought() == [] or all("backupinstance" in each for each in pair.brought()), "it leaves things")


def test_without_its_document_an_agent_is_nobody(pair: Pair) -> None:
    for offload in (f"kubeoffloads/{pair.offload}", f"kubebackups/{pair.backup}"):
        pair.api.ok("DELETE", offload)
    for restore in pair.api.ok("GET", "kuberestores")["_items"]:
        pair.api.ok("DELETE", f"kuberestores/{restore['_id']}")

    pair.api.ok("DELETE", f"kubeclusters/{pair.cluster}")

    log = ("logs", "-n", "cloudcasa-io", "deploy/cloudcasa-agent", "--tail=5")
    eventually(lambda: "401" in pair.other.kubectl(*log), "the agent still reports")


def _answers(pair: Pair) -> bool:
    try:
        return pair.api.call("GET", "jobs")[0] == 200
    except OSError:
        return False
