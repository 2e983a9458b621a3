"""Service account tokens, reviews, and pod logs that are fetched from a node."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from tests.api_samples import pod
from tests.embedded_fixture import Http, api_server, http, http_client  # noqa: F401

from holdfast.embedded.apiserver.pki import ensure_server_certificate
from holdfast.embedded.apiserver.server import ApiServer

pytestmark = [pytest.mark.api, pytest.mark.own]

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


async def _token(http: Http, **spec) -> str:  # noqa: F811
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return (await http.ok("POST", f"{ACCOUNTS}/default/token", body))["status"]["token"]


async def _review(http: Http, token: str, *audiences: str) -> dict:  # noqa: F811
    return (await http.ok("POST", REVIEWS, {"spec": {"token": token, "audiences": list(audiences)}}))["status"]


async def test_an_accounts_token_is_accepted_and_names_it(api_server: ApiServer, http: Http):  # noqa: F811
    async with http_client(api_server, await _token(http)) as pod_client:
        assert (await pod_client.call("GET", PODS)).code == 403
        who = await pod_client.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


async def test_a_token_for_another_audience_is_worthless_here(api_server: ApiServer, http: Http):  # noqa: F811
    token = await _token(http, audiences=["vault"])
    async with http_client(api_server, token) as client:
        assert (await client.call("GET", PODS)).code == 401
    assert (await _review(http, token, "vault"))["user"]["username"] == "system:serviceaccount:default:default"
    assert (await _review(http, token))["authenticated"] is False


async def test_a_token_dies_with_its_account_or_its_pod(api_server: ApiServer, http: Http):  # noqa: F811
    made = await http.ok("POST", PODS, pod("p"))
    bound = await _token(http, boundObjectRef={"kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]})
    free = await _token(http)
    assert (await _review(http, bound))["authenticated"] is True
    await http.ok("DELETE", f"{PODS}/p")
    assert (await _review(http, bound))["authenticated"] is False
    await http.ok("DELETE", f"{ACCOUNTS}/default")
    async with http_client(api_server, free) as client:
        assert (await client.call("GET", PODS)).code == 401


async def test_a_changed_token_is_refused(http: Http):  # noqa: F811
    head, claims, signature = (await _token(http)).split(".")
    for forged in (f"{head}.{claims[:-2]}AA.{signature}", f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}.", "x"):
        assert (await _review(http, forged))["authenticated"] is False


async def test_too_short_a_life_and_a_missing_pod_are_refused(http: Http):  # noqa: F811
    path = f"{ACCOUNTS}/default/token"
    assert (await http.call("POST", path, {"spec": {"expirationSeconds": 5}})).code == 400
    assert (await http.call("POST", path, {"spec": {"boundObjectRef": {"kind": "Pod", "name": "none"}}})).code == 404


@asynccontextmanager
async def _node(http: Http, folder: Path, handler) -> AsyncIterator[None]:  # noqa: F811
    """A node that serves logs, and a pod `p` that is bound to it."""
    _, certificate, key = ensure_server_certificate(folder, ("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get("/containerLogs/{ns}/{pod}/{container}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    meta = {"name": "n1", "annotations": {"holdfast.dev/serving-certificate-sha256": digest}}
    await http.ok("POST", "/api/v1/nodes", {"metadata": meta})
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    status = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    await http.patch("/api/v1/nodes/n1/status", {"status": status})
    await http.ok("POST", PODS, pod("p"))
    await http.ok("POST", f"{PODS}/p/binding", {"target": {"name": "n1"}})
    try:
        yield
    finally:
        await runner.cleanup()


async def test_logs_come_from_the_node_as_they_are_written(http: Http, api_server: ApiServer, tmp_path: Path):  # noqa: F811
    asked, go_on = list[web.Request](), asyncio.Event()

    async def logs(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        await go_on.wait()
        await response.write(b"second\n")
        return response

    async with (
        _node(http, tmp_path, logs),
        http.session.get(f"{http.url}{PODS}/p/log", params={"follow": "true", "tailLines": "5"}) as response,
    ):
        assert await response.content.readline() == b"first\n"
        go_on.set()
        assert await response.content.read() == b"second\n"
    assert asked[0].path == "/containerLogs/default/p/main"
    assert dict(asked[0].query) == {"follow": "true", "tailLines": "5"}
    token = asked[0].headers["Authorization"].removeprefix("Bearer ")
    assert (await _review(http, token))["user"]["username"] == "system:apiserver"
    async with http_client(api_server, token) as thief:
        assert (await thief.call("GET", PODS)).code == 401


async def test_a_node_that_is_killed_ends_a_followed_log_with_a_warning(
    http: Http,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    kill = asyncio.Event()

    async def logs(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        await kill.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    async with (
        _node(http, tmp_path, logs),
        http.session.get(f"{http.url}{PODS}/p/log", params={"follow": "true"}) as response,
    ):
        assert await response.content.readline() == b"first\n"
        kill.set()
        async with asyncio.timeout(5):
            assert await response.content.read() == b""
    said = [record for record in caplog.records if record.name.startswith("holdfast")]
    assert [(record.levelname, record.exc_info) for record in said] == [("WARNING", None)]
    assert "default/p" in said[0].getMessage()


async def test_log_refusals_say_why(http: Http, tmp_path: Path):  # noqa: F811
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=400, text='container "main" in pod "p" is waiting to start: ContainerCreating')

    async with _node(http, tmp_path, refuse):
        reply = await http.call("GET", f"{PODS}/p/log")
        assert (reply.code, "waiting to start" in reply.body["message"]) == (400, True)
        assert "container other is not valid" in (await http.call("GET", f"{PODS}/p/log?container=other")).body["message"]
    assert (await http.call("GET", f"{PODS}/p/log")).code == 502
    await http.ok("POST", PODS, pod("q"))
    assert "has no node yet" in (await http.call("GET", f"{PODS}/q/log")).body["message"]
