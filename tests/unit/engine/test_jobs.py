"""A finished Job: the mover's command in the dialect's shape, and safe settings that users may loosen."""

from datetime import timedelta

import pytest

from holdfast.core.labels import MOVER, OWNER, OWNER_UID, RUN, STEP
from holdfast.core.objects import Object
from holdfast.core.plan import Child, MoverCall, Step
from holdfast.core.ports import Fill
from holdfast.engine.jobs import finish_child, finish_step

OWNER_OBJECT: Object = {"apiVersion": "test/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "demo", "uid": "u1"}}


class FakeMover:
    name = "fake"

    def fill(self, step: Step) -> Fill:
        return Fill(
            command=("holdfast-mover", "run"),
            env={"HOLDFAST_CALL": "{}", "MODE": "ours"},
            mounts=({"name": "tmp", "mountPath": "/tmp"}, {"name": "data", "mountPath": "/data"}),
            volumes=({"name": "tmp", "emptyDir": {}},),
        )


MOVERS = {"fake": FakeMover()}


def job(namespace: str = "demo", **container: object) -> Object:
    pod = {"containers": [{"name": "main", **container}], "volumes": [{"name": "data", "emptyDir": {}}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": namespace, "labels": {"app": "x"}},
        "spec": {"template": {"spec": pod}},
    }


def finish(child: Object, **step: object) -> Object:
    return finish_step(
        OWNER_OBJECT, "run-1", Step(name="dump-pod-0", child=child, mover=MoverCall("fake", {}), **step), MOVERS, "image:1"
    )  # type: ignore[arg-type]


def test_the_mover_fills_the_first_container_and_the_dialects_settings_stay() -> None:
    done = finish(
        job(
            env=[{"name": "MODE", "value": "theirs"}, {"name": "X", "value": "1"}],
            volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": True}],
        )
    )
    pod = done["spec"]["template"]["spec"]
    main = pod["containers"][0]
    assert main["command"] == ["holdfast-mover", "run"]
    assert main["image"] == "image:1"
    assert {item["name"]: item["value"] for item in main["env"]} == {"X": "1", "HOLDFAST_CALL": "{}", "MODE": "ours"}
    assert main["volumeMounts"] == [
        {"name": "data", "mountPath": "/data", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    assert [volume["name"] for volume in pod["volumes"]] == ["data", "tmp"]


def test_it_leads_back_to_its_owner_step_and_run() -> None:
    done = finish(job())
    assert done["metadata"]["labels"] == {"app": "x", OWNER_UID: "u1", RUN: "run-1", STEP: "dump-pod-0", MOVER: "fake"}
    assert done["metadata"]["annotations"][OWNER] == "Thing.test/demo/t"
    assert done["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert done["spec"]["template"]["metadata"]["labels"][STEP] == "dump-pod-0"


def test_across_namespaces_the_label_alone_must_do() -> None:
    done = finish(job("app"))
    assert "ownerReferences" not in done["metadata"]
    assert done["metadata"]["labels"][OWNER_UID] == "u1"


def test_it_is_locked_down_unless_it_says_otherwise() -> None:
    pod = finish(job())["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 65534,
        "runAsNonRoot": True,
    }


def test_a_volume_mover_that_asks_for_root_and_one_right_gets_these_alone() -> None:
    done = finish(job(securityContext={"runAsUser": 0, "capabilities": {"add": ["DAC_READ_SEARCH"]}}))
    context = done["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert context["runAsUser"] == 0
    assert context["capabilities"] == {"add": ["DAC_READ_SEARCH"], "drop": ["ALL"]}
    assert "runAsNonRoot" not in context


def test_every_job_has_a_deadline_and_the_earlier_one_holds() -> None:
    assert finish(job())["spec"]["activeDeadlineSeconds"] == 7 * 24 * 3600
    assert finish(job(), deadline=timedelta(seconds=90))["spec"]["activeDeadlineSeconds"] == 90
    own = job()
    own["spec"]["activeDeadlineSeconds"] = 30
    assert finish(own, deadline=timedelta(seconds=90))["spec"]["activeDeadlineSeconds"] == 30
    assert finish(job())["spec"]["backoffLimit"] == 0


def test_the_dialects_own_object_is_not_changed() -> None:
    child = job()
    before = repr(child)
    finish(child)
    assert repr(child) == before


def test_a_cron_job_is_filled_in_its_template() -> None:
    child = {"kind": "CronJob", "metadata": {"name": "c", "namespace": "demo"}, "spec": {"jobTemplate": job()}}
    done = finish_child(Child(child, mover=MoverCall("fake", {})), MOVERS, "image:1")
    assert done["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"] == ["holdfast-mover", "run"]
    assert finish_child(Child(child), MOVERS, "image:1") is child


def test_an_unknown_mover_is_named() -> None:
    with pytest.raises(LookupError, match="mover 'other' is unknown"):
        finish_step(OWNER_OBJECT, "r", Step(name="s", child=job(), mover=MoverCall("other", {})), MOVERS, "i")


def snapshot(namespace: str = "demo") -> Object:
    meta = {"name": "s", "namespace": namespace}
    source = {"persistentVolumeClaimName": "data"}
    return {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": meta, "spec": {"source": source}}


def test_a_child_that_is_no_job_gets_our_marks_and_nothing_else() -> None:
    made = finish_step(OWNER_OBJECT, "run-1", Step(name="snap", child=snapshot()), MOVERS, "image:1")
    assert made["spec"] == snapshot()["spec"]
    assert made["metadata"]["labels"] == {OWNER_UID: "u1", RUN: "run-1", STEP: "snap"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert made["metadata"]["annotations"] == {OWNER: "Thing.test/demo/t"}


def test_a_child_that_outlives_its_owner_is_neither_owned_nor_collected() -> None:
    made = finish_step(OWNER_OBJECT, "run-1", Step(name="snap", child=snapshot(), outlives=True), MOVERS, "image:1")
    assert made["metadata"]["labels"][OWNER_UID] == "u1"
    assert "ownerReferences" not in made["metadata"]
    assert OWNER not in made["metadata"].get("annotations", {})


def with_sidecar() -> Object:
    made = job(command=["the", "users"])
    made["spec"]["template"]["spec"]["initContainers"] = [{"name": "side", "restartPolicy": "Always", "args": ["x"]}]
    return made


def test_an_attendant_is_filled_and_the_users_container_stays_as_it_is() -> None:
    step = Step(name="s", child=with_sidecar(), attendants={"side": MoverCall("fake", {})})
    pod = finish_step(OWNER_OBJECT, "run", step, MOVERS, "holdfast:1")["spec"]["template"]["spec"]
    (side,) = pod["initContainers"]

    assert pod["containers"] == [{"name": "main", "command": ["the", "users"]}]
    assert (side["image"], side["command"]) == ("holdfast:1", ["holdfast-mover", "run"])
    assert "args" not in side
    assert side["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [volume["name"] for volume in pod["volumes"]] == ["data", "tmp"]


def test_an_attendant_without_its_container_is_a_fault_that_names_it() -> None:
    step = Step(name="s", child=job(), attendants={"side": MoverCall("fake", {})})

    with pytest.raises(LookupError, match="'side'"):
        finish_step(OWNER_OBJECT, "run", step, MOVERS, "holdfast:1")


def test_a_child_with_attendants_is_filled_too() -> None:
    made = finish_child(Child(with_sidecar(), attendants={"side": MoverCall("fake", {})}), MOVERS, "holdfast:1")

    assert made["spec"]["template"]["spec"]["initContainers"][0]["image"] == "holdfast:1"
