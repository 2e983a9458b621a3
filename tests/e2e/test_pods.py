"""Pods as a user of kubectl meets them: logs, deletion, what they wait for, who they are."""

import asyncio

import aiohttp
import pytest

from holdfast.core.objects import Object
from holdfast.kube.builtin import JOBS, NODES, PODS, PVCS
from tests.e2e.cluster import Cluster, cluster, ended_as, eventually, job, running

__all__ = ["cluster"]
pytestmark = pytest.mark.run


def pod(name: str, script: str, **fields: object) -> Object:
    spec = job(name, script)["spec"]["template"]["spec"]
    container = spec["containers"][0] | fields.pop("container", {})  # type: ignore[operator]
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**spec, "containers": [container], **fields}}


def phase(wanted: str):
    return lambda each: each.get("status", {}).get("phase") == wanted


async def test_the_node_is_ready_and_says_what_it_is(cluster: Cluster) -> None:
    node = await cluster.until(NODES, "here", lambda each: each.get("status", {}).get("conditions"))
    assert node["status"]["conditions"][0]["status"] == "True"
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
    assert "Ready" in await cluster.kubectl("get", "nodes")


async def test_logs_are_followed_while_they_are_written(cluster: Cluster) -> None:
    script = "echo one; while [ ! -e /go/on ]; do sleep 0.02; done; echo two; exit 0"
    host = cluster.directory / "go"
    host.mkdir()
    host.chmod(0o777)
    volumes = [{"name": "go", "hostPath": {"path": str(host)}}]
    mounts = {"volumeMounts": [{"name": "go", "mountPath": "/go"}]}
    await cluster.apply(pod("talk", script, volumes=volumes, container=mounts))
    await cluster.until(PODS, "talk", phase("Running"))
    seen = b""
    async with asyncio.timeout(20):
        async for chunk in cluster.client.logs("default", "talk", follow=True):
            seen += chunk
            if seen == b"one\n":
                (host / "on").touch()
    assert seen == b"one\ntwo\n"


async def test_logs_can_be_cut_stamped_and_asked_of_the_run_before(cluster: Cluster) -> None:
    script = "if [ -e /v/x ]; then seq 5; else touch /v/x; echo before; exit 1; fi"
    volumes = [{"name": "v", "emptyDir": {}}]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    await cluster.apply(pod("twice", script, volumes=volumes, container=mounts, restartPolicy="OnFailure"))
    await cluster.until(PODS, "twice", phase("Succeeded"))
    assert await cluster.kubectl("logs", "twice", "--tail=2") == "4\n5\n"
    assert await cluster.kubectl("logs", "twice", "--previous") == "before\n"
    stamped = await cluster.kubectl("logs", "twice", "--timestamps", "--tail=1", "--since=1h")
    assert stamped.startswith("20")
    assert stamped.endswith("Z 5\n")
    assert "is not valid" in await cluster.kubectl("logs", "twice", "-c", "nobody", check=False)


async def test_the_log_endpoint_of_the_node_wants_a_token_the_api_server_knows(cluster: Cluster) -> None:
    await cluster.apply(pod("secretive", "echo secret"))
    await cluster.until(PODS, "secretive", phase("Succeeded"))
    node = await cluster.client.get(NODES, "here")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    url = f"https://127.0.0.1:{port}/containerLogs/default/secretive/main"
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            async with session.get(url, headers=headers, ssl=False) as answer:
                assert answer.status == 401


async def test_a_deleted_pod_is_given_its_grace_to_end(cluster: Cluster) -> None:
    host = cluster.directory / "out"
    host.mkdir()
    host.chmod(0o777)
    script = "trap 'sleep 0.2; echo done > /out/done; exit 0' TERM; touch /out/up; while :; do sleep 0.02; done"
    volumes = [{"name": "out", "hostPath": {"path": str(host)}}]
    mounts = {"volumeMounts": [{"name": "out", "mountPath": "/out"}]}
    await cluster.apply(pod("polite", script, volumes=volumes, container=mounts, terminationGracePeriodSeconds=20))
    await eventually((host / "up").exists)
    await cluster.until(PODS, "polite", phase("Running"))
    await cluster.kubectl("delete", "pod", "polite")
    assert (host / "done").exists()
    assert not await cluster.exists(PODS, "polite")


async def test_a_pod_that_is_deleted_by_force_is_gone_at_once_with_its_processes(cluster: Cluster) -> None:
    marker = f"4242{cluster.server.port}"
    await cluster.apply(pod("stubborn", f"trap '' TERM; sleep {marker}"))
    await cluster.until(PODS, "stubborn", phase("Running"))
    await cluster.kubectl("delete", "pod", "stubborn", "--force", "--grace-period=0")
    await eventually(lambda: not running(f"sleep {marker}"))


async def test_a_missing_secret_is_shown_by_kubectl_and_the_job_goes_on_once_it_is_there(cluster: Cluster) -> None:
    volumes = [{"name": "s", "secret": {"secretName": "creds"}}]
    mounts = {"volumeMounts": [{"name": "s", "mountPath": "/s", "readOnly": True}]}
    await cluster.apply(job("needy", "cat /s/password", pod={"volumes": volumes}, container=mounts))
    await cluster.until(JOBS, "needy", lambda each: each.get("status", {}).get("active") == 1)
    name = (await cluster.pods("needy"))[0]["metadata"]["name"]
    await cluster.until(PODS, name, lambda each: "waiting" in str(each.get("status")))
    text = await cluster.kubectl("describe", "pod", name)
    assert 'secret "default/creds" not found' in text
    meta = {"name": "creds", "namespace": "default"}
    await cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": "p"}})
    assert ended_as(await cluster.finished("needy")) == "Complete"
    assert await cluster.log(name) == "p"


async def test_a_pod_that_fits_nowhere_says_why_and_starts_when_its_claim_is_there(cluster: Cluster) -> None:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "later"}}]
    mounts = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    await cluster.apply(pod("waiting", "touch /d/x", volumes=volumes, container=mounts))
    await cluster.apply(pod("picky", "true", nodeSelector={"disk": "ssd"}))
    picky = await cluster.until(PODS, "picky", lambda each: each.get("status", {}).get("conditions"))
    assert "didn't match Pod's node affinity/selector" in picky["status"]["conditions"][0]["message"]
    waiting = await cluster.until(PODS, "waiting", lambda each: each.get("status", {}).get("conditions"))
    assert 'persistentvolumeclaim "later" not found' in waiting["status"]["conditions"][0]["message"]
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "later", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    await cluster.apply(claim)
    await cluster.until(PODS, "waiting", phase("Succeeded"))
    found = await cluster.client.get(PVCS, "later", "default")
    assert (found["spec"]["storageClassName"], found["status"]["capacity"]) == ("standard", {"storage": "1Mi"})
    await cluster.kubectl("label", "node", "here", "disk=ssd")
    await cluster.until(PODS, "picky", phase("Succeeded"))


async def test_data_on_a_claim_survives_the_pod_and_the_restart_of_everything(cluster: Cluster) -> None:
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "keep", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "keep"}}]
    mounts = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    await cluster.apply(claim, pod("writer", "echo precious > /d/file", volumes=volumes, container=mounts))
    await cluster.until(PODS, "writer", phase("Succeeded"))
    await cluster.stop()
    await cluster.start()
    await cluster.apply(pod("reader", "cat /d/file", volumes=volumes, container=mounts))
    await cluster.until(PODS, "reader", phase("Succeeded"))
    assert await cluster.log("reader") == "precious\n"
    assert await cluster.log("writer") == ""


async def test_the_token_in_a_pod_opens_what_its_account_may_read_and_nothing_else_is_needed(cluster: Cluster) -> None:
    program = """
import os, ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
read = lambda name: open(f"{account}/{name}").read()
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
url = f"https://{host}:{port}/api/v1/namespaces/{read('namespace')}/pods/caller"
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + read("token")})
print(urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{account}/ca.crt")).read().decode())
"""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "read"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    await cluster.apply(binding, pod("caller", f"/usr/bin/python3 - <<'END'{program}END\n"))
    await cluster.until(PODS, "caller", phase("Succeeded"))
    assert '"name":"caller"' in (await cluster.log("caller")).replace('": "', '":"')


async def test_a_node_that_falls_silent_loses_its_pods(cluster: Cluster) -> None:
    await cluster.stop_part("controllers")
    await cluster.apply(pod("orphan", "sleep 60", nodeName="ghost"))
    lease: Object = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "ghost", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "ghost", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    await cluster.apply(lease, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}})
    await cluster.client.merge_patch(NODES, "ghost", None, {"status": ready}, subresource="status")
    await cluster.start_controllers(node_grace=0.3)
    found = await cluster.until(PODS, "orphan", phase("Failed"))
    assert found["status"]["reason"] == "NodeLost"
    ghost = await cluster.client.get(NODES, "ghost")
    assert ghost["status"]["conditions"][0]["status"] == "Unknown"
