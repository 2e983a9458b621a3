"""Pod logs: asked of the node that runs the pod, as a real API server asks a kubelet.

The call carries a token that only nodes accept and that lives for a minute. The node proves nothing to us in this version
(its certificate is its own), which is why that token is worthless against the API.
"""

import logging
import ssl
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp

from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError, bad_request, not_found
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.store import Key

_log = logging.getLogger(__name__)
_PASSED = ("follow", "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "timestamps", "previous")
_CONNECT_SECONDS = 10


def container_of(call: Call, pod: Object) -> str:
    """The container that is meant; 400 when there are several and none is named, or none of that name."""
    wanted = call.query.text("container")
    spec, name = pod["spec"], pod["metadata"]["name"]
    first = [item["name"] for item in spec["containers"]]
    known = [*first, *(item["name"] for item in parts(spec, "initContainers"))]
    if wanted and wanted not in known:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    if not wanted and len(first) > 1:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {known}")
    return wanted or first[0]


def log_url(api: Api, call: Call) -> str:
    """The node's URL for the log; 400 while the pod has no node."""
    record = api.store.get(call.key)
    if record is None:
        raise call.missing()
    pod = record.object()
    container = container_of(call, pod)
    node_name = pod["spec"].get("nodeName")
    if not node_name:
        raise bad_request(f'container "{container}" in pod "{record.key.name}" is waiting to start: the pod has no node yet')
    node = api.store.get(Key("/nodes", "", node_name))
    if node is None:
        raise not_found("nodes", "", node_name)
    status = part(node.object(), "status")
    address = next((item["address"] for item in parts(status, "addresses") if item["type"] == "InternalIP"), "")
    port = part(status, "daemonEndpoints", "kubeletEndpoint").get("Port")
    if not address or not port:
        raise StatusError(503, "ServiceUnavailable", f'node "{node_name}" has not said where it serves logs: is it running?')
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}:{port}/containerLogs/{'/'.join(quote(part, safe='') for part in (*record.key[1:], container))}"


async def chunks_of(upstream: aiohttp.ClientResponse, pod: str) -> AsyncIterator[bytes]:
    """The log as it comes; a node that dies meanwhile ends it, since nothing more will come and it can't be taken back."""
    try:
        async for chunk in upstream.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        _log.warning("the log of pod %s ends early: its node broke off (%s: %s)", pod, type(error).__name__, error)


class LogProxy:
    """Holds the client session of one server."""

    def __init__(self, api: Api) -> None:
        self._api = api
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0), timeout=timeout)

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()

    async def open(self, call: Call) -> aiohttp.ClientResponse:
        """The node's answer, its body not yet read; the node's refusals are passed on."""
        url = log_url(self._api, call)
        params = {key: call.query.text(key) for key in _PASSED if call.query.text(key)}
        headers = {"Authorization": f"Bearer {self._api.auth.node_token()}"}
        try:
            response = await self._session.get(url, params=params, headers=headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StatusError(502, "BadGateway", f"the node of pod {call.route.name} does not answer: {error}") from None
        if response.status != 200:
            text = (await response.content.read(4096)).decode(errors="replace").strip()
            response.release()
            raise StatusError(response.status, "BadRequest" if response.status == 400 else "InternalError", text)
        return response
