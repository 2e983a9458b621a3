from tests.unit.controllers.objects import ago, pod

from holdfast.core.objects import Object
from holdfast.embedded.controllers.statefulset_decision import claims_of, decide, pod_of, revision


def sts(replicas: int = 3, **spec: object) -> Object:
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c"}], "volumes": [{"name": "tmp", "emptyDir": {}}]},
    }
    claims = [{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "demo", "uid": "sts-1", "generation": 2},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "db"}},
            "serviceName": "db",
            "template": template,
            "volumeClaimTemplates": claims,
            **spec,
        },
    }


def mine(number: int, phase: str = "Running", *, ready: bool = True, of: Object | None = None, **meta: object) -> Object:
    labels = {"controller-revision-hash": revision(of or sts())}
    return pod(f"db-{number}", phase, ready=ready, labels=labels, **meta)


def names(pods: tuple[Object, ...]) -> list[str]:
    return [each["metadata"]["name"] for each in pods]


def test_pods_start_one_after_the_other() -> None:
    assert decide(sts(), []).create == (0,)
    assert decide(sts(), [mine(0, ready=False)]).create == ()
    assert decide(sts(), [mine(0)]).create == (1,)


def test_parallel_pods_start_at_once() -> None:
    assert decide(sts(podManagementPolicy="Parallel"), [mine(1, ready=False)]).create == (0, 2)


def test_a_pod_that_is_over_is_deleted_to_be_made_anew_under_its_name() -> None:
    found = decide(sts(), [mine(0), mine(1, "Failed", ready=False), mine(2)])
    assert names(found.delete) == ["db-1"]
    assert decide(sts(), [mine(0), mine(2)]).create == (1,)


def test_fewer_replicas_take_the_highest_first_and_one_at_a_time() -> None:
    assert names(decide(sts(1), [mine(0), mine(1), mine(2)]).delete) == ["db-2"]
    assert names(decide(sts(1), [mine(0), mine(1), mine(2, deletionTimestamp=ago(1))]).delete) == []
    assert names(decide(sts(0), [mine(0)]).delete) == ["db-0"]


def test_a_new_template_replaces_the_highest_pod_once_all_are_ready() -> None:
    new = sts()
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    assert names(decide(new, [mine(0), mine(1), mine(2)]).delete) == ["db-2"]
    assert names(decide(new, [mine(0), mine(1), mine(2, of=new)]).delete) == ["db-1"]
    assert names(decide(new, [mine(0), mine(1), mine(2, of=new, ready=False)]).delete) == []


def test_the_partition_keeps_lower_pods_as_they_are() -> None:
    new = sts(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    assert names(decide(new, [mine(0), mine(1), mine(2, of=new)]).delete) == []


def test_each_pod_has_its_own_claim_host_name_and_labels() -> None:
    made = pod_of(sts(), 1)
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "db-1"
    assert made["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}} in made["spec"]["volumes"]
    assert {"name": "tmp", "emptyDir": {}} in made["spec"]["volumes"]
    claim = claims_of(sts(), 1)[0]
    assert (claim["metadata"]["name"], claim["metadata"]["labels"]) == ("data-db-1", {"app": "db"})
    assert "ownerReferences" not in claim["metadata"]


def test_claims_go_with_the_set_only_when_it_says_so() -> None:
    claim = claims_of(sts(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}), 0)[0]
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "sts-1"


def test_the_status_counts_what_runs() -> None:
    status = decide(sts(), [mine(0), mine(1, ready=False)]).status
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 1, 2)
