"""Deployments and DaemonSets as a user of kubectl meets them, with real pods."""

import pytest

from holdfast.kube.builtin import DAEMONSETS, DEPLOYMENTS, PODS, REPLICASETS
from tests.e2e.cluster import Cluster, cluster

__all__ = ["cluster"]
pytestmark = pytest.mark.run

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: default}}
spec:
  replicas: 3
  {strategy}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: main, image: busybox, command: [sleep, "{seconds}"]}}
"""


async def _commands(cluster: Cluster) -> set[str]:
    pods = (await cluster.client.list(PODS, "default", label_selector="app=web")).items
    return {pod["spec"]["containers"][0]["command"][1] for pod in pods if not pod["metadata"].get("deletionTimestamp")}


async def test_a_deployment_rolls_forward_and_back(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT.format(strategy="", seconds=1001))
    assert "successfully rolled out" in await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await cluster.apply(DEPLOYMENT.format(strategy="", seconds=1002))
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert await _commands(cluster) == {"1002"}
    sets = (await cluster.client.list(REPLICASETS, "default")).items
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 3]
    assert "1  " in (history := await cluster.kubectl("rollout", "history", "deployment/web"))
    assert "2  " in history
    await cluster.kubectl("rollout", "undo", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert await _commands(cluster) == {"1001"}
    shown = await cluster.client.get(DEPLOYMENTS, "web", "default")
    assert shown["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert {each["type"]: each["status"] for each in shown["status"]["conditions"]} == {
        "Available": "True",
        "Progressing": "True",
    }


async def test_a_deployment_is_scaled_paused_and_deleted_with_all_it_made(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT.format(strategy="", seconds=1003))
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await cluster.kubectl("scale", "deployment/web", "--replicas=1")
    await cluster.until(DEPLOYMENTS, "web", lambda each: each["status"].get("replicas") == 1)
    await cluster.kubectl("rollout", "pause", "deployment/web")
    await cluster.kubectl("set", "env", "deployment/web", "A=b")
    await cluster.kubectl("scale", "deployment/web", "--replicas=2")
    await cluster.until(DEPLOYMENTS, "web", lambda each: each["status"].get("readyReplicas") == 2)
    assert len((await cluster.client.list(REPLICASETS, "default")).items) == 1
    await cluster.kubectl("rollout", "resume", "deployment/web")
    await cluster.until(DEPLOYMENTS, "web", lambda each: each["status"].get("updatedReplicas") == 2)
    await cluster.kubectl("delete", "deployment", "web")
    for res in (REPLICASETS, PODS):
        for each in (await cluster.client.list(res, "default")).items:
            await cluster.gone(res, each["metadata"]["name"])


async def test_recreate_ends_the_old_pods_before_it_starts_new_ones(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT.format(strategy="strategy: {type: Recreate}", seconds=1004))
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    seen: set[frozenset[str]] = set()
    await cluster.apply(DEPLOYMENT.format(strategy="strategy: {type: Recreate}", seconds=1005))
    while True:
        pods = (await cluster.client.list(PODS, "default", label_selector="app=web")).items
        seen.add(frozenset(pod["spec"]["containers"][0]["command"][1] for pod in pods))
        shown = await cluster.client.get(DEPLOYMENTS, "web", "default")
        if shown["status"].get("updatedReplicas") == 3 and shown["status"].get("readyReplicas") == 3:
            break
    assert frozenset({"1004", "1005"}) not in seen


async def test_a_daemonset_has_a_pod_on_the_node_and_follows_its_template(cluster: Cluster) -> None:
    manifest = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent, namespace: default}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: main, image: busybox, command: [sleep, "{seconds}"]}}
"""
    await cluster.apply(manifest.format(seconds=1006))
    assert "successfully rolled out" in await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=30s")
    shown = await cluster.client.get(DAEMONSETS, "agent", "default")
    assert (shown["status"]["desiredNumberScheduled"], shown["status"]["numberReady"]) == (1, 1)
    await cluster.apply(manifest.format(seconds=1007))
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=30s")
    pods = (await cluster.client.list(PODS, "default", label_selector="app=agent")).items
    assert [pod["spec"]["containers"][0]["command"][1] for pod in pods] == ["1007"]
    assert pods[0]["spec"]["nodeName"]
