"""What the behaviours of KubeStash are tried on: a control plane of `holdfast up`, or the cluster of HOLDFAST_TEST_KUBECONFIG.

A given cluster must have Holdfast with its webhook (`kubectl apply -k deploy/webhook`), the CRDs and the standard Addons of
KubeStash, and storage for claims of namespace NS on one node. Everything is asked by kubectl; files are looked at by a pod.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from tests import tools

Object = dict[str, Any]

NS = "behaviours"
SESSION = "daily"
NEVER = "0 3 29 2 *"
ROOT = {"runAsUser": 0}
_LIMIT = 60.0
SHORT = {"BackupConfiguration": "core", "BackupSession": "core", "RestoreSession": "core", "HookTemplate": "core"}
ADDONS = ("Addon", "Function")


class Cluster:
    """kubectl on one cluster."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        self._command = [tools.kubectl(), "--kubeconfig", str(kubeconfig)]
        self._environment = os.environ | {"KUBECACHEDIR": str(cache)}

    def raw(self, *words: str, text: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        command = [*self._command, *words]
        return subprocess.run(command, input=text, capture_output=True, timeout=90, env=self._environment, check=False)

    def kubectl(self, *words: str, text: str = "") -> str:
        done = self.raw(*words, text=text.encode())
        return (done.stdout if done.returncode == 0 else done.stderr).decode()

    def apply(self, *documents: Object) -> str:
        """Apply, and return what kubectl says: what was made, or why not."""
        return self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(documents))

    def made(self, *documents: Object) -> None:
        said = self.apply(*documents)
        assert "created" in said or "configured" in said or "unchanged" in said, said

    def get(self, kind: str, name: str, namespace: str = NS) -> Object:
        said = self.kubectl("get", _kind(kind), name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(said) if said.strip() else {}

    def every(self, kind: str, namespace: str = NS, *, selector: str = "") -> list[Object]:
        said = self.kubectl("get", _kind(kind), "-n", namespace, "-o", "json", *(("-l", selector) if selector else ()))
        return json.loads(said)["items"]

    def names(self, kind: str, namespace: str = NS, *, selector: str = "") -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.every(kind, namespace, selector=selector))

    def status(self, kind: str, name: str, namespace: str = NS) -> Object:
        return self.get(kind, name, namespace).get("status") or {}

    def until(self, kind: str, name: str, *phases: str, namespace: str = NS) -> Object:
        """Wait for a phase and return the status."""
        self.eventually(
            lambda: self.status(kind, name, namespace).get("phase") in phases,
            lambda: f"{kind} {name} is not {' or '.join(phases)}: {self.status(kind, name, namespace)}",
        )
        return self.status(kind, name, namespace)

    def eventually(self, what: Callable[[], object], said: Callable[[], str] | str) -> None:
        """Ask again until it holds: the cluster tells a kubectl nothing by itself."""
        deadline = time.monotonic() + _LIMIT
        while not what():
            assert time.monotonic() < deadline, said if isinstance(said, str) else said()
            time.sleep(0.25)

    def delete(self, kind: str, *names: str, namespace: str = NS) -> None:
        self.kubectl("delete", _kind(kind), *names, "-n", namespace, "--wait=true", "--ignore-not-found")

    def shell(self, pod: str, script: str) -> str:
        """Run a script in a pod of NS."""
        return self.kubectl("exec", "-n", NS, pod, "--", "/bin/sh", "-c", script)

    def run(self, configuration: str, name: str, session: str = SESSION, **spec: Any) -> Object:
        """Start a session and return its status at the end."""
        self.made(backup_session(configuration, name, session, **spec))
        return self.until("BackupSession", name, "Succeeded", "Failed", "Skipped")

    def ready(self, *documents: Object) -> None:
        """Apply BackupConfigurations and wait until each is Ready."""
        self.made(*documents)
        for each in documents:
            self.until(each["kind"], each["metadata"]["name"], "Ready")


def _kind(kind: str) -> str:
    """Return a kind so that no other API's kind of that name is meant."""
    if kind in SHORT:
        return f"{kind.lower()}s.core.kubestash.com"
    return f"{kind.lower()}.storage.kubestash.com" if kind == "Snapshot" else kind.lower()


def condition(status: Object, type_: str) -> Object:
    """Return a condition of a status; empty when it is not there."""
    return next((item for item in status.get("conditions", []) if item["type"] == type_), {})


def document(kind: str, name: str, spec: Object, namespace: str = NS) -> Object:
    """Return an object of KubeStash."""
    group = "addons" if kind in ADDONS else SHORT.get(kind, "storage")
    meta = {"name": name} if kind in ADDONS else {"name": name, "namespace": namespace}
    return {"apiVersion": f"{group}.kubestash.com/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def usage(source: str, **labels: str) -> Object:
    """Return a usagePolicy."""
    selector = {"selector": {"matchLabels": labels}} if labels else {}
    return {"usagePolicy": {"allowedNamespaces": {"from": source, **selector}}}


def storage(name: str, namespace: str = NS, *, use: Object | None = None, folder: str = "", **more: Any) -> Object:
    """Return a BackupStorage on the claim `store` of its namespace, in a folder of its own."""
    local = {"mountPath": "/kubestash/store", "subPath": folder or name, "persistentVolumeClaim": {"claimName": "store"}}
    spec = {"storage": {"provider": "local", "local": local}, **(use or usage("Same")), **more}
    return document("BackupStorage", name, spec, namespace)


def policy(name: str, namespace: str = NS, *, use: Object | None = None, **more: Any) -> Object:
    """Return a RetentionPolicy that keeps the last five for a year, unless told otherwise."""
    kept = {"maxRetentionPeriod": "1y", "successfulSnapshots": {"last": 5}, **(use or usage("Same")), **more}
    return document("RetentionPolicy", name, kept, namespace)


def namespace(name: str, **labels: str) -> Object:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def claim(name: str, namespace: str = NS) -> Object:
    """Return a claim for anything small."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def secret(namespace: str = NS) -> Object:
    """Return the password of every repository here."""
    meta = {"name": "key", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"RESTIC_PASSWORD": "for tests only"}}


def pod(name: str, script: str, *, mount: str = "", image: str = "busybox") -> Object:
    """Return a pod that runs a script as root, with a claim at /store if one is given."""
    main: Object = {"name": "main", "image": image, "command": ["/bin/sh", "-c", script], "securityContext": ROOT}
    spec: Object = {"containers": [main], "terminationGracePeriodSeconds": 0}
    if mount:
        main["volumeMounts"] = [{"name": "store", "mountPath": "/store"}]
        spec["volumes"] = [{"name": "store", "persistentVolumeClaim": {"claimName": mount}}]
    meta = {"name": name, "namespace": NS, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def workload(name: str, replicas: int) -> Object:
    """Return a StatefulSet whose pods have a claim `data` at /data."""
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["/bin/sh", "-c", "test -e /data/file || echo of $HOSTNAME > /data/file; exec sleep 1000000"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": ROOT,
    }
    labels = {"app": name}
    spec = {
        "serviceName": name,
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}],
    }
    meta = {"name": name, "namespace": NS}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}


def repository(name: str, **more: Any) -> Object:
    """Return a repository of a session, in a directory of its name."""
    key = {"encryptionSecret": {"name": "key", "namespace": NS}}
    return {"name": name, "backend": "store", "directory": f"/{name}", **key, **more}


def task(**parameters: str) -> Object:
    """Return the task that backs up the files of /data."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    return {"name": "LogicalBackup", "params": {"paths": "/data", **parameters}, "targetVolumes": {"volumeMounts": mounts}}


def session(name: str = SESSION, *repositories: Object, **more: Any) -> Object:
    """Return a session of a BackupConfiguration."""
    scheduler = {"schedule": NEVER, "jobTemplate": {"template": {}}}
    addon = {"name": "workload-addon", "tasks": [task()]}
    return {"name": name, "scheduler": scheduler, "addon": addon, "repositories": list(repositories), **more}


def backend(name: str = "store", **more: Any) -> Object:
    """Return a backend on the storage and policy that every test has."""
    place = {"storageRef": {"name": "store", "namespace": NS}, "retentionPolicy": {"name": "keep", "namespace": NS}}
    return {"name": name, **place, **more}


def configuration(name: str, *sessions: Object, target: str = "app", namespace: str = NS, **more: Any) -> Object:
    """Return a BackupConfiguration of a StatefulSet of NS."""
    about = {"apiGroup": "apps", "kind": "StatefulSet", "name": target, "namespace": NS}
    listed = list(sessions) or [session(SESSION, repository(f"{name}-repo"))]
    spec = {"target": about, "backends": [backend()], "sessions": listed, **more}
    return document("BackupConfiguration", name, {key: value for key, value in spec.items() if value is not None}, namespace)


def backup_session(configuration: str, name: str, session: str = SESSION, **spec: Any) -> Object:
    """Return a BackupSession as a person makes one."""
    invoker = {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": configuration}
    return document("BackupSession", name, {"invoker": invoker, "session": session, "retryLeft": 0, **spec})


def hook(name: str, template: str, **more: Any) -> Object:
    """Return a hook that uses a HookTemplate of NS."""
    return {"name": name, "hookTemplate": {"name": template, "namespace": NS}, **more}


def command(name: str, script: str) -> Object:
    """Return a HookTemplate that runs a script in the pod of the workload `app`."""
    executor = {"type": "Pod", "pod": {"selector": "app=app"}}
    return document("HookTemplate", name, {"executor": executor, "action": {"exec": {"command": ["/bin/sh", "-c", script]}}})


def slow_addon() -> tuple[Object, Object]:
    """Return an Addon of the user's own whose one task never ends, and its Function."""
    container = {"image": "busybox", "command": ["/bin/sh", "-c"], "args": ["exec sleep 1000000"]}
    work = {"name": "logical-backup", "function": "behaviour-slow", "driver": "Restic", "executor": "Job", "singleton": True}
    return document("Function", "behaviour-slow", container), document("Addon", "behaviour-slow", {"backupTasks": [work]})
