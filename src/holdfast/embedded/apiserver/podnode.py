"""From a pod to the node that runs it: where the node's endpoint is, and by which certificate it is known.

A node makes its certificate at each start and publishes the certificate's SHA-256 on its Node object. Whoever may write that
object is the node as far as this server can know; anybody else who listens at the address is turned away by the fingerprint.
"""

import binascii
from urllib.parse import quote

import aiohttp
import msgspec

from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError, bad_request, not_found
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.store import Key

FINGERPRINT = "holdfast.dev/serving-certificate-sha256"
"""The annotation of a Node that holds the fingerprint of its endpoint's certificate, in hexadecimal digits."""

CONNECT_SECONDS = 10


class NodeEnd(msgspec.Struct, frozen=True):
    """The endpoint of a node: `base` is `https://host:port`, `fingerprint` the SHA-256 of its certificate."""

    base: str
    fingerprint: bytes

    def pinned(self) -> aiohttp.Fingerprint:
        """Return what makes aiohttp accept this certificate and no other."""
        return aiohttp.Fingerprint(self.fingerprint)


class PodEnd(msgspec.Struct, frozen=True):
    """A container and the node that runs it."""

    node: NodeEnd
    pod: Object
    container: str

    def url(self, verb: str) -> str:
        """Return the node's URL for `containerLogs`, `exec` or `attach` of the container, or `portforward` of the pod."""
        meta = self.pod["metadata"]
        words = [verb, meta["namespace"], meta["name"], self.container]
        if verb == "portforward":
            words = ["portForward", *words[1:3]]
        return f"{self.node.base}/{'/'.join(quote(word, safe='') for word in words)}"


def pod_end(api: Api, call: Call) -> PodEnd:
    """Find the container that a request means and its node. Raises StatusError: 404, 400 while there is no node, 503."""
    record = api.store.get(call.key)
    if record is None:
        raise call.missing()
    pod = record.object()
    container = "" if call.route.sub == "portforward" else container_of(call, pod)
    name = pod["spec"].get("nodeName")
    if not name:
        what = f'container "{container}" in pod' if container else "pod"
        raise bad_request(f'{what} "{record.key.name}" is waiting to start: the pod has no node yet')
    return PodEnd(_node_end(api, name), pod, container)


def container_of(call: Call, pod: Object) -> str:
    """Return the container that is meant; 400 when there are several and none is named, or none of that name."""
    wanted = call.query.text("container")
    spec, name = pod["spec"], pod["metadata"]["name"]
    first = [item["name"] for item in spec["containers"]]
    known = [*first, *(item["name"] for item in parts(spec, "initContainers"))]
    if wanted and wanted not in known:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if not wanted and len(first) > 1:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {known}")
    return wanted or first[0]


def _node_end(api: Api, name: str) -> NodeEnd:
    record = api.store.get(Key("/nodes", "", name))
    if record is None:
        raise not_found("nodes", "", name)
    node = record.object()
    status = part(node, "status")
    address = next((item["address"] for item in parts(status, "addresses") if item["type"] == "InternalIP"), "")
    port = part(status, "daemonEndpoints", "kubeletEndpoint").get("Port")
    if not address or not port:
        raise StatusError(503, "ServiceUnavailable", f'node "{name}" has not said where it serves logs: is it running?')
    try:
        fingerprint = binascii.unhexlify(str(part(node, "metadata", "annotations").get(FINGERPRINT, "")))
    except ValueError:
        fingerprint = b""
    if len(fingerprint) != 32:
        raise StatusError(
            503,
            "ServiceUnavailable",
            f'node "{name}" has no fingerprint of its certificate in annotation {FINGERPRINT}, so nothing is sent to it:'
            " start its `holdfast node` again",
        )
    return NodeEnd(f"https://{f'[{address}]' if ':' in address else address}:{port}", fingerprint)
