"""The network of pods as their programs meet it: addresses, Services, names, the machine, and nothing left behind."""

import asyncio
import hashlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.core.objects import Object
from holdfast.kube.builtin import ENDPOINTSLICES, NODES, PODS, SERVICES
from tests.e2e.cluster import Cluster, cluster, eventually
from tests.e2e.test_pods import phase, pod

__all__ = ["cluster"]
pytestmark = [pytest.mark.run, pytest.mark.root]

SERVE = """
import os, socket
here = socket.create_server(("", 8080))
while True:
    peer, _ = here.accept()
    peer.sendall(os.uname().nodename.encode() + b"\\n")
    peer.close()
"""

ASK = """
import json, socket, sys
found = {}
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 3) as there:
            found[place] = there.makefile().readline().strip()
    except OSError as problem:
        found[place] = type(problem).__name__
print(json.dumps(found))
"""


def python(name: str, program: str, *words: str, **fields: Any) -> Object:
    made = pod(name, "true", **fields)
    made["spec"]["containers"][0]["command"] = ["/usr/bin/python3", "-c", program, *words]
    return made


def server(name: str, **fields: Any) -> Object:
    made = python(name, SERVE, terminationGracePeriodSeconds=0, **fields)
    made["metadata"]["labels"] = {"app": "web"}
    return made


def service(name: str, **spec: Any) -> Object:
    meta = {"name": name, "namespace": "default"}
    plain = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**plain, **spec}}


async def asked(cluster: Cluster, name: str, *places: str, **fields: Any) -> dict[str, str]:
    """Run a pod that connects to places, and return what it heard there."""
    await cluster.apply(python(name, ASK, *places, **fields))
    await cluster.until(PODS, name, phase("Succeeded"))
    return json.loads(await cluster.log(name))


async def ready(cluster: Cluster, name: str, count: int) -> Object:
    return await cluster.until(
        ENDPOINTSLICES,
        name,
        lambda each: [end["conditions"]["ready"] for end in each.get("endpoints") or []].count(True) == count,
    )


def links(cluster: Cluster) -> list[str]:
    """The cables of this cluster's node into the machine."""
    key = hashlib.sha256(str(cluster.directory / "node").encode()).hexdigest()
    return [name for _, name in socket.if_nameindex() if name.startswith(f"hf{key[:6]}")]


async def test_two_pods_serve_on_one_port_and_are_reached_by_all_their_names(cluster: Cluster) -> None:
    first = server("one", hostname="one", subdomain="flat")
    await cluster.apply(service("web"), service("flat", clusterIP="None"), first, server("two"))
    await ready(cluster, "web", 2)
    address = (await cluster.client.get(PODS, "one", "default"))["status"]["podIP"]
    official = (await cluster.client.get(SERVICES, "web", "default"))["spec"]["clusterIP"]
    assert address != (await cluster.client.get(PODS, "two", "default"))["status"]["podIP"]
    names = ["web:80", "web.default:80", "web.default.svc:80", "web.default.svc.cluster.local:80", f"{official}:80"]
    heard = await asked(cluster, "ask", f"{address}:8080", "one.flat:8080", "flat:8080", "nobody:80", "web:81", *names)
    assert (heard.pop(f"{address}:8080"), heard.pop("one.flat:8080")) == ("one", "one")
    assert (heard.pop("nobody:80"), heard.pop("web:81")) == ("gaierror", "ConnectionRefusedError")
    assert set(heard.values()) <= {"one", "two"}
    assert await asyncio.to_thread(_hear, address, 8080) == "one"  # the machine reaches pods too


async def test_a_pod_reaches_itself_through_its_service_and_a_sidecar_on_localhost(cluster: Cluster) -> None:
    await cluster.apply(service("web"), server("one"))
    await ready(cluster, "web", 1)
    out = await cluster.kubectl("exec", "one", "--", "/usr/bin/python3", "-c", ASK, "web:80", "localhost:8080", "one:8080")
    assert json.loads(out) == {"web:80": "one", "localhost:8080": "one", "one:8080": "one"}


async def test_an_unready_pod_gets_no_traffic_until_it_is_ready(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    await cluster.apply(service("web"), server("late", container={"readinessProbe": probe}))
    found = await cluster.until(ENDPOINTSLICES, "web", lambda each: each.get("endpoints"))
    assert found["endpoints"][0]["conditions"]["ready"] is False
    assert await asked(cluster, "early", "web:80") == {"web:80": "ConnectionRefusedError"}
    await cluster.kubectl("exec", "late", "--", "touch", "/tmp/ready")
    await ready(cluster, "web", 1)
    assert await asked(cluster, "later", "web:80") == {"web:80": "late"}
    await cluster.kubectl("delete", "pod", "late")
    await cluster.gone(ENDPOINTSLICES, "web")
    assert await asked(cluster, "after", "web:80") == {"web:80": "ConnectionRefusedError"}


async def test_the_machine_and_its_own_loopback_are_reached_and_not_by_accident(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as here:
        port = here.getsockname()[1]
        answering = asyncio.create_task(asyncio.to_thread(_answer, here, 2))
        inside = await asked(cluster, "inside", f"host.holdfast.internal:{port}", f"127.0.0.1:{port}")
        assert inside == {f"host.holdfast.internal:{port}": "hello", f"127.0.0.1:{port}": "ConnectionRefusedError"}
        outside = await asked(cluster, "outside", f"127.0.0.1:{port}", hostNetwork=True)
        assert outside == {f"127.0.0.1:{port}": "hello"}
        await answering


MUCH = """
import hashlib, socket, sys
data = bytes(range(256)) * 40_000
with socket.create_connection(("host.holdfast.internal", int(sys.argv[1])), 10) as there:
    there.sendall(data)
    there.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: there.recv(1 << 16), b""))
print(answer == data[::-1])
"""


async def test_what_goes_through_the_proxy_arrives_whole_also_after_one_side_has_ended(cluster: Cluster) -> None:
    def reverse(here: socket.socket) -> None:
        here.settimeout(15)
        peer, _ = here.accept()
        with peer:
            peer.sendall(b"".join(iter(lambda: peer.recv(1 << 16), b""))[::-1])

    with socket.create_server(("127.0.0.1", 0)) as here:
        answering = asyncio.create_task(asyncio.to_thread(reverse, here))
        await cluster.apply(python("much", MUCH, str(here.getsockname()[1])))
        await cluster.until(PODS, "much", phase("Succeeded"))
        await answering
    assert await cluster.log("much") == "True\n"


async def test_a_pod_knows_its_addresses_and_its_own_names(cluster: Cluster) -> None:
    refs = {"POD_IP": "status.podIP", "HOST_IP": "status.hostIP"}
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in refs.items()]
    config = {"nameservers": ["192.0.2.53"], "searches": ["example.test"], "options": [{"name": "timeout", "value": "1"}]}
    script = "echo $POD_IP $HOST_IP; cat /etc/hosts /etc/resolv.conf"
    alias = [{"ip": "192.0.2.9", "hostnames": ["legacy", "legacy.test"]}]
    await cluster.apply(pod("who", script, container={"env": env}, hostAliases=alias, dnsPolicy="None", dnsConfig=config))
    found = await cluster.until(PODS, "who", phase("Succeeded"))
    lines = (await cluster.log("who")).splitlines()
    status = found["status"]
    assert lines[0] == f"{status['podIP']} {status['hostIP']}"
    assert f"{status['podIP']}\twho" in lines
    assert "192.0.2.9\tlegacy legacy.test" in lines
    assert lines[-3:] == ["nameserver 192.0.2.53", "search example.test", "options timeout:1"]
    node = await cluster.client.get(NODES, "here")
    network = next(each for each in node["status"]["conditions"] if each["type"] == "PodNetwork")
    assert (network["status"], network["reason"]) == ("True", "OwnNamespaces")


async def test_a_killed_node_leaves_no_link_and_no_namespace(cluster: Cluster) -> None:
    await cluster.stop_part("node")
    await eventually(lambda: not links(cluster))
    arguments = [str(cluster.server.kubeconfig_path), str(cluster.directory / "node")]
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.node_process", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert node.stdout is not None
    assert await node.stdout.readline() == b"ready\n"
    await cluster.apply(server("one"))
    await cluster.until(PODS, "one", phase("Running"))
    inside = await cluster.kubectl("exec", "one", "--", "readlink", "/proc/self/ns/net")
    assert len(links(cluster)) == 1
    assert inside.strip() in _namespaces()
    node.kill()
    await node.wait()
    await eventually(lambda: not links(cluster) and inside.strip() not in _namespaces())
    await cluster.start_node()
    await cluster.until(PODS, "one", phase("Failed"))
    await cluster.apply(service("web"), server("again"))
    await ready(cluster, "web", 1)
    assert await asked(cluster, "ask", "web:80") == {"web:80": "again"}


def _hear(host: str, port: int) -> str:
    with socket.create_connection((host, port), 5) as there:
        return there.makefile().readline().strip()


def _answer(here: socket.socket, times: int) -> None:
    here.settimeout(15)
    for _ in range(times):
        peer, _ = here.accept()
        peer.sendall(b"hello\n")
        peer.close()


def _namespaces() -> set[str]:
    """The network namespaces that any process of the machine is in."""
    found: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(os.readlink(path))
        except OSError:
            continue
    return found
