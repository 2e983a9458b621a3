"""Defaults of Services and of the kinds around them. The words are the API reference's."""

from holdfast.embedded.apiserver.objects import Object, lookup, parts
from holdfast.embedded.apiserver.pod_defaults import child, set_missing

_AFFINITY_SECONDS = 10800
_OUTSIDE = ("NodePort", "LoadBalancer")


def service(obj: Object) -> None:
    """A Service's type, ports, policies and address families. Addresses and ports of nodes are given where it is stored."""
    spec = child(obj, "spec")
    set_missing(spec, type="ClusterIP", sessionAffinity="None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif lookup(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds") is None:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}
    for port in parts(spec, "ports"):
        set_missing(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] == "ExternalName":
        return
    set_missing(spec, internalTrafficPolicy="Cluster", ipFamilyPolicy="SingleStack")
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = ["IPv4"]
    if spec["type"] in _OUTSIDE or spec.get("externalIPs"):
        set_missing(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        set_missing(spec, allocateLoadBalancerNodePorts=True)


def endpoints(obj: Object) -> None:
    """The protocol of the ports."""
    for subset in parts(obj, "subsets"):
        for port in parts(subset, "ports"):
            set_missing(port, protocol="TCP")


def endpoint_slice(obj: Object) -> None:
    """The name, which may be empty, and the protocol of the ports."""
    for port in parts(obj, "ports"):
        port.setdefault("name", "")
        set_missing(port, protocol="TCP")


def policy(obj: Object) -> None:
    """The protocol of a NetworkPolicy's ports, and which directions it is about: egress only when it has rules for it."""
    spec = child(obj, "spec")
    for way in ("ingress", "egress"):
        for rule in parts(spec, way):
            for port in parts(rule, "ports"):
                set_missing(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
