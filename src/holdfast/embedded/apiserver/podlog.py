"""Pod logs: asked of the node that runs the pod, as a real API server asks a kubelet.

The call carries a token that only nodes accept and that lives for a minute; the node is known by its certificate's fingerprint.
"""

import logging
from collections.abc import AsyncIterator

import aiohttp

from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.podnode import CONNECT_SECONDS, pod_end

_log = logging.getLogger(__name__)
_PASSED = ("follow", "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "timestamps", "previous", "stream")


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
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)

    async def close(self) -> None:
        """Close the session."""
        await self.session.close()

    async def open(self, call: Call) -> aiohttp.ClientResponse:
        """The node's answer, its body not yet read; the node's refusals are passed on."""
        end = pod_end(self._api, call)
        params = {key: call.query.text(key) for key in _PASSED if call.query.text(key)}
        headers = {"Authorization": f"Bearer {self._api.auth.node_token()}"}
        try:
            response = await self.session.get(end.url("containerLogs"), params=params, headers=headers, ssl=end.node.pinned())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unanswered(call, error) from None
        if response.status != 200:
            text = (await response.content.read(4096)).decode(errors="replace").strip()
            response.release()
            raise refused(response.status, text)
        return response


def unanswered(call: Call, error: Exception) -> StatusError:
    """502 for a node that can't be reached, or is not the one that registered."""
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        why = "what listens at its address has another certificate than the node registered"
    else:
        why = f"{type(error).__name__}: {error}" if not str(error) else str(error)
    return StatusError(502, "BadGateway", f"the node of pod {call.route.name} does not answer: {why}")


def refused(code: int, text: str) -> StatusError:
    """Return the refusal of a node as one of ours."""
    return StatusError(code, {400: "BadRequest", 404: "NotFound"}.get(code, "InternalError"), text)
