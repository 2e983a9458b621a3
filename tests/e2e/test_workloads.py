"""Jobs, CronJobs and StatefulSets as a user of kubectl meets them, with real pods."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from holdfast.core.objects import Object
from holdfast.kube.builtin import CRONJOBS, JOBS, PODS, PVCS, PVS, STATEFULSETS
from tests.e2e.cluster import Cluster, cluster, ended_as, eventually, job, running

__all__ = ["cluster"]
pytestmark = pytest.mark.run


async def test_a_job_completes_and_kubectl_shows_it(cluster: Cluster) -> None:
    await cluster.apply(job("hello", "echo hello from $HOSTNAME"))
    assert "condition met" in await cluster.kubectl("wait", "--for=condition=Complete", "job/hello", "--timeout=20s")
    done = await cluster.client.get(JOBS, "hello", "default")
    assert (done["status"]["succeeded"], done["status"]["active"]) == (1, 0)
    assert done["status"]["completionTime"] >= done["status"]["startTime"]
    pod = (await cluster.pods("hello"))[0]["metadata"]["name"]
    assert await cluster.kubectl("logs", "job/hello") == f"hello from {pod}\n"


async def test_a_failing_job_is_tried_again_up_to_its_limit(cluster: Cluster) -> None:
    await cluster.apply(job("bad", "exit 3", backoffLimit=2))
    failed = await cluster.finished("bad")
    assert ended_as(failed) == "BackoffLimitExceeded"
    assert failed["status"]["failed"] == 3
    assert len(await cluster.pods("bad")) == 3


async def test_a_job_past_its_deadline_fails_once_its_pods_are_gone(cluster: Cluster) -> None:
    marker = f"4141{cluster.server.port}"
    await cluster.apply(job("slow", f"sleep {marker}", activeDeadlineSeconds=1, pod={"terminationGracePeriodSeconds": 1}))
    await eventually(lambda: running(f"sleep {marker}"))
    failed = await cluster.finished("slow")
    assert ended_as(failed) == "DeadlineExceeded"
    assert not running(f"sleep {marker}")


async def test_a_deleted_pod_counts_as_a_failure(cluster: Cluster) -> None:
    await cluster.apply(job("lost", "sleep 60", backoffLimit=0, pod={"terminationGracePeriodSeconds": 0}))
    await cluster.until(JOBS, "lost", lambda each: each.get("status", {}).get("ready") == 1)
    pod = (await cluster.pods("lost"))[0]["metadata"]["name"]
    await cluster.kubectl("delete", "pod", pod)
    assert ended_as(await cluster.finished("lost")) == "BackoffLimitExceeded"
    assert await cluster.pods("lost") == []


async def test_a_suspended_job_waits_until_it_is_let_go(cluster: Cluster) -> None:
    await cluster.apply(job("later", "true", suspend=True))
    await cluster.until(JOBS, "later", lambda each: each.get("status", {}).get("conditions"))
    assert await cluster.pods("later") == []
    await cluster.kubectl("patch", "job", "later", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    assert ended_as(await cluster.finished("later")) == "Complete"


async def test_a_job_goes_with_its_ttl_and_takes_its_pods_along(cluster: Cluster) -> None:
    await cluster.apply(job("brief", "true", ttlSecondsAfterFinished=1))
    await cluster.finished("brief")
    await cluster.gone(JOBS, "brief")
    for pod in await cluster.pods("brief"):
        await cluster.gone(PODS, pod["metadata"]["name"])


async def test_parallel_completions_run_no_more_pods_than_asked(cluster: Cluster) -> None:
    await cluster.apply(job("many", "sleep 0.1", parallelism=3, completions=7))
    done = await cluster.finished("many")
    assert (done["status"]["succeeded"], len(await cluster.pods("many"))) == (7, 7)


async def test_a_hundred_jobs_are_done_quickly(cluster: Cluster) -> None:
    began = time.monotonic()
    await asyncio.gather(*(cluster.client.create(JOBS, job(f"j{number}", "true")) for number in range(100)))
    for number in range(100):
        assert ended_as(await cluster.finished(f"j{number}", seconds=60)) == "Complete"
    taken = time.monotonic() - began
    print(f"100 jobs in {taken:.2f} s")
    assert taken < 30
    assert len((await cluster.client.list(PODS, "default")).items) == 100


async def test_a_cronjob_makes_up_for_the_last_missed_time_once(cluster: Cluster) -> None:
    await cluster.stop_part("controllers")
    template = job("x", "true")["spec"]
    cronjob: Object = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": template}},
    }
    await cluster.apply(cronjob)
    yesterday = {"status": {"lastScheduleTime": "2020-01-01T00:00:00Z"}}
    await cluster.client.merge_patch(CRONJOBS, "tick", "default", yesterday, subresource="status")
    await cluster.start_controllers()
    found = await cluster.until(CRONJOBS, "tick", lambda each: each.get("status", {}).get("lastScheduleTime", "") > "2021")
    jobs = (await cluster.client.list(JOBS, "default")).items
    assert [each["metadata"]["ownerReferences"][0]["name"] for each in jobs] == ["tick"]
    assert (
        jobs[0]["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        == found["status"]["lastScheduleTime"]
    )
    await cluster.finished(jobs[0]["metadata"]["name"])
    await cluster.until(
        CRONJOBS, "tick", lambda each: each["status"]["active"] == [] and each["status"].get("lastSuccessfulTime")
    )


STATEFULSET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox
        command: [sh, -c, "trap 'exit 0' TERM; echo $HOSTNAME >> /source/data/log; while :; do sleep 0.05; done"]
        volumeMounts: [{name: data, mountPath: /source/data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
"""


async def test_a_statefulset_writes_to_claims_that_outlive_its_pods(cluster: Cluster) -> None:
    await cluster.apply(STATEFULSET)
    await cluster.until(STATEFULSETS, "db", lambda each: each.get("status", {}).get("readyReplicas") == 2)
    claim = await cluster.client.get(PVCS, "data-db-1", "default")
    assert claim["status"]["phase"] == "Bound"
    volume = await cluster.client.get(PVS, claim["spec"]["volumeName"])
    directory = cluster.directory / "volumes" / claim["spec"]["volumeName"]
    assert volume["spec"]["hostPath"]["path"] == str(directory)
    await eventually(lambda: _text(directory / "log") == "db-1\n")
    before = await cluster.client.get(PODS, "db-1", "default")
    await cluster.kubectl("delete", "pod", "db-1")
    uid = before["metadata"]["uid"]
    await cluster.until(
        PODS, "db-1", lambda each: each["metadata"]["uid"] != uid and each.get("status", {}).get("phase") == "Running"
    )
    await cluster.until(STATEFULSETS, "db", lambda each: each.get("status", {}).get("readyReplicas") == 2)
    await eventually(lambda: _text(directory / "log") == "db-1\ndb-1\n")


async def test_a_scaled_down_statefulset_keeps_its_claims_and_a_deleted_claim_takes_its_data(cluster: Cluster) -> None:
    await cluster.apply(STATEFULSET)
    await cluster.until(STATEFULSETS, "db", lambda each: each.get("status", {}).get("readyReplicas") == 2)
    claim = await cluster.client.get(PVCS, "data-db-1", "default")
    directory = cluster.directory / "volumes" / claim["spec"]["volumeName"]
    await cluster.kubectl("delete", "pvc", "data-db-1", "--wait=false")
    assert "kubernetes.io/pvc-protection" in (await cluster.client.get(PVCS, "data-db-1", "default"))["metadata"]["finalizers"]
    await cluster.kubectl("scale", "statefulset", "db", "--replicas=1")
    await cluster.gone(PODS, "db-1")
    await cluster.gone(PVCS, "data-db-1")
    await cluster.gone(PVS, claim["spec"]["volumeName"])
    assert not directory.exists()
    assert await cluster.exists(PVCS, "data-db-0")


async def test_a_node_that_is_stopped_says_so_on_its_pods(cluster: Cluster) -> None:
    await cluster.apply(job("again", "sleep 60", backoffLimit=0))
    await cluster.until(JOBS, "again", lambda each: each.get("status", {}).get("ready") == 1)
    await cluster.stop_part("node")
    await cluster.start_node()
    assert ended_as(await cluster.finished("again")) == "BackoffLimitExceeded"
    lost = (await cluster.pods("again"))[0]
    assert (lost["status"]["phase"], lost["status"]["reason"]) == ("Failed", "NodeShutdown")


async def test_when_the_node_is_killed_its_pods_die_and_those_that_run_always_start_again(cluster: Cluster) -> None:
    await cluster.stop_part("node")
    node = await _node_process(cluster)
    marker = f"4343{cluster.server.port}"
    await cluster.apply(STATEFULSET.replace("replicas: 2", "replicas: 1"), job("again", f"sleep {marker}", backoffLimit=0))
    await cluster.until(STATEFULSETS, "db", lambda each: each.get("status", {}).get("readyReplicas") == 1)
    await cluster.until(JOBS, "again", lambda each: each.get("status", {}).get("ready") == 1)
    await eventually(lambda: running(f"sleep {marker}"))
    uid = (await cluster.client.get(PODS, "db-0", "default"))["metadata"]["uid"]
    node.kill()
    await node.wait()
    await eventually(lambda: not running(f"sleep {marker}"))
    await cluster.start_node()
    assert ended_as(await cluster.finished("again")) == "BackoffLimitExceeded"
    lost = (await cluster.pods("again"))[0]
    assert (lost["status"]["phase"], lost["status"]["reason"]) == ("Failed", "NodeRestarted")
    assert lost["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    pod = await cluster.until(PODS, "db-0", _started_again)
    state = pod["status"]["containerStatuses"][0]
    assert pod["metadata"]["uid"] == uid
    assert (state["lastState"]["terminated"]["reason"], state["lastState"]["terminated"]["exitCode"]) == ("NodeRestarted", 137)


def _started_again(pod: Object) -> bool:
    states = pod.get("status", {}).get("containerStatuses") or [{}]
    return states[0].get("restartCount") == 1 and "running" in states[0]["state"]


async def _node_process(cluster: Cluster) -> asyncio.subprocess.Process:
    """Run the node in a process of its own, which can be killed."""
    arguments = [str(cluster.server.kubeconfig_path), str(cluster.directory / "node")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.node_process", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_an_indexed_job_runs_each_index_once_and_tells_each_its_number(cluster: Cluster) -> None:
    await cluster.apply(
        job("parts", "echo part $JOB_COMPLETION_INDEX on $HOSTNAME", completions=3, parallelism=2, completionMode="Indexed")
    )
    done = await cluster.finished("parts")
    assert (ended_as(done), done["status"]["completedIndexes"], done["status"]["succeeded"]) == ("Complete", "0-2", 3)
    logs = [await cluster.kubectl("logs", pod["metadata"]["name"]) for pod in await cluster.pods("parts")]
    assert sorted(logs) == [f"part {index} on parts-{index}\n" for index in range(3)]


async def test_an_exit_code_that_a_policy_names_fails_the_job_at_once(cluster: Cluster) -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
    await cluster.apply(job("fatal", "exit 42", backoffLimit=5, podFailurePolicy={"rules": rules}))
    assert ended_as(await cluster.finished("fatal")) == "PodFailurePolicy"
    assert len(await cluster.pods("fatal")) == 1
