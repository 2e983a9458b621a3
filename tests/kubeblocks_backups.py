"""What tests of KubeBlocks Backups and Restores share: a database of two pods, action sets, policies, a look at the files."""

from typing import Any

from holdfast.core.objects import Object
from holdfast.kube.builtin import STATEFULSETS
from tests.kubeblocks_world import World, repo, thing

SAVE = """
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
env | sort | datasafed push - env
echo "$DP_TARGET_POD_NAME" | datasafed push - data/name
"""


def shell(script: str, **more: Any) -> Object:
    return {"image": "busybox:$(IMAGE_TAG)", "command": ["sh", "-ec", script], **more}


def action_set(name: str, script: str = SAVE, type_: str = "Full", **backup: Any) -> Object:
    data = shell(script, runOnTargetPodNode=True)
    return thing(
        "ActionSet",
        name,
        backupType=type_,
        env=[{"name": "IMAGE_TAG", "value": "1"}, {"name": "WHO", "value": "set"}, {"name": "SET", "value": "yes"}],
        backup={"backupData": data, **backup},
    )


def policy(name: str, *methods: Object, **spec: Any) -> Object:
    given: dict[str, Any] = {"target": {"podSelector": {"matchLabels": {"app": "db"}}}, **spec}
    return thing("BackupPolicy", name, backupMethods=list(methods), **{key: value for key, value in given.items() if value})


def method(action: str, name: str = "full", **more: Any) -> Object:
    volumes = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {"name": name, "actionSetName": action, "targetVolumes": volumes, **more}


def backup(name: str, policy_: str, method_: str = "full", **spec: Any) -> Object:
    given = {key: spec.pop(key) for key in ("labels", "annotations") if key in spec}
    return thing("Backup", name, backupPolicyName=policy_, backupMethod=method_, **given, **spec)


async def make_database(world: World) -> None:
    """Make a StatefulSet of two pods, a default repository, and an action set with its policy."""
    await world.apply(repo("volume", default=True, config={"accessMode": "ReadWriteMany"}, volumeCapacity="1Gi"))
    container = {
        "name": "db",
        "image": "busybox",
        "command": ["sh", "-c", "echo rows > /data/rows; exec sleep 100000"],
        "env": [{"name": "FLAVOR", "value": "vanilla"}, {"name": "WHO", "value": "pod"}],
        "ports": [{"containerPort": 5432}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    await world.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "db", "namespace": "default"},
            "spec": {
                "serviceName": "db",
                "replicas": 2,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": "db"}},
                "template": {
                    "metadata": {"labels": {"app": "db", "app.kubernetes.io/instance": "mydb"}},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
                },
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
            },
        }
    )
    await world.until(STATEFULSETS, "db", lambda obj: obj.get("status", {}).get("readyReplicas") == 2)
    await world.phase("BackupRepo", "volume", "Ready")
    await world.apply(action_set("plain"), policy("plain", method("plain", env=[{"name": "WHO", "value": "method"}])))


def stored(world: World, path: str) -> str:
    """Read a file of the repository."""
    found = list((world.directory / "volumes").glob(f"*/{path}"))
    assert len(found) == 1, f"{path} is there {len(found)} times"
    return found[0].read_text()
