"""Two control planes: one reaches the other by a kubeconfig in a Secret, backs it up, and restores in either."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.plane import Plane, eventually
from tests.e2e.test_agents import SHOP, Api
from tests.movers_builders import KEY, SECRET, s3_server

pytestmark = [pytest.mark.run, pytest.mark.timeout(150)]
MARK = "cloudcasa.holdfast.dev/kubeconfig=other"
HOME = "cloudcasa-io"
RIGHTS = ("create", "clusterrolebinding", "member", "--clusterrole=cluster-admin", "--serviceaccount=default:member")


class Pair:
    """The two control planes, and the ids of the documents."""

    def __init__(self, home: Plane, other: Plane) -> None:
        self.home, self.other, self.api = home, other, Api(home)
        self.cluster: str = self.api.ok("POST", "kubeclusters", {"name": "other"})["_id"]
        other.kubectl("create", "serviceaccount", "member", "-n", "default")
        other.kubectl(*RIGHTS)

    def kubeconfig(self, token: str, **user: str) -> str:
        """A kubeconfig of the other plane, with everything in it."""
        config = yaml.safe_load(self.other.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token, **user}
        return yaml.safe_dump(config)

    def token(self) -> str:
        return self.other.kubectl("create", "token", "member", "-n", "default").strip()

    def hand_over(self, kubeconfig: str) -> None:
        data = {"kubeconfig": base64.b64encode(kubeconfig.encode()).decode()}
        meta = {"name": "other", "namespace": HOME}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
        said = self.home.kubectl("apply", "-f", "-", text=yaml.safe_dump(secret))
        assert "secret/other" in said, said

    def told(self) -> tuple[str, str]:
        status = self.api.ok("GET", f"kubeclusters/{self.cluster}")["status"]
        return status["state"], status.get("message", "")

    def until(self, state: str, words: str, seconds: float = 40) -> None:
        eventually(lambda: self.told()[0] == state and words in self.told()[1], f"it is {self.told()}", seconds)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("members")
    home, other = Plane(folder / "home"), Plane(folder / "other")
    try:
        for plane in (home, other):
            done = plane.up()
            assert not done.returncode, done.stderr
        yield Pair(home, other)
    finally:
        home.down()
        other.down()


def test_a_cluster_says_what_it_lacks_until_its_kubeconfig_is_good(pair: Pair) -> None:
    pair.home.kubectl("annotate", "kubecluster", "-n", HOME, pair.cluster, MARK)
    pair.until("PENDING", "Secret cloudcasa-io/other is missing: make it with the entry kubeconfig")
    pair.hand_over(pair.kubeconfig("", tokenFile="/etc/shadow"))
    pair.until("PENDING", "tokenFile reaches into the machine that reads it: put the data in")
    pair.hand_over(pair.kubeconfig("no such token"))
    pair.until("PENDING", "nauthorized")
    pair.hand_over(pair.kubeconfig(pair.token()))
    pair.until("ACTIVE", "")
    assert pair.api.ok("GET", f"kubeclusters/{pair.cluster}")["status"]["nodes"] == 1


def test_it_is_backed_up_from_here_and_restored_in_either_cluster(pair: Pair, tmp_path: Path) -> None:
    pair.other.apply(SHOP)
    pair.other.kubectl("wait", "-n", "shop", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    with s3_server(tmp_path / "s3") as endpoint:
        access = {"access_key": KEY, "secret_key": SECRET, "encryption_password": "keep it safe"}
        place = {"bucket_name": "copies", "region": "us-east-1", "s3provider": {"endpoint": endpoint, "credentials": access}}
        pair.api.ok("POST", "objectstores", {"name": "store", "provider_type": "aws", **place})
        source = {"trigger_type": "ADHOC", "cluster": pair.cluster, "source": {"namespaces": ["shop"]}}
        backup = pair.api.ok("POST", "kubebackups", {"name": "shop", **source})["_id"]
        offload = pair.api.ok("POST", "kubeoffloads", {"name": "shop", "trigger_type": "ADHOC", "backupdef": backup})["_id"]
        job = pair.api.ended(pair.api.run(f"kubeoffloads/{offload}", retention={"retainDays": 7}, runBackup=True))
        assert job["state"] == "COMPLETED", job["message"]
        local = next(each["_id"] for each in pair.api.ok("GET", "kubeclusters")["_items"] if each["name"] == "local")
        for plane, cluster, target in ((pair.home, local, "shop-here"), (pair.other, pair.cluster, "shop-there")):
            moved = {"all_namespaces": True, "namespace_mappings": [{"source": "shop", "target": target}]}
            body = {"name": target, "backup_inst": job["backup_inst"], "cluster": cluster, **moved}
            restored = pair.api.ended(pair.api.run(f"kuberestores/{pair.api.ok('POST', 'kuberestores', body)['_id']}"))
            assert restored["state"] == "COMPLETED", restored["message"]
            plane.kubectl("wait", "-n", target, "--for=condition=Ready", "pod/writer", "--timeout=60s")
            said = plane.kubectl("exec", "-n", target, "writer", "--", "cat", "/data/greeting")
            assert said == "hello from the shop\n"


def test_a_token_that_is_revoked_is_told_and_a_new_one_is_used(pair: Pair) -> None:
    pair.other.kubectl("delete", "serviceaccount", "member", "-n", "default")
    pair.until("PENDING", "nauthorized")
    pair.other.kubectl("create", "serviceaccount", "member", "-n", "default")
    pair.hand_over(pair.kubeconfig(pair.token()))
    pair.until("ACTIVE", "")


def test_a_cluster_that_is_down_is_told_and_taken_up_again(pair: Pair) -> None:
    pair.other.down()
    pair.until("PENDING", "can't be reached")
    assert not pair.other.up().returncode
    pair.until("ACTIVE", "")
