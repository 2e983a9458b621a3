"""What is particular about objectstores: keys that must be given, a probe before one is taken, the providers there are.

The probe is handed in, since this package knows no store. A private store is not probed here: only clusters reach it, and the
engine probes it from there, as it does with every store later on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import mapping, text
from holdfast.dialects.cloudcasa.resources import Collection
from holdfast.rest.drafts import draft, merged
from holdfast.rest.errors import invalid
from holdfast.rest.state import OrganizationLookup, State

PROBE_PATIENCE = 20.0
"""Seconds a store has to answer the probe."""

Probe = Callable[[Object, Mapping[str, str]], str]
"""Tries a store: its fields and credentials in, what is wrong with it out, empty when it works. It may block."""

_NEEDED = {"aws": ("access_key", "secret_key"), "azure": ("client_id", "client_secret", "subscription_id", "tenant_id")}


class Objectstores:
    """Judges objectstores before they are written."""

    def __init__(self, state: State, probe: Probe | None = None) -> None:
        self._state, self._probe = state, probe

    async def check(self, organization: str, collection: Collection, body: Any, ident: str, *, patch: bool = False) -> None:
        """Judge a body; anything but an objectstore passes. `ident` is the one it changes. Raises RestError 422."""
        if collection.plural != "objectstores" or not isinstance(body, dict):
            return
        fields = cast(Object, body)
        if ident and not mapping(fields, "s3provider", "credentials"):
            return  # the keys that are there stay, and what uses them says whether they still fit
        entry = self._state.find(organization, collection.plural, ident)
        if patch and entry is not None:
            fields = merged(mapping(entry.obj, "spec"), fields)
        spec = draft(collection, fields, OrganizationLookup(self._state, organization), ident=ident)
        credentials = mapping(spec, "s3provider", "credentials")
        lacking = [name for name in _NEEDED[text(spec, "provider_type")] if not text(credentials, name)]
        if lacking:
            raise invalid([Problem(f"s3provider.credentials.{name}", "required field") for name in lacking])
        if self._probe is None or spec.get("private"):
            return
        given = {name: str(value) for name, value in credentials.items()}
        try:
            async with asyncio.timeout(PROBE_PATIENCE):
                wrong = await asyncio.to_thread(self._probe, spec, given)
        except TimeoutError:
            wrong = f"did not answer within {PROBE_PATIENCE:g} s"
        if wrong:
            raise invalid([Problem("s3provider", f"the target can't be used: {wrong}")])

    def providers(self, organization: str) -> Object:
        """Return the providers with the regions that the organisation's own stores have."""
        regions: dict[str, set[str]] = {"aws": set(), "azure": set()}
        for entry in self._state.index(organization, "objectstores").all():
            if region := text(entry.document, "region"):
                regions[text(entry.document, "provider_type")].add(region)
        return {"_items": [{"provider": name, "regions": sorted(found)} for name, found in regions.items()]}
