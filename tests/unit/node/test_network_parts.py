"""The pure parts of the network of pods: which block, which rules, what names mean, and what DNS messages look like."""

import asyncio
import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from holdfast.core.objects import Object
from holdfast.embedded.node.network import etc, names, subnet
from holdfast.embedded.node.network.etc import Surroundings
from holdfast.embedded.node.network.names import NameServer, parse
from holdfast.embedded.node.network.rules import ruleset
from holdfast.embedded.node.network.services import Names, Services
from holdfast.embedded.node.network.subnet import Subnet

NET = Subnet(IPv4Network("10.64.16.0/20"))
MACHINE = str(NET.machine)


def service(name: str, **spec: Any) -> Object:
    plain = {"clusterIP": "10.96.0.20", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    return {"metadata": {"namespace": "demo", "name": name}, "spec": {**plain, **spec}}


def endpoints(name: str, *addresses: str, ready: bool = True, **fields: Any) -> Object:
    meta = {"namespace": "demo", "name": name, "labels": {"kubernetes.io/service-name": name}}
    each = [{"addresses": [address], "conditions": {"ready": ready}, **fields} for address in addresses]
    return {"metadata": meta, "endpoints": each, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def found(answer: bytes) -> tuple[int, list[str]]:
    """The code and the addresses of an answer whose records all have the question's name."""
    _, flags, _, count, _, _ = struct.unpack_from("!6H", answer)
    addresses = [str(IPv4Address(answer[-16 * number + 12 :][:4])) for number in range(count, 0, -1)]
    return flags & 15, addresses


def test_a_block_is_kept_when_it_is_free_and_left_when_the_machine_has_a_way_into_it() -> None:
    first = subnet.choose("abc", [IPv4Network("192.0.2.0/24")])
    assert subnet.choose("abc", [IPv4Network("10.200.0.0/16")]) == first
    second = subnet.choose("abc", [first.network.supernet(new_prefix=18)])
    assert not second.network.overlaps(first.network)
    with pytest.raises(OSError, match="no network of"):
        subnet.choose("abc", [IPv4Network("10.0.0.0/8")])


def test_a_service_forwards_to_its_ready_endpoints_and_refuses_without_any() -> None:
    view = Services(NET)
    view.update([service("web"), service("idle", clusterIP="10.96.0.21")], [endpoints("web", "10.64.16.9", "10.64.16.4")])
    rules = ruleset(NET, 15001, view.forwards(), view.addresses())
    targets = "map { 0 : 10.64.16.4 . 8080, 1 : 10.64.16.9 . 8080 }"
    assert f"ip daddr 10.96.0.20 tcp dport 80 dnat to numgen random mod 2 {targets}" in rules
    assert "10.96.0.21 tcp dport" not in rules
    assert "10.96.0.21" in next(line for line in rules.splitlines() if line.startswith("set services"))
    view.update([service("web")], [endpoints("web", "10.64.16.4", ready=False)])
    assert "10.96.0.20 tcp dport" not in ruleset(NET, 15001, view.forwards(), view.addresses())


def test_names_mean_what_they_mean_in_a_cluster() -> None:
    view = Services(NET)
    headless = service("db", clusterIP="None")
    outside = service("ext", clusterIP="", type="ExternalName", externalName="db.example.test")
    view.update(
        [service("web"), headless, outside],
        [endpoints("web", "10.64.16.4"), endpoints("db", "10.64.16.5", hostname="db-0")],
    )
    assert view.resolve("web.demo.svc.cluster.local") == Names((IPv4Address("10.96.0.20"),))
    own = view.resolve("web.demo.svc.cluster.local", machine=True)
    assert own is not None
    assert own.addresses[0] in NET.services
    assert view.resolve("db.demo.svc.cluster.local") == Names((IPv4Address("10.64.16.5"),))
    assert view.resolve("db-0.db.demo.svc.cluster.local") == Names((IPv4Address("10.64.16.5"),))
    assert view.resolve("db-1.db.demo.svc.cluster.local") is None
    assert view.resolve("web.other.svc.cluster.local") is None
    assert view.resolve("10-64-16-5.demo.pod.cluster.local") == Names((IPv4Address("10.64.16.5"),))
    assert view.resolve("ext.demo.svc.cluster.local") == Names(alias="db.example.test")


def test_a_service_keeps_its_place_while_others_come_and_go() -> None:
    view = Services(NET)
    view.update([service("web")], [])
    before = view.resolve("web.demo.svc.cluster.local", machine=True)
    view.update([service("a"), service("web"), service("z")], [])
    assert view.resolve("web.demo.svc.cluster.local", machine=True) == before


async def test_questions_for_the_cluster_are_answered_here() -> None:
    def resolve(name: str, machine: bool) -> Names | None:
        return {"web.demo.svc.cluster.local": Names((IPv4Address("10.96.0.20"), IPv4Address("10.96.0.22")))}.get(name)

    server = NameServer(resolve, MACHINE, upstream=[])
    answer = await server.answer(query("WEB.demo.svc.cluster.local"), "10.64.16.7")
    assert answer is not None
    assert answer[:2] == struct.pack("!H", 77)
    assert found(answer) == (0, ["10.96.0.20", "10.96.0.22"])
    for kind, code, name in (
        (28, 0, "web.demo.svc.cluster.local"),
        (1, 3, "no.demo.svc.cluster.local"),
        (1, 2, "example.test"),
    ):
        answer = await server.answer(query(name, kind), "10.64.16.7")
        assert answer is not None
        assert found(answer) == (code, [])


async def test_other_questions_go_to_the_machines_servers_and_a_dead_one_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        monkeypatch.setattr(names, "PORT", upstream.getsockname()[1])
        monkeypatch.setattr(names, "PATIENCE", 0.3)

        def serve() -> None:
            upstream.settimeout(5)
            asked, sender = upstream.recvfrom(512)
            question = parse(asked)
            assert question is not None
            upstream.sendto(names.reply(asked, question, Names((IPv4Address("192.0.2.80"),))), sender)

        serving = asyncio.create_task(asyncio.to_thread(serve))
        server = NameServer(lambda *_: None, MACHINE, upstream=["127.0.0.2", "127.0.0.1"])
        answer = await server.answer(query("example.test"), "10.64.16.7")
        await serving
    assert answer is not None
    assert found(answer) == (0, ["192.0.2.80"])


@pytest.mark.parametrize(
    "message", [b"", b"\0" * 12, query("a.b")[:-3], query("a.b")[:14], b"\xff" * 40, query("a.b")[:2] + b"\x81"]
)
def test_what_is_no_question_is_passed_over(message: bytes) -> None:
    assert parse(message) is None


def test_a_resolver_file_follows_policy_and_config() -> None:
    around = Surroundings(
        address="10.64.16.4", hostname="p", name_server="10.64.16.1", machine_resolv="nameserver 192.0.2.53\nsearch corp.test\n"
    )

    def resolv(**spec: Any) -> list[str]:
        return etc.resolv({"metadata": {"namespace": "demo"}, "spec": spec}, around).splitlines()

    searches = "search demo.svc.cluster.local svc.cluster.local cluster.local corp.test"
    assert resolv() == ["nameserver 10.64.16.1", searches, "options ndots:5"]
    assert resolv(dnsPolicy="Default") == ["nameserver 192.0.2.53", "search corp.test"]
    config = {"options": [{"name": "ndots", "value": "2"}], "nameservers": ["192.0.2.1"]}
    assert resolv(dnsConfig=config) == ["nameserver 10.64.16.1", "nameserver 192.0.2.1", searches, "options ndots:2"]
