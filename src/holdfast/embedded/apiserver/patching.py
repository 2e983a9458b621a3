"""PATCH in its four forms, each run against the stored object within one transaction."""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from holdfast.embedded.apiserver.api import Answer, Api, Call
from holdfast.embedded.apiserver.apply import apply
from holdfast.embedded.apiserver.errors import bad_request, unsupported_media
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.patches import json_patch, merge
from holdfast.embedded.apiserver.request import APPLY, JSON_PATCH, MERGE, STRATEGIC
from holdfast.embedded.apiserver.store import Record, Transaction
from holdfast.embedded.apiserver.strategic import strategic
from holdfast.embedded.apiserver.wire import parse_body
from holdfast.embedded.apiserver.writes import alter


async def patch(api: Api, call: Call) -> Answer:
    """PATCH of an object or of its status, by the body's media type; 415 for one that the kind does not support."""
    body = parse_body(call.body, allow_yaml=call.media == APPLY)
    if call.media == APPLY:
        return await _apply(api, call, body)
    change = _change(call, body)

    def run(transaction: Transaction) -> Record:
        return alter(api, call, transaction, change)

    return Answer(await api.store.write(run, dry_run=call.query.dry_run))


async def _apply(api: Api, call: Call, body: Any) -> Answer:
    if not isinstance(body, dict):
        raise bad_request("an applied configuration must be an object")
    config = cast(Object, body)
    if not config.get("apiVersion") or not config.get("kind"):
        raise bad_request("an applied configuration must have apiVersion and kind")
    as_apply = msgspec.structs.replace(call, verb="apply")

    def run(transaction: Transaction) -> tuple[Record, bool]:
        return apply(api, as_apply, transaction, config)

    record, created = await api.store.write(run, dry_run=call.query.dry_run)
    return Answer(record, 201 if created else 200)


def _change(call: Call, body: Any) -> Callable[[Object], Object]:
    if call.media == JSON_PATCH:
        return lambda obj: json_patch(obj, body)
    if not isinstance(body, dict):
        raise bad_request("the patch must be a JSON object")
    stated = cast(Object, body)
    if call.media == MERGE:
        return lambda obj: merge(obj, stated)
    if call.media == STRATEGIC and not call.kind.custom:
        return lambda obj: strategic(call.kind, obj, stated)
    accepted = [MERGE, JSON_PATCH, APPLY] if call.kind.custom else [STRATEGIC, MERGE, JSON_PATCH, APPLY]
    raise unsupported_media(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )
