"""PATCH in its four forms, each run against the stored object within one transaction."""

from collections.abc import Callable
from typing import Any

from holdfast.embedded.apiserver.api import Answer, Api, Call
from holdfast.embedded.apiserver.errors import Object, bad_request, unsupported_media
from holdfast.embedded.apiserver.patches import json_patch, merge
from holdfast.embedded.apiserver.request import APPLY, JSON_PATCH, MERGE, STRATEGIC
from holdfast.embedded.apiserver.store import Record, Transaction
from holdfast.embedded.apiserver.strategic import strategic
from holdfast.embedded.apiserver.wire import parse_body
from holdfast.embedded.apiserver.writes import alter


async def patch(api: Api, call: Call) -> Answer:
    """PATCH of an object or of its status, by the body's media type; 415 for one that the kind does not support."""
    body = parse_body(call.body, allow_yaml=call.media == APPLY)
    change = _change(call, body)

    def run(transaction: Transaction) -> Record:
        return alter(api, call, transaction, change)

    return Answer(await api.store.write(run, dry_run=call.query.dry_run))


def _change(call: Call, body: Any) -> Callable[[Object], Object]:
    if call.media == JSON_PATCH:
        return lambda obj: json_patch(obj, body)
    if not isinstance(body, dict):
        raise bad_request("the patch must be a JSON object")
    if call.media == MERGE:
        return lambda obj: merge(obj, body)
    if call.media == STRATEGIC and not call.kind.custom:
        return lambda obj: strategic(call.kind, obj, body)
    accepted = [MERGE, JSON_PATCH, APPLY] if call.kind.custom else [STRATEGIC, MERGE, JSON_PATCH, APPLY]
    raise unsupported_media(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )
