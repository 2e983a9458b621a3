"""`kubectl exec`, `cp` and `attach` on pods that run, with stock kubectl and with a plain WebSocket client."""

import asyncio
import hashlib
import json
import os
import pty
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from holdfast.core.objects import Object
from holdfast.kube.builtin import NODES, PODS
from tests import tools
from tests.e2e.cluster import Cluster, cluster, eventually, running
from tests.e2e.test_pods import phase, pod

__all__ = ["cluster"]
pytestmark = pytest.mark.run

IDLE = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


async def start(cluster: Cluster, name: str, script: str = IDLE, **fields: Any) -> Object:
    await cluster.apply(pod(name, script, **fields))
    return await cluster.until(PODS, name, phase("Running"))


@asynccontextmanager
async def socket(cluster: Cluster, path: str, protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    context = ssl.create_default_context(cadata=cluster.config.ca_data)
    token = yaml.safe_load(cluster.server.kubeconfig_path.read_text())["users"][0]["user"]["token"]
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.ws_connect(f"{cluster.server.url}{path}", protocols=(protocol,), ssl=context) as found,
    ):
        yield found


async def everything(found: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """Gather what comes on each channel until the server closes."""
    heard: dict[int, bytes] = {}
    async with asyncio.timeout(20):
        async for message in found:
            heard[message.data[0]] = heard.get(message.data[0], b"") + message.data[1:]
    return heard


async def test_a_command_sees_what_the_container_sees(cluster: Cluster) -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    fields = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "env": [{"name": "COLOUR", "value": "blue"}]}
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    script = f"echo inside > /v/f; {IDLE}"
    await start(cluster, "box", script, volumes=volumes, container={**fields, **limits, "workingDir": "/v"})
    seen = await cluster.kubectl(
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "cat /v/f; echo $COLOUR; id -u; hostname; pwd; cat /proc/1/comm",
    )
    lines = seen.split()
    assert lines[:5] == ["inside", "blue", "65534", "box", "/v"]
    assert lines[5] == "bwrap"
    group = await cluster.kubectl("exec", "box", "--", "cat", "/proc/self/cgroup")
    assert "holdfast-" in group


async def test_streams_and_exit_code_are_those_of_the_command(cluster: Cluster) -> None:
    await start(cluster, "box")
    failed = await cluster.kubectl("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert {"out", "err"} <= set(failed.split())
    assert "exit code 7" in failed
    echoed = await cluster.kubectl("exec", "-i", "box", "--", "sh", "-c", "cat; echo end", stdin="typed\n" * 20_000)
    assert echoed == "typed\n" * 20_000 + "end\n"
    missing = await cluster.kubectl("exec", "box", "--", "no-such-program", check=False)
    assert "exit code 127" in missing


async def test_files_are_copied_in_and_out_whole(cluster: Cluster, tmp_path: Path) -> None:
    await start(cluster, "box")
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "big").write_bytes(os.urandom(9_000_000))
    (tmp_path / "up" / "small").write_text("small\n")
    await cluster.kubectl("cp", str(tmp_path / "up"), "box:/tmp/there")
    sums = await cluster.kubectl("exec", "box", "--", "sha256sum", "/tmp/there/big")
    assert sums.split()[0] == hashlib.sha256((tmp_path / "up" / "big").read_bytes()).hexdigest()
    await cluster.kubectl("cp", "box:/tmp/there", str(tmp_path / "down"))
    for name in ("big", "small"):
        assert (tmp_path / "down" / name).read_bytes() == (tmp_path / "up" / name).read_bytes()


async def test_a_terminal_is_a_terminal_with_the_size_of_the_users(cluster: Cluster) -> None:
    await start(cluster, "box")
    path = "/api/v1/namespaces/default/pods/box/exec?command=sh&stdin=true&stdout=true&tty=true"
    async with socket(cluster, path, "v5.channel.k8s.io") as found:
        await found.send_bytes(b"\x04" + json.dumps({"Width": 132, "Height": 43}).encode())
        marker = f"4545{cluster.server.port}"
        await found.send_bytes(f"\x00stty size; tty; echo $TERM; sleep {marker}\n".encode())
        text = ""
        while "\nxterm" not in text:
            text += (await found.receive_bytes(timeout=20))[1:].decode()
        await eventually(lambda: running(f"sleep {marker}"))
        await found.send_bytes(b"\x00\x03")  # Ctrl-C ends what runs on the terminal
        await eventually(lambda: not running(f"sleep {marker}"))
        await found.send_bytes(b"\x00exit 5\n")
        heard = await everything(found)
    assert "43 132" in text
    assert re.search(r"/dev/pts/\d+", text)
    status = json.loads(heard[3])
    assert (status["reason"], status["details"]["causes"][0]["message"]) == ("NonZeroExitCode", "5")


async def test_kubectl_gives_an_interactive_shell(cluster: Cluster) -> None:
    await start(cluster, "box")
    ours, theirs = pty.openpty()
    command = [tools.kubectl(), "--kubeconfig", str(cluster.server.kubeconfig_path), "exec", "-it", "box", "--", "sh"]
    shell = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)  # noqa: ASYNC220
    os.close(theirs)
    os.write(ours, b"test -t 0 && echo yes a $((40+2)); exit 3\n")
    seen = b""
    try:
        async with asyncio.timeout(20):
            while b"yes a 42" not in seen:
                seen += await asyncio.to_thread(os.read, ours, 4096)
            assert await asyncio.to_thread(shell.wait) == 3
    finally:
        shell.kill()
        os.close(ours)


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
async def test_both_subprotocols_carry_streams_and_status(cluster: Cluster, protocol: str) -> None:
    await start(cluster, "box")
    words = "command=sh&command=-c&command=head+-c+3;echo+e+%3E%262"
    path = f"/api/v1/namespaces/default/pods/box/exec?{words}&stdin=1&stdout=1&stderr=1"
    async with socket(cluster, path, protocol) as found:
        assert found.protocol == protocol
        await found.send_bytes(b"\x00abc")
        heard = await everything(found)
    assert (heard[1], heard[2], json.loads(heard[3])["status"]) == (b"abc", b"e\n", "Success")


async def test_a_client_that_goes_takes_its_command_along(cluster: Cluster) -> None:
    await start(cluster, "box")
    marker = f"4444{cluster.server.port}"
    path = f"/api/v1/namespaces/default/pods/box/exec?command=sleep&command={marker}&stdout=1"
    async with socket(cluster, path, "v5.channel.k8s.io"):
        await eventually(lambda: running(f"sleep {marker}"))
    await eventually(lambda: not running(f"sleep {marker}"))


async def test_attach_hears_what_is_written_from_now_on_and_types_into_the_container(cluster: Cluster) -> None:
    reader = {"stdin": True, "stdinOnce": True}
    await start(cluster, "ask", "while read line; do echo heard $line; done; echo over", container=reader)
    said = await cluster.kubectl("attach", "-i", "ask", stdin="one\ntwo\n")
    assert [line for line in said.splitlines() if "heard" in line] == ["heard one", "heard two"]
    await cluster.until(PODS, "ask", phase("Succeeded"))
    assert await cluster.log("ask") == "heard one\nheard two\nover\n"


async def test_what_can_not_be_entered_says_why(cluster: Cluster) -> None:
    await cluster.apply(pod("done", "true"), pod("stuck", "true", volumes=[{"name": "s", "secret": {"secretName": "none"}}]))
    await cluster.until(PODS, "done", phase("Succeeded"))
    assert "current phase is Succeeded" in await cluster.kubectl("exec", "done", "--", "true", check=False)
    await cluster.until(PODS, "stuck", lambda each: each.get("status", {}).get("containerStatuses"))
    assert "is not running" in await cluster.kubectl("exec", "stuck", "--", "true", check=False)
    assert "not found" in await cluster.kubectl("exec", "nobody", "--", "true", check=False)
    assert "is not valid for pod" in await cluster.kubectl("exec", "stuck", "-c", "x", "--", "true", check=False)


async def test_a_stranger_on_the_nodes_port_gets_neither_logs_nor_commands(cluster: Cluster) -> None:
    await start(cluster, "box")
    false = {"metadata": {"annotations": {"holdfast.dev/serving-certificate-sha256": "ab" * 32}}}
    await cluster.client.merge_patch(NODES, "here", None, false)
    for words in (("exec", "box", "--", "true"), ("logs", "box")):
        assert "another certificate than the node registered" in await cluster.kubectl(*words, check=False)
