"""A cluster with the KubeBlocks API that is only known by its kubeconfig: kubectl is all that the tests of behaviour use.

It is `holdfast up` on an empty directory, or the cluster that `HOLDFAST_TEST_KUBECONFIG` names, with Holdfast (or another
controller of this API) installed, a default StorageClass and one node. Everything is made in a namespace of its own, or has a
name that begins with `kbc-`, and goes at the end.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.core.objects import Object
from tests.e2e.plane import Plane
from tests.kubeblocks_world import GROUP, repo, thing

NS = "kb-conformance"
REPO = "kbc-volume"
SECONDS = 60.0
TOOL = 'export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"\n'
SAVE = TOOL + 'echo "$DP_TARGET_POD_NAME" | datasafed push - data/name\n'
HELD = "until test -e /data/go-$DP_BACKUP_NAME; do sleep 0.1; done\n"
"""A script goes on when the test says so, with `Cluster.release`."""

CLAIM: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}


class Cluster:
    """The cluster, by kubectl."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def kubectl(self, *words: str, text: str = "") -> str:
        """Run kubectl and return its output, that of errors too."""
        return self._plane.kubectl(*words, text=text)

    def apply(self, *objects: Object) -> None:
        """Apply objects; all of them must be taken."""
        told = self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects)).splitlines()
        good = [line for line in told if line.endswith((" created", " configured", " unchanged", " serverside-applied"))]
        assert len(good) == len(objects), told

    def refused(self, obj: Object) -> str:
        """Apply what must be refused, and return the answer."""
        told = self.kubectl("apply", "-f", "-", text=yaml.safe_dump(obj))
        assert not told.rstrip().endswith(("created", "configured")), told
        return told

    def get(self, kind: str, name: str = "", *words: str) -> Object:
        """Return an object, or a list; empty when it is not there."""
        told = self.kubectl("-n", NS, "get", kind, *([name] if name else []), *words, "-o", "json", "--ignore-not-found")
        return json.loads(told) if told.startswith("{") else {} if name else {"items": []}

    def wait(self, kind: str, name: str, holds: Callable[[Object], bool], seconds: float = SECONDS) -> Object:
        """Wait until something holds of an object; return it."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(kind, name)
            if found and holds(found):
                return found
            assert time.monotonic() < deadline, f"{kind} {name}: {json.dumps(found.get('status'))}"
            time.sleep(0.1)

    def phase(self, kind: str, name: str, *phases: str, seconds: float = SECONDS) -> Object:
        """Wait for a phase; return the status."""
        return self.wait(kind, name, lambda obj: obj.get("status", {}).get("phase") in phases, seconds)["status"]

    def gone(self, kind: str, name: str) -> None:
        """Wait until an object is gone."""
        told = self.kubectl("-n", NS, "wait", "--for=delete", f"{kind}/{name}", f"--timeout={SECONDS:.0f}s")
        assert "timed out" not in told, told

    def delete(self, kind: str, *names: str) -> None:
        """Ask for the deletion of objects, and do not wait for it."""
        self.kubectl("-n", NS, "delete", kind, *names, "--wait=false")

    def annotate(self, kind: str, name: str, *marks: str) -> None:
        """Set annotations of the API, as `name=value`, or take them off, as `name-`."""
        self.kubectl("-n", NS, "annotate", kind, name, "--overwrite", *(f"{GROUP}/{mark}" for mark in marks))

    def release(self, *backups: str, pod: str = "db-0") -> None:
        """Let the scripts of backups go on that are `HELD`."""
        told = self.kubectl("-n", NS, "exec", pod, "--", "touch", *(f"/data/go-{name}" for name in backups))
        assert told == "", told


def made(kind: str, name: str, **spec: Any) -> Object:
    """Build an object of the API, in the namespace of the tests if its kind has one."""
    return thing(kind, name, namespace=NS, **spec)


def shell(script: str, **more: Any) -> Object:
    return {"image": "busybox:$(IMAGE_TAG)", "command": ["sh", "-ec", script], **more}


def action_set(name: str, script: str = SAVE, type_: str = "Full", *, more: Object | None = None, **backup: Any) -> Object:
    data = shell(script, runOnTargetPodNode=True)
    given: Object = {"backupType": type_, "env": [{"name": "IMAGE_TAG", "value": "1.36"}]}
    return made("ActionSet", f"kbc-{name}", **given, backup={"backupData": data, **backup}, **(more or {}))


def method(action: str, name: str = "full", **more: Any) -> Object:
    volumes = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {"name": name, "actionSetName": f"kbc-{action}", "targetVolumes": volumes, **more}


def policy(name: str, *methods: Object, **spec: Any) -> Object:
    given: Object = {"target": {"podSelector": {"matchLabels": {"app": "db"}}}, "backupRepoName": REPO, "backoffLimit": 0}
    return made("BackupPolicy", name, **{**given, "backupMethods": list(methods), **spec})


def backup(name: str, policy_: str = "", method_: str = "full", **spec: Any) -> Object:
    given = {key: spec.pop(key) for key in ("labels", "annotations") if key in spec}
    return made("Backup", name, backupPolicyName=policy_ or name, backupMethod=method_, **given, **spec)


def restore(name: str, source: str, config: Object | None = None, **spec: Any) -> Object:
    if config:
        spec["prepareDataConfig"] = {"volumeClaimRestorePolicy": "Parallel", **config}
    return made("Restore", name, backup={"name": source, "namespace": NS}, **spec)


def claims(name: str, **more: Any) -> Object:
    """Return what a Restore says of one claim."""
    return {"volumeClaims": [{"metadata": {"name": name}, "mountPath": "/data", "volumeClaimSpec": CLAIM, **more}]}


def sleeper(name: str) -> Object:
    """Build a pod of the service `name` that does nothing."""
    container = {"name": "db", "image": "busybox:1.36", "command": ["sleep", "100000"]}
    meta = {"name": name, "namespace": NS, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _quick(container)}


def database() -> Object:
    """Build a StatefulSet of two pods with a volume each."""
    container = {
        "name": "db",
        "image": "busybox:1.36",
        "command": ["sleep", "100000"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": NS},
        "spec": {
            "serviceName": "db",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db", "app.kubernetes.io/instance": "mydb"}},
                "spec": _quick(container),
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}],
        },
    }


def _quick(container: Object) -> Object:
    return {"containers": [container], "terminationGracePeriodSeconds": 0}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """The cluster, with a database of two pods and a repository."""
    plane = Plane(tmp_path_factory.mktemp("kubeblocks") / "data")
    given = os.environ.get("HOLDFAST_TEST_KUBECONFIG")
    if given:
        plane.kubeconfig = Path(given).expanduser()
    else:
        started: subprocess.CompletedProcess[str] = plane.up()
        assert started.returncode == 0, started.stderr
    found = Cluster(plane)
    try:
        namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}}
        found.apply(namespace, repo(REPO, volumeCapacity="1Gi", config={"accessMode": "ReadWriteOnce"}), database())
        found.wait("statefulset", "db", lambda obj: obj.get("status", {}).get("readyReplicas") == 2)
        found.phase("backuprepo", REPO, "Ready")
        yield found
    finally:
        if given:
            _clear(found)
        else:
            plane.down()


def _clear(found: Cluster) -> None:
    """Take away what the tests have made in a cluster that stays."""
    found.kubectl("-n", NS, "delete", "restores,backupschedules,backups", "--all", "--wait=true", "--timeout=120s")
    listed = found.kubectl("get", "actionsets,backuprepos,storageproviders", "-o", "name").split()
    found.kubectl("delete", f"namespace/{NS}", *(name for name in listed if "/kbc-" in name), "--wait=true")
