"""The dialects this build speaks: their handlers, their kinds, and where on the REST tree all kinds live."""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.cli.connection_password import sealer
from holdfast.cli.zone import local_zone
from holdfast.core.objects import Kind
from holdfast.core.ports import Dialect, Handler
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.antfly.types import KINDS as ANTFLY
from holdfast.dialects.cloudcasa.dialect import CloudCasa
from holdfast.dialects.cloudcasa.types import KINDS as CLOUDCASA
from holdfast.dialects.holdfast.types import KINDS as HOLDFAST
from holdfast.dialects.kubeblocks.dialect import HOME, KubeBlocks
from holdfast.dialects.kubeblocks.types import KINDS as KUBEBLOCKS
from holdfast.dialects.kubestash.dialect import KubeStash
from holdfast.dialects.kubestash.types import KINDS as KUBESTASH
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.dialects.mirantis.types import KINDS as MIRANTIS
from holdfast.kube import builtin
from holdfast.kube.resource import Resource
from holdfast.schema.kind import KindSpec

TITLES: Mapping[str, str] = {
    "antfly": "Antfly",
    "cloudcasa": "CloudCasa",
    "holdfast": "Holdfast",
    "kubeblocks": "KubeBlocks",
    "kubestash": "KubeStash",
    "mirantis": "Mirantis",
}
"""The APIs by folder, as their reference pages are titled."""

KINDS: Mapping[str, Sequence[KindSpec]] = {
    "antfly": ANTFLY,
    "cloudcasa": CLOUDCASA,
    "kubeblocks": KUBEBLOCKS,
    "kubestash": KUBESTASH,
    "mirantis": MIRANTIS,
}
"""The kinds of each API."""

COMMON: Final = "holdfast"
"""The folder of the kinds that belong to no API: they come with the operator whatever it speaks."""

ALL_KINDS: Mapping[str, Sequence[KindSpec]] = {**KINDS, COMMON: HOLDFAST}
"""The kinds of each API, and the common ones."""

OWN_KINDS: frozenset[Kind] = frozenset(Kind(spec.group, spec.kind) for kinds in ALL_KINDS.values() for spec in kinds)
"""Every kind that we define."""


def dialects() -> Sequence[Dialect]:
    """Return every dialect."""
    kubeblocks = KubeBlocks(os.environ.get("CM_NAMESPACE") or HOME, seal=sealer(os.environ))
    return (Antfly(), CloudCasa(), kubeblocks, KubeStash(), Mirantis(local_zone()))


def handlers() -> Sequence[Handler]:
    """Return the handlers of all dialects."""
    return [handler for dialect in dialects() for handler in dialect.handlers]


def resources() -> Mapping[Kind, Resource]:
    """Return the REST mapping of every kind we know: Kubernetes' own and those of the dialects."""
    own = [value for value in vars(builtin).values() if isinstance(value, Resource)]
    found = {Kind(resource.group, resource.kind): resource for resource in own}
    for kinds in ALL_KINDS.values():
        for spec in kinds:
            found[Kind(spec.group, spec.kind)] = resource_of(spec)
    return found


def resource_of(spec: KindSpec) -> Resource:
    """Return the REST mapping of one kind of a dialect."""
    return Resource(spec.group, spec.version, spec.kind, spec.plural, spec.namespaced)
