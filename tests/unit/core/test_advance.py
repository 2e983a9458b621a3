"""advance: what starts when, what a failure and a deadline mean, and that a pass over a finished world says nothing."""

import copy
from datetime import timedelta

import pytest
from tests.sim.world import OWNER, START, World, job, plan, step

from holdfast.core.advance import OBJECT_DEADLINE, advance, in_order
from holdfast.core.effects import AddFinalizer, Apply, CopySecret, Create, Delete, Emit, ReleaseFinalizer
from holdfast.core.kinds import JOB, VOLUME_SNAPSHOT
from holdfast.core.objects import Kind, Object, Ref
from holdfast.core.plan import Child, Desired, Doomed, Note, OnError, Phase, Plan, Run, SecretCopy, When

SECRET = Kind("", "Secret")


def decide(world: World, *plans: Plan, **more: object) -> tuple[list[str], dict[str, Run]]:
    """Carry out one decision and return the names of what it created, with the runs."""
    before = len(world.created)
    decision = advance(OWNER, Desired(runs=plans, **more), world, world.now)  # type: ignore[arg-type]
    for effect in decision.effects(None):
        world.carry_out(copy.deepcopy(OWNER), effect)
    return world.created[before:], dict(decision.runs)


def test_steps_start_in_the_order_of_their_needs() -> None:
    world, work = World(), plan(step("b", "a"), step("a"))
    assert decide(world, work)[0] == ["a"]
    created, runs = decide(world, work)
    assert created == []
    assert runs["run"].phase is Phase.RUNNING
    assert runs["run"].steps["b"].message == "waits for a"
    world.end("a", well=True)
    assert decide(world, work)[0] == ["b"]
    world.end("b", well=True)
    assert decide(world, work) == ([], {"run": decide(world, work)[1]["run"]})
    assert decide(world, work)[1]["run"].phase is Phase.SUCCEEDED


def test_after_a_failure_dependants_are_skipped_and_clean_up_runs() -> None:
    world = World()
    work = plan(
        step("freeze"), step("dump", "freeze"), step("thaw", "dump", when=When.ALWAYS), step("alarm", "dump", when=When.FAILURE)
    )
    decide(world, work)
    world.end("freeze", well=False)
    created, runs = decide(world, work)
    assert created == ["thaw", "alarm"]
    assert runs["run"].steps["dump"].phase is Phase.SKIPPED
    assert runs["run"].phase is Phase.RUNNING
    world.end("thaw", well=True)
    world.end("alarm", well=True)
    run = decide(world, work)[1]["run"]
    assert (run.phase, run.message.split(":")[0]) == (Phase.FAILED, "freeze")


def test_a_failure_hook_is_skipped_when_nothing_failed() -> None:
    world, work = World(), plan(step("dump"), step("alarm", "dump", when=When.FAILURE))
    decide(world, work)
    world.end("dump", well=True)
    run = decide(world, work)[1]["run"]
    assert run.phase is Phase.SUCCEEDED
    assert run.steps["alarm"].phase is Phase.SKIPPED


def test_a_failure_that_may_be_passed_over_is_no_failure_of_the_run() -> None:
    world, work = World(), plan(step("stats", on_error=OnError.CONTINUE), step("dump", "stats"))
    decide(world, work)
    world.end("stats", well=False)
    assert decide(world, work)[0] == ["dump"]
    world.end("dump", well=True)
    assert decide(world, work)[1]["run"].phase is Phase.SUCCEEDED


def test_past_the_deadline_what_runs_is_stopped_and_clean_up_still_runs() -> None:
    world = World()
    work = plan(
        step("dump"), step("next", "dump"), step("thaw", "dump", when=When.ALWAYS), deadline=START + timedelta(minutes=5)
    )
    decision = advance(OWNER, Desired(runs=(work,)), world, world.now)
    assert decision.requeue is not None
    assert decision.requeue.at == START + timedelta(minutes=5)
    decide(world, work)
    world.now += timedelta(minutes=5)
    _, runs = decide(world, work)
    assert Ref(JOB, "demo", "dump") not in world.objects
    assert runs["run"].steps["dump"].message == "is being stopped: it is past its deadline"
    begun = plan(step("dump", begun=True), *work.steps[1:], deadline=work.deadline)
    assert decide(world, begun)[0] == ["thaw"]
    world.end("thaw", well=True)
    run = decide(world, begun)[1]["run"]
    assert (run.phase, run.reason) == (Phase.FAILED, "DeadlineExceeded")
    assert run.steps["next"].phase is Phase.SKIPPED


def test_a_stopped_step_that_will_not_go_does_not_hold_up_the_run() -> None:
    world, work = World(), plan(step("dump"), deadline=START + timedelta(minutes=5))
    decide(world, work)
    world.now += timedelta(minutes=10)
    world.objects[Ref(JOB, "demo", "dump")]["metadata"]["deletionTimestamp"] = "2026-11-20T13:05:00Z"
    decision = advance(OWNER, Desired(runs=(work,)), world, world.now)
    assert decision.effects(None) == ()
    assert decision.runs["run"].phase is Phase.FAILED


def test_a_step_past_its_own_deadline_that_its_job_ignores_is_stopped() -> None:
    world, work = World(), plan(step("dump", deadline=timedelta(minutes=1)))
    decide(world, work)
    world.now += timedelta(minutes=4)
    decision = advance(OWNER, Desired(runs=(work,)), world, world.now)
    assert [type(effect) for effect in decision.first] == [Delete]


def test_a_job_that_was_begun_and_is_gone_was_deleted_and_is_not_started_again() -> None:
    created, runs = decide(World(), plan(step("dump", begun=True)))
    assert created == []
    assert (runs["run"].phase, runs["run"].reason) == (Phase.FAILED, "Deleted")


def test_another_owners_job_of_the_same_name_is_waited_for() -> None:
    world = World()
    world.carry_out({"metadata": {"uid": "someone"}}, Create(job("dump")))
    created, runs = decide(world, plan(step("dump")))
    assert created == []
    assert runs["run"].phase is Phase.WAITING
    assert "was not made for this object" in runs["run"].message


def test_a_start_that_is_not_admitted_waits_with_the_reason() -> None:
    world = World()
    world.full = "waits for a free slot"
    created, runs = decide(world, plan(step("dump")))
    assert (created, runs["run"].phase, runs["run"].message) == ([], Phase.WAITING, "dump: waits for a free slot")


def test_children_are_applied_when_they_differ_and_not_again() -> None:
    world = World()
    child: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "demo"},
        "data": {"a": "1", "b": "2"},
    }
    assert decide(world, children=(Child(child),))[0] == ["c"]
    assert decide(world, children=(Child(child),))[0] == []
    world.objects[Ref(Kind("", "ConfigMap"), "demo", "c")]["data"] = {"a": "1", "b": "changed by hand", "theirs": "x"}
    assert decide(world, children=(Child(child),))[0] == ["c"]


def test_a_field_that_is_no_longer_wanted_is_taken_back() -> None:
    world = World()
    child: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "demo"},
        "data": {"a": "1", "b": "2"},
    }
    decide(world, children=(Child(child),))
    decision = advance(OWNER, Desired(children=(Child({**child, "data": {"a": "1"}}),)), world, world.now)
    assert [type(effect) for effect in decision.first] == [Apply]


def test_a_child_that_is_only_created_is_left_alone_then() -> None:
    world, child = World(), Child(job("c"), create_only=True)
    assert decide(world, children=(child,))[0] == ["c"]
    world.objects[Ref(JOB, "demo", "c")]["spec"] = {"changed": True}
    assert decide(world, children=(child,))[0] == []


def test_secrets_are_copied_before_the_step_that_needs_them_and_not_without_need() -> None:
    world = World()
    wanted = Desired(runs=(plan(step("dump")),), secret_copies=(SecretCopy(Ref(SECRET, "demo", "s"), Ref(SECRET, "app", "s")),))
    decision = advance(OWNER, wanted, world, world.now)
    assert [type(effect) for effect in decision.first] == [CopySecret, Create]
    world.carry_out(OWNER, decision.first[1])
    assert advance(OWNER, wanted, world, world.now).first == ()


def test_the_finalizer_is_taken_first_and_released_last() -> None:
    world, name = World(), "test/cleanup"
    taken = advance(OWNER, Desired(runs=(plan(step("a")),)), world, world.now, finalizer=name).first
    assert taken[0] == AddFinalizer(name)
    meta = {**OWNER["metadata"], "finalizers": [name], "deletionTimestamp": "2026-11-20T13:00:00Z"}
    world.carry_out(OWNER, Create(job("old")))
    doomed = (Doomed(Ref(JOB, "demo", "old"), "its owner goes"),)
    going = advance(
        {**OWNER, "metadata": meta},
        Desired(doomed=doomed, notes=(Note("Going", "x"),), release=True),
        world,
        world.now,
        finalizer=name,
    )
    assert [type(effect) for effect in going.last] == [Emit, Delete, ReleaseFinalizer]
    assert advance({**OWNER, "metadata": meta}, Desired(), world, world.now, finalizer=name).last == ()


def test_a_circle_of_needs_is_an_error_of_the_dialect() -> None:
    with pytest.raises(ValueError, match="a, b need each other"):
        in_order([step("a", "b"), step("b", "a")])


def test_a_snapshot_is_taken_between_its_neighbours_and_none_is_made_twice() -> None:
    world = World()
    work = plan(step("freeze"), step("snap", "freeze", kind="VolumeSnapshot"), step("copy", "snap"))
    decide(world, work)
    world.end("freeze", well=True)
    assert decide(world, work)[0] == ["snap"]
    assert decide(world, work)[0] == []
    world.end("snap", well=True)
    assert decide(world, work)[0] == ["copy"]


def test_a_snapshot_past_its_deadline_is_deleted_without_a_grace_since_nothing_else_minds_it() -> None:
    world, work = World(), plan(step("snap", kind="VolumeSnapshot", deadline=timedelta(minutes=1)))
    decide(world, work)
    decision = advance(OWNER, Desired(runs=(work,)), world, world.now)
    assert decision.requeue is not None
    assert decision.requeue.at == START + timedelta(minutes=1)
    world.now += timedelta(minutes=1)
    _, runs = decide(world, work)
    assert runs["run"].steps["snap"].reason == "DeadlineExceeded"
    assert Ref(VOLUME_SNAPSHOT, "demo", "snap") not in world.objects


def test_a_claim_without_a_deadline_gets_one() -> None:
    world, work = World(), plan(step("made", kind="PersistentVolumeClaim"))
    decide(world, work)
    decision = advance(OWNER, Desired(runs=(work,)), world, world.now)
    assert decision.requeue is not None
    assert decision.requeue.at == START + OBJECT_DEADLINE


def test_a_snapshot_that_somebody_deleted_is_not_taken_again() -> None:
    begun = plan(step("snap", kind="VolumeSnapshot", begun=True))
    created, runs = decide(World(), begun)
    assert (created, runs["run"].reason) == ([], "Deleted")
    assert runs["run"].message == "snap: VolumeSnapshot demo/snap was deleted before it had ended"
