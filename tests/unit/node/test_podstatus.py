from datetime import UTC, datetime, timedelta

from holdfast.core.objects import Object
from holdfast.embedded.node.agent import given_up
from holdfast.embedded.node.podstatus import Verdict, View, phase_of, status
from holdfast.embedded.node.process import Exit
from holdfast.embedded.node.state import Container, Running, Terminated, Waiting, last_words

NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


def running(name: str = "c", *, ready: bool = True) -> Container:
    return Container(spec={"name": name}, state=Running(NOW), begun=True, ready=ready)


def ended(code: int, name: str = "c") -> Container:
    state = Terminated(exit=Exit(code), reason="x", started=NOW, finished=NOW)
    return Container(spec={"name": name}, state=state, begun=True)


def view(*main: Container, init: tuple[Container, ...] = (), **fields: object) -> View:
    return View(init=init, main=main, started=NOW, address="127.0.0.1", machine="127.0.0.1", now=NOW, **fields)  # type: ignore[arg-type]


def condition(found: Object, kind: str) -> Object:
    return next(each for each in found["conditions"] if each["type"] == kind)


def test_the_phase_follows_the_containers() -> None:
    assert phase_of(view(Container(spec={"name": "c"}))) == "Pending"
    assert phase_of(view(running(), ended(0, "d"))) == "Running"
    assert phase_of(view(ended(0), ended(0, "d"), ended=True)) == "Succeeded"
    assert phase_of(view(ended(0), ended(1, "d"), ended=True)) == "Failed"
    assert phase_of(view(ended(0), ended=True, verdict=Verdict("DeadlineExceeded", "late"))) == "Failed"


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    assert condition(status(view(running()), {}), "Ready")["status"] == "True"
    found = status(view(running(), running("slow", ready=False)), {})
    assert condition(found, "Ready")["message"] == "containers with unready status: [slow]"
    assert condition(status(view(ended(0), ended=True), {}), "Ready")["reason"] == "PodCompleted"


def test_a_condition_keeps_its_time_while_it_does_not_change() -> None:
    first = status(view(running()), {})
    later = view(running())
    moved = View(init=(), main=later.main, started=NOW, address="127.0.0.1", machine="127.0.0.1", now=NOW + timedelta(hours=1))
    assert status(moved, first) == first


def test_what_an_init_container_waits_for_is_in_the_condition() -> None:
    waiting = Container(spec={"name": "i"}, state=Waiting("CreateContainerConfigError", 'secret "s" not found'))
    found = condition(status(view(Container(spec={"name": "c"}), init=(waiting,)), {}), "Initialized")
    assert 'secret "s" not found' in found["message"]


def test_last_words_are_bounded_and_the_log_stands_in_only_when_asked() -> None:
    assert len(last_words(b"x" * 9000, [], "File", Exit(1))) == 4096
    assert last_words(b"", ["why"], "File", Exit(1)) == ""
    assert last_words(b"", ["why"], "FallbackToLogsOnError", Exit(1)) == "why"
    assert last_words(b"", ["why"], "FallbackToLogsOnError", Exit(0)) == ""


def test_a_pod_that_is_given_up_shows_what_ran_as_ended_and_what_waited_as_it_was() -> None:
    obj: Object = {"status": status(view(running(), Container(spec={"name": "w"})), {})}
    found = given_up(obj, Verdict("NodeRestarted", "gone"), NOW)
    first, second = found["containerStatuses"]
    assert first["state"]["terminated"]["reason"] == "NodeRestarted"
    assert "waiting" in second["state"]
    assert (found["phase"], condition(found, "Ready")["status"]) == ("Failed", "False")
