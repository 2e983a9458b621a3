"""Hooks: a command in a container, a request, a port, with their tries, their time and what they say in the end."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from aiohttp import web
from tests.movers_builders import Run, perform_call

from holdfast.core.access import exec_access, run_as
from holdfast.core.calls import decode_call
from holdfast.core.cluster_calls import Exec, HttpRequest, TcpConnect
from holdfast.core.objects import Object, kind_of
from holdfast.core.report import Failure, Report
from holdfast.kube.config import ClusterConfig
from holdfast.movers import exec as exec_mover
from holdfast.movers.context import MoverError

Answer = Callable[[web.WebSocketResponse], Awaitable[None]]


class Kubelet:
    """An API server of one pod, on a thread of its own: each exec is served by the next answer."""

    def __init__(self) -> None:
        self.answers: list[Answer | Failure] = []
        self.queries: list[list[tuple[str, str]]] = []
        self.uid = "pod-1"
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._up.wait(10)

    @property
    def config(self) -> ClusterConfig:
        return ClusterConfig(server=self.url, token="t0ken")

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._up.set()
        self._loop.run_forever()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/demo/pods/db-0", self._pod)
        app.router.add_get("/api/v1/namespaces/demo/pods/db-0/exec", self._exec)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _pod(self, request: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "db-0", "namespace": "demo", "uid": self.uid}})

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        answer = self.answers[0]
        if isinstance(answer, Failure):
            status = {"kind": "Status", "status": "Failure", "reason": answer.reason, "message": answer.message}
            return web.json_response(status, status=403 if answer.reason == "Forbidden" else 400)
        self.queries.append(list(request.query.items()))
        self.answers.pop(0)
        found = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
        await found.prepare(request)
        await answer(found)
        await found.close()
        return found


def says(code: int, out: str = "", err: str = "") -> Answer:
    """A command that writes and ends."""
    status: Object = {"status": "Success"}
    if code:
        causes = [{"reason": "ExitCode", "message": str(code)}]
        status = {"status": "Failure", "reason": "NonZeroExitCode", "message": "no", "details": {"causes": causes}}

    async def answer(found: web.WebSocketResponse) -> None:
        for channel, text in ((b"\x01", out), (b"\x02", err)):
            await found.send_bytes(channel + text.encode())
        await found.send_bytes(b"\x03" + msgspec.json.encode(status))

    return answer


async def hangs(found: web.WebSocketResponse) -> None:
    await found.receive()


async def breaks_off(found: web.WebSocketResponse) -> None:
    await found.send_bytes(b"\x01half of it")


@pytest.fixture
def kubelet() -> Generator[Kubelet]:
    found = Kubelet()
    yield found
    found.stop()


def command(**changes: Any) -> Exec:
    return Exec(**{"namespace": "demo", "pod": "db-0", "command": ("pg_ctl", "stop"), "delay": 0, **changes})


def run(kubelet: Kubelet, call: Exec, run: Run | None = None) -> Report:
    return exec_mover.run_through(kubelet.config, call, (run or Run()).context)


def failed(kubelet: Kubelet, call: Exec) -> Failure:
    with pytest.raises(MoverError) as caught:
        run(kubelet, call)
    return caught.value.failure


def test_the_command_runs_in_the_container_and_its_last_words_are_reported(
    kubelet: Kubelet, capsys: pytest.CaptureFixture[str]
) -> None:
    kubelet.answers = [says(0, "checkpoint\n", "all written\n")]
    report = run(kubelet, command(container="postgres"))
    item = report.items[0]
    assert (item.name, item.status, item.message) == ("demo/db-0/postgres", "0", "checkpoint all written")
    assert report.failure is None
    assert kubelet.queries == [
        [("command", "pg_ctl"), ("command", "stop"), ("stdout", "true"), ("stderr", "true"), ("container", "postgres")]
    ]
    assert "checkpoint\nall written\n" in capsys.readouterr().out


def test_an_exit_code_is_a_failure_that_quotes_the_end(kubelet: Kubelet) -> None:
    kubelet.answers = [says(3, err="x" * 5000 + " no such table\n")]
    found = failed(kubelet, command())
    assert found.reason == "ExitCode"
    assert found.message.startswith("pg_ctl in pod demo/db-0 ended with exit code 3: ")
    assert found.message.endswith("no such table")
    assert len(found.message) < 1000


def test_a_command_that_fails_is_tried_as_often_as_it_may(kubelet: Kubelet) -> None:
    kubelet.answers = [says(1), says(1), says(0)]
    assert run(kubelet, command(attempts=3)).items[0].status == "0"
    kubelet.answers = [says(1), says(2), says(0)]
    assert failed(kubelet, command(attempts=2)).message == "pg_ctl in pod demo/db-0 ended with exit code 2 (try 2 of 2)"
    assert len(kubelet.answers) == 1


def test_a_command_that_does_not_end_is_left_at_its_timeout(kubelet: Kubelet) -> None:
    kubelet.answers = [hangs]
    assert failed(kubelet, command(timeout=1)).message == "pg_ctl in pod demo/db-0 did not end within 1 s"


def test_a_connection_that_breaks_leaves_the_outcome_unknown_and_says_so(kubelet: Kubelet) -> None:
    kubelet.answers = [breaks_off]
    found = failed(kubelet, command())
    assert found.reason == "ConnectionLost"
    assert "how it ended is not known: half of it" in found.message


def test_a_refusal_comes_in_the_words_of_the_server_and_is_not_repeated(kubelet: Kubelet) -> None:
    kubelet.answers = [Failure("Forbidden", "pods db-0 is forbidden: no pods/exec")]
    found = failed(kubelet, command(attempts=5))
    assert (found.reason, "no pods/exec" in found.message) == ("NotAllowed", True)
    kubelet.answers = [Failure("BadRequest", "container x is not valid for pod db-0")]
    assert "container x is not valid" in failed(kubelet, command()).message


def test_another_pod_of_the_name_is_left_alone(kubelet: Kubelet) -> None:
    kubelet.answers = [says(0)]
    assert failed(kubelet, command(uid="pod-0", attempts=3)).reason == "AnotherPod"
    assert run(kubelet, command(uid="pod-1")).failure is None


def test_a_mover_that_is_told_to_stop_ends_at_once(kubelet: Kubelet) -> None:
    kubelet.answers = [hangs]
    running = Run()
    threading.Timer(0.2, running.context.stop.set).start()
    began = time.monotonic()
    with pytest.raises(MoverError) as caught:
        run(kubelet, command(timeout=60), running)
    assert caught.value.failure.reason == "Terminated"
    assert time.monotonic() - began < 10


def test_output_beyond_its_bound_is_counted_and_not_logged(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exec_mover, "LOGGED", 100)
    kubelet.answers = [says(0, "y" * 1000)]
    run(kubelet, command())
    out = capsys.readouterr().out
    assert out.count("y" * 100) == 1
    assert "(900 more bytes of output are not shown)" in out


class Site(BaseHTTPRequestHandler):
    """Answers with the status in the path, after failing as often as told."""

    seen: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []
    bad = 0

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Site.seen.append((self.command, self.path, dict(self.headers), body))
        status = int(self.path.split("/")[1].split("?")[0])
        if Site.bad:
            Site.bad, status = Site.bad - 1, 503
        self.send_response(status)
        self.send_header("Location", "/200")
        self.end_headers()
        self.wfile.write(b"the server's words")

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Generator[str]:
    Site.seen, Site.bad = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_request_carries_what_it_was_given_and_secrets_from_files(
    site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    call = HttpRequest(
        f"{site}/201?key=hidden", "POST", {"X-One": "1"}, {"Authorization": str(token)}, body='{"freeze": true}', delay=0
    )
    report = perform_call(call)
    assert report.failure is None
    assert report.items[0].status == "201"
    method, path, headers, body = Site.seen[0]
    assert (method, path, body) == ("POST", "/201?key=hidden", b'{"freeze": true}')
    assert (headers["X-One"], headers["Authorization"]) == ("1", "s3cret")
    assert "hidden" not in capsys.readouterr().out
    assert b"hidden" not in msgspec.json.encode(report)


def test_a_redirect_is_an_answer_and_an_error_is_quoted(site: str) -> None:
    assert perform_call(HttpRequest(f"{site}/302")).items[0].status == "302"
    assert len(Site.seen) == 1
    report = perform_call(HttpRequest(f"{site}/404"))
    assert report.failure is not None
    assert report.failure.reason == "BadStatus"
    assert report.failure.message.endswith("/404 was answered with 404, 200 to 399 was expected: the server's words")


def test_a_request_is_tried_again(site: str) -> None:
    Site.bad = 2
    assert perform_call(HttpRequest(f"{site}/200", attempts=3, delay=0)).failure is None
    Site.bad = 2
    report = perform_call(HttpRequest(f"{site}/200", attempts=2, delay=0))
    assert report.failure is not None
    assert "(try 2 of 2)" in report.failure.message


def test_what_is_no_url_is_refused() -> None:
    report = perform_call(HttpRequest("ftp://x/y"))
    assert report.failure is not None
    assert report.failure.reason == "BadArguments"


@pytest.fixture
def silent() -> Generator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_does_not_answer_ends_at_the_timeout(silent: int) -> None:
    report = perform_call(HttpRequest(f"http://127.0.0.1:{silent}/", timeout=1))
    assert report.failure is not None
    assert report.failure.reason == "Timeout"


def test_a_port_is_open_or_says_why_not(silent: int) -> None:
    assert perform_call(TcpConnect("127.0.0.1", silent)).items[0].status == "open"
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    report = perform_call(TcpConnect("127.0.0.1", closed, attempts=2, delay=0))
    assert report.failure is not None
    assert report.failure.message == f"no connection to 127.0.0.1:{closed}: Connection refused (try 2 of 2)"


def test_calls_travel_as_json() -> None:
    for call in (command(uid="u"), HttpRequest("http://x"), TcpConnect("x", 1)):
        assert decode_call(call.MOVER, call.call().arguments) == call


def test_the_account_of_a_hook_may_run_commands_in_one_namespace() -> None:
    owner: Object = {"apiVersion": "t/v1", "kind": "T", "metadata": {"name": "t", "namespace": "demo", "uid": "u"}}
    account, binding = (child.object for child in exec_access("hook", "demo", owner=owner, labels={"a": "b"}))
    assert [kind_of(item).kind for item in (account, binding)] == ["ServiceAccount", "RoleBinding"]
    assert all(item["metadata"]["ownerReferences"][0]["uid"] == "u" for item in (account, binding))
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "holdfast-exec"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "hook", "namespace": "demo"}]


def test_an_account_of_another_namespace_is_bound_where_the_pods_are() -> None:
    account, binding = (child.object for child in exec_access("hook", "app", job_namespace="demo"))
    assert [item["metadata"]["namespace"] for item in (account, binding)] == ["demo", "app"]
    assert binding["subjects"][0]["namespace"] == "demo"


def test_a_job_that_runs_as_an_account_gets_its_token() -> None:
    job: Object = {"spec": {"template": {"spec": {"containers": []}}}}
    run_as(job, "hook")
    spec = job["spec"]["template"]["spec"]
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("hook", True)
