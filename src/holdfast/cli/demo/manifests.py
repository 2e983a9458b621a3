"""The objects of the demo: those of examples/kubestash with small changes, and the Jobs in which stock programs judge.

Changed are: two backends in the place of one, the S3 endpoint and key, a schedule that does not fire meanwhile, and a workload
that fills its volume with the machine's own files.
"""

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path

import yaml

import holdfast
from holdfast.cli.demo.failure import DemoFailed
from holdfast.cli.demo.kubectl import NAMESPACE
from holdfast.cli.demo.servers import S3
from holdfast.core.objects import Object

CONFIGURATION, SESSION = "sample-backup-sts", "demo-session"
BUCKET = "demo-backups"
LOCAL_REPOSITORY, S3_REPOSITORY = "local-demo-repo", "s3-demo-repo"
SOURCE_CLAIM, RESTORED_CLAIM, STATE_CLAIM = "source-data-sample-sts-0", "restored-data-0", "state"
STORE_CLAIM = "backup-store"
VOLUME = "/source/data"
STATE = "/state/before"
SCRIPTS = "demo-scripts"
_IMAGE = "busybox"
_READY = "/tmp/filled"


def example(name: str) -> list[Object]:
    """Read one file of examples/kubestash, of the installed package or of the source tree."""
    package = Path(holdfast.__file__).resolve().parent
    for folder in (package / "_examples", package.parents[1] / "examples"):
        path = folder / "kubestash" / name
        if path.is_file():
            return [document for document in yaml.safe_load_all(path.read_text()) if document]
    raise DemoFailed(f"examples/kubestash/{name} is neither in {package} nor beside it: install holdfast anew")


def scripts() -> Object:
    """Build the ConfigMap with the demo's shell scripts."""
    folder = resources.files("holdfast.cli.demo") / "scripts"
    data = {path.name: path.read_text() for path in folder.iterdir() if path.name.endswith(".sh")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named(SCRIPTS), "data": data}


def secrets(password: str, s3: S3) -> list[Object]:
    """Return the Secrets with values of this run."""
    found = example("secrets.yaml")
    for document in found:
        if document["metadata"]["name"] == "s3-secret":
            document["stringData"] = {"AWS_ACCESS_KEY_ID": s3.key, "AWS_SECRET_ACCESS_KEY": s3.secret}
        else:
            document["stringData"] = {"RESTIC_PASSWORD": password}
    return found


def workload(files: int, size: int) -> list[Object]:
    """Return the StatefulSet; its pod fills the volume, as root so that owners are real, and is Ready when it has."""
    found = example("sample-sts.yaml")
    for document in found:
        if document["kind"] == "StatefulSet":
            pod = document["spec"]["template"]["spec"]
            main = pod["containers"][0]
            fill = f"sh /scripts/fill.sh {VOLUME} {files} {size} {_READY} && exec sleep 1000000"
            main["args"] = [fill]
            main["securityContext"] = {"runAsUser": 0}
            main["readinessProbe"] = {"exec": {"command": ["test", "-e", _READY]}, "periodSeconds": 1}
            main["volumeMounts"].append({"name": SCRIPTS, "mountPath": "/scripts"})
            pod["volumes"] = [_script_volume()]
            pod["terminationGracePeriodSeconds"] = 0
    return found


def storages(s3: S3) -> list[Object]:
    """Return both BackupStorages: one on a claim, one in a bucket of the S3 server."""
    local, remote = example("storage-local.yaml"), example("storage-s3.yaml")
    for document in local:
        if document["kind"] == "BackupStorage":
            document["metadata"]["name"] = "local-storage"
    for document in remote:
        document["spec"]["storage"]["s3"] |= {"endpoint": s3.endpoint, "bucket": BUCKET}
    return local + remote


def configuration(now: datetime) -> Object:
    """Return the documented sample with two backends, and a schedule half a day away."""
    document = copy.deepcopy(example("backup-configuration.yaml")[0])
    spec = document["spec"]
    backend, session = spec["backends"][0], spec["sessions"][0]
    repository = session["repositories"][0]
    spec["backends"], session["repositories"] = [], []
    for name, storage, target in (
        ("local-backend", "local-storage", LOCAL_REPOSITORY),
        ("s3-backend", "s3-storage", S3_REPOSITORY),
    ):
        reference = {**backend["storageRef"], "name": storage}
        spec["backends"].append({**backend, "name": name, "storageRef": reference})
        session["repositories"].append({**repository, "name": target, "backend": name})
    session["scheduler"]["schedule"] = f"0 {(now.hour + 12) % 24} * * *"
    return document


def restore(name: str) -> Object:
    """Return the RestoreSession: the latest Snapshot of the S3 repository into a new claim."""
    document = copy.deepcopy(example("restore-session.yaml")[0])
    document["metadata"] = _named(name)
    document["spec"]["dataSource"]["repository"] = S3_REPOSITORY
    return document


def claim(name: str) -> Object:
    """Build a claim."""
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": _named(name), "spec": spec}


def job(name: str, words: Sequence[str], claims: Mapping[str, str], *, read_only: Sequence[str] = ()) -> Object:
    """Build a Job that runs one of the scripts. `claims` maps mount paths to claims."""
    volumes: list[Object] = [_script_volume()]
    mounts: list[Object] = [{"name": SCRIPTS, "mountPath": "/scripts"}]
    for path, claimed in claims.items():
        volumes.append({"name": claimed, "persistentVolumeClaim": {"claimName": claimed}})
        mounts.append({"name": claimed, "mountPath": path, "readOnly": path in read_only})
    container: Object = {
        "name": "main",
        "image": _IMAGE,
        "command": ["/bin/sh", *words],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": mounts,
    }
    pod: Object = {"restartPolicy": "Never", "containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    spec: Object = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _named(name), "spec": spec}


def _script_volume() -> Object:
    return {"name": SCRIPTS, "configMap": {"name": SCRIPTS}}


def _named(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE}
