"""`/apikeys`: made by an administrator, shown once, listed without their secret, revoked by deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import namespace_of, number, strings, text
from holdfast.dialects.cloudcasa.kinds import APIKEY
from holdfast.kube.errors import ApiError, NotFound
from holdfast.rest import keys
from holdfast.rest.access import Caller
from holdfast.rest.errors import RestError, invalid, not_found
from holdfast.rest.state import RESOURCES, State
from holdfast.rest.writes import refused

if TYPE_CHECKING:
    from holdfast.rest.server import Route

_FIELDS: Final = ("name", "roles", "expires")


class ApikeyPages:
    """The list of keys, and each key."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self, rest: list[str]) -> Mapping[str, Route]:
        """Return the methods of `/apikeys` or of `/apikeys/<id>`."""
        if not rest:
            return {"GET": self._list, "POST": self._create}
        if len(rest) > 1:
            raise RestError(404, "an API key has nothing below it")

        async def get(caller: Caller, body: Any) -> tuple[int, Object | None]:
            return 200, keys.shown(self._find(caller, rest[0]))

        async def delete(caller: Caller, body: Any) -> tuple[int, Object | None]:
            await self._revoke(caller, rest[0])
            return 204, None

        return {"GET": get, "DELETE": delete}

    async def _list(self, caller: Caller, body: Any) -> tuple[int, Object | None]:
        found = sorted(self._state.keys(caller.organization), key=lambda obj: text(obj, "spec", "name"))
        items = [keys.shown(obj) for obj in found]
        return 200, {"_items": items, "_meta": {"page": 1, "max_results": len(items), "total": len(items)}}

    async def _create(self, caller: Caller, body: Any) -> tuple[int, Object | None]:
        fields = self._checked(body)
        now = self._state.clock()
        if keys.active(self._state.keys(caller.organization), now) >= keys.MOST:
            raise RestError(422, f"an organisation has {keys.MOST} active keys at most: revoke one first")
        made = keys.make(caller.organization, text(fields, "name"), strings(fields, "roles"), number(fields, "expires"))
        try:
            obj = await self._state.client.create(RESOURCES[APIKEY], made.object)
        except ApiError as error:
            raise refused(error) from None
        self._state.wrote(obj)
        return 201, {**keys.shown(obj), "key": made.key, "_status": "OK"}

    def _checked(self, body: Any) -> Object:
        if not isinstance(body, dict):
            raise RestError(422, "a key is described by a JSON object")
        given = cast(Object, body)
        found = [Problem(name, "unknown field") for name in given if name not in _FIELDS]
        if not text(given, "name"):
            found.append(Problem("name", "required field"))
        roles = strings(given, "roles")
        if not roles or set(roles) - set(keys.ROLES) or roles != given.get("roles"):
            found.append(Problem("roles", f"must be a list of some of {', '.join(keys.ROLES)}"))
        expires = given.get("expires")
        if expires is not None and (number(given, "expires") or 0) <= self._state.clock():
            found.append(Problem("expires", "must be Unix seconds that are still to come"))
        if found:
            raise invalid(found)
        return given

    def _find(self, caller: Caller, ident: str) -> Object:
        found = self._state.key(ident)
        if found is None or namespace_of(found) != caller.organization:
            raise not_found("apikeys", ident)
        return found

    async def _revoke(self, caller: Caller, ident: str) -> None:
        obj = self._find(caller, ident)
        try:
            await self._state.client.delete(RESOURCES[APIKEY], ident, caller.organization)
        except NotFound:
            pass
        except ApiError as error:
            raise refused(error) from None
        self._state.removed(obj)
