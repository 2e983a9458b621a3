"""A hook as it runs: a Job of ours, its own account, a command in a pod that runs."""

import pytest

from holdfast.cli.install import addons
from holdfast.core.access import EXEC_ROLE, exec_access, run_as
from holdfast.core.cluster_calls import Exec
from holdfast.core.objects import Object
from holdfast.core.observe import observe_job
from holdfast.core.plan import Phase, Step, StepState
from holdfast.core.times import parse_time
from holdfast.engine.jobs import finish_step
from holdfast.kube.builtin import JOBS, PODS
from holdfast.movers.fills import movers
from tests.e2e.cluster import Cluster, cluster
from tests.e2e.test_exec import IDLE
from tests.e2e.test_pods import phase, pod

__all__ = ["cluster"]
pytestmark = pytest.mark.run


async def hook(cluster: Cluster, name: str, call: Exec) -> StepState:
    """Run a hook's Job to its end and return what it says."""
    job: Object = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "default"}}
    run_as(job, "hook")
    owner = await cluster.client.get(PODS, "db", "default")
    await cluster.client.create(
        JOBS, finish_step(owner, "run", Step(name="hook", child=job, mover=call.call()), movers(), "holdfast:x")
    )
    ended = await cluster.finished(name)
    now = parse_time(ended["status"]["conditions"][0]["lastTransitionTime"])
    return observe_job(ended, await cluster.pods(name), (), now)


async def test_a_hook_runs_in_its_pod_with_no_more_rights_than_that(cluster: Cluster) -> None:
    await cluster.apply(pod("db", IDLE))
    for role in addons():
        if role["metadata"]["name"] == EXEC_ROLE:
            await cluster.apply(role)
    for child in exec_access("hook", "default"):
        await cluster.apply(child.object)
    await cluster.until(PODS, "db", phase("Running"))

    done = await hook(cluster, "freeze", Exec("default", "db", ("sh", "-c", "echo frozen at $(hostname)")))
    assert (done.phase, done.message) == (Phase.SUCCEEDED, "")
    assert done.report is not None
    assert done.report.items[0].message == "frozen at db"

    refused = await hook(cluster, "beyond", Exec("kube-system", "other", ("true",)))
    assert (refused.phase, refused.reason) == (Phase.FAILED, "NotAllowed")

    failed = await hook(cluster, "fails", Exec("default", "db", ("sh", "-c", "echo no room >&2; exit 4")))
    assert (failed.phase, failed.reason) == (Phase.FAILED, "ExitCode")
    assert "ended with exit code 4: no room" in failed.message
