"""`/settings`: what an organisation prefers where no document says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.dialects.cloudcasa.kinds import SETTINGS
from holdfast.dialects.cloudcasa.types.definitions import OrganizationSpec
from holdfast.dialects.cloudcasa.validate import provider_problems
from holdfast.kube.errors import ApiError
from holdfast.rest.access import Caller
from holdfast.rest.drafts import body_schema, checked, compiled
from holdfast.rest.errors import RestError, invalid
from holdfast.rest.state import RESOURCES, OrganizationLookup, State
from holdfast.rest.writes import refused

if TYPE_CHECKING:
    from holdfast.rest.server import Route

NAME: Final = "settings"
_SCHEMA: Final = compiled(body_schema(OrganizationSpec))


class SettingsPage:
    """The settings of the caller's organisation."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Mapping[str, Route]:
        """Return the methods of the page."""
        return {"GET": self._get, "PUT": self._put}

    async def _get(self, caller: Caller, body: Any) -> tuple[int, Object | None]:
        return 200, {"name": caller.organization, **self._state.settings(caller.organization)}

    async def _put(self, caller: Caller, body: Any) -> tuple[int, Object | None]:
        if not isinstance(body, dict):
            raise RestError(422, "settings are a JSON object")
        given: Object = {key: value for key, value in cast(Object, body).items() if key != "name" and value != {}}
        fields, issues = checked(_SCHEMA, given)
        issues += provider_problems("backup_provider", fields.get("backup_provider") or {}, self._lookup(caller))
        if issues:
            raise invalid([Problem(issue.field, issue.message) for issue in issues])
        resource = RESOURCES[SETTINGS]
        obj: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": NAME, "namespace": caller.organization},
            "spec": fields,
        }
        try:
            await self._state.client.apply(resource, obj)
        except ApiError as error:
            raise refused(error) from None
        return 200, {"name": caller.organization, **fields, "_status": "OK"}

    def _lookup(self, caller: Caller) -> OrganizationLookup:
        return OrganizationLookup(self._state, caller.organization)
