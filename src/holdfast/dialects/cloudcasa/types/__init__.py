"""The CloudCasa API as types. CRDs, the reference page and the OpenAPI document of the REST API come from here.

Field names, defaults and values are those of the API; every sentence is ours.
"""

from __future__ import annotations

from typing import Final

from holdfast.dialects.cloudcasa.kinds import GROUP, VERSION
from holdfast.dialects.cloudcasa.types import definitions, runs
from holdfast.schema.fields import Wire
from holdfast.schema.kind import AGE, Column, KindSpec

_NAME: Final = Column("Name of document", ".spec.name")
_STATE: Final = Column("State", ".status.state")
_TRIGGER: Final = Column("Trigger", ".spec.trigger_type")


def _kind(plural: str, type_: type[Wire], *columns: Column) -> KindSpec:
    return KindSpec(
        group=GROUP,
        version=VERSION,
        kind=type_.__name__,
        plural=plural,
        type=type_,
        categories=("cloudcasa",),
        columns=(*columns, AGE),
    )


KINDS: Final = (
    _kind("kubeclusters", definitions.Kubecluster, _NAME, _STATE),
    _kind("policies", definitions.Policy, _NAME, Column("Zone", ".spec.timezone")),
    _kind("objectstores", definitions.Objectstore, _NAME, Column("Valid", ".status.validate_state")),
    _kind("kubebackups", runs.Kubebackup, _NAME, _TRIGGER),
    _kind("kubeoffloads", runs.Kubeoffload, _NAME, _TRIGGER, _STATE),
    _kind("kuberestores", runs.Kuberestore, _NAME, _STATE),
    _kind("kubehooks", definitions.Kubehook, _NAME),
    _kind("kubejobs", runs.Kubejob, _NAME, Column("Type", ".spec.type"), _STATE, Column("Message", ".status.message")),
    _kind("backupinstances", runs.Backupinstance, _NAME, Column("Type", ".spec.type"), _STATE),
    _kind("organizations", definitions.Organization),
    _kind("apikeys", definitions.Apikey, _NAME),
    _kind("nameclaims", definitions.Nameclaim, _NAME),
    _kind("bulkwrites", definitions.Bulkwrite),
    _kind("joblogs", runs.Joblog),
)
"""Every kind of the API."""
