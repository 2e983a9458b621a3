"""The files by which a container finds names: /etc/hosts, /etc/resolv.conf and the order in which both are asked. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.node.network.services import DOMAIN
from holdfast.embedded.read import items, mapping

NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
"""Files first, then DNS: what else a desktop asks (mDNS, systemd) is not there in a sandbox."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod's files are made of. `api` is the address that stands for the API server, empty where none does."""

    address: str
    hostname: str
    name_server: str
    api: str = ""
    machine_resolv: str = ""


def hosts(pod: Object, around: Surroundings) -> str:
    """Return /etc/hosts of a pod."""
    names = [around.hostname]
    if subdomain := pod["spec"].get("subdomain"):
        names.insert(0, f"{around.hostname}.{subdomain}.{pod['metadata']['namespace']}.svc.{DOMAIN}")
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", f"{around.address}\t{' '.join(names)}"]
    if around.api:
        lines.append(f"{around.api}\tkubernetes.default.svc kubernetes.default.svc.{DOMAIN}")
    lines += [f"{each['ip']}\t{' '.join(items(each, 'hostnames'))}" for each in items(pod["spec"], "hostAliases")]
    return "\n".join(lines) + "\n"


def resolv(pod: Object, around: Surroundings) -> str:
    """Return /etc/resolv.conf of a pod, by its dnsPolicy and dnsConfig."""
    spec: Mapping[str, Any] = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    if policy == "Default" or not around.name_server:
        servers, searches, options = _parsed(around.machine_resolv)
    elif policy != "None":
        namespace = pod["metadata"]["namespace"]
        searches = [f"{namespace}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN, *_parsed(around.machine_resolv)[1]]
        servers, options = [around.name_server], {"ndots": "5"}
    config = mapping(spec, "dnsConfig")
    servers += items(config, "nameservers")
    searches += items(config, "searches")
    options |= {each["name"]: str(each.get("value") or "") for each in items(config, "options")}
    lines = [f"nameserver {each}" for each in dict.fromkeys(servers)]
    if searches:
        lines.append(f"search {' '.join(dict.fromkeys(searches))}")
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    return "\n".join(lines) + "\n"


def _parsed(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Return servers, search domains and options of a resolv.conf."""
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for words in (line.split() for line in text.splitlines()):
        rest: Sequence[str] = words[1:]
        match words[:1]:
            case ["nameserver"]:
                servers += rest[:1]
            case ["search"] | ["domain"]:
                searches = list(rest)
            case ["options"]:
                options |= {name: value for name, _, value in (word.partition(":") for word in rest)}
            case _:
                pass
    return servers, searches, options
