"""The collections of the REST API as data: where each lives, what it may refer to, what it lets be done.

REST, validation and links read this table, so that a new field is entered once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast.core.objects import Kind
from holdfast.dialects.cloudcasa.types import KINDS
from holdfast.dialects.cloudcasa.types.common import RestoreRequest, RunRequest
from holdfast.schema.fields import Wire
from holdfast.schema.kind import KindSpec


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """One collection.

    `plural` is its name in paths, `title` the one in links. `references` names the collection behind each field that holds an
    id; the dotted ones lie deeper. `shown` are the fields of the status that stand beside the user's own fields; all others
    stand in `status`. `flat` documents show their whole status beside; `first` is their state until there is
    one. `actions` are what `action/<name>` takes as its body.
    `hashed` and `ordered` fields are indexed: by value, and by order.
    """

    plural: str
    spec: KindSpec
    title: str
    references: Mapping[str, str] = {}
    shown: tuple[str, ...] = ()
    internal: tuple[str, ...] = ()
    flat: bool = False
    first: str = ""
    written: bool = True
    deletable: bool = True
    unique: bool = True
    actions: Mapping[str, type[Wire]] = {}
    hashed: tuple[str, ...] = ("name",)
    ordered: tuple[str, ...] = ("_created", "_updated", "name")

    @property
    def kind(self) -> Kind:
        """The kind of its objects."""
        return Kind(self.spec.group, self.spec.kind)


class NoBody(Wire):
    """The body of an action that takes none."""


_KINDS: Final = {spec.kind: spec for spec in KINDS}
_TIMES: Final = ("_created", "_updated", "name", "start_time", "end_time")

COLLECTIONS: Final[Mapping[str, Collection]] = {
    each.plural: each
    for each in (
        Collection(
            plural="kubeclusters",
            spec=_KINDS["Kubecluster"],
            title="Kubecluster",
            references={"backup_provider.user_objectstore": "objectstores"},
            hashed=("name", "status.state"),
        ),
        Collection(plural="policies", spec=_KINDS["Policy"], title="policy", actions={"suspend": NoBody, "resume": NoBody}),
        Collection(
            plural="objectstores",
            spec=_KINDS["Objectstore"],
            title="Objectstore",
            references={"proxy_cluster_list": "kubeclusters"},
            shown=("validate_state",),
            internal=("probed",),
            hashed=("name", "validate_state", "provider_type", "region", "bucket_name"),
        ),
        Collection(
            plural="kubebackups",
            spec=_KINDS["Kubebackup"],
            title="Kubebackup",
            references={"cluster": "kubeclusters", "policy": "policies", "copydef": "kubeoffloads"},
            shown=("copy_policy",),
            internal=("last_tick", "schedule", "rests"),
            actions={"run": RunRequest},
            hashed=("name", "cluster", "policy", "copydef", "trigger_type"),
        ),
        Collection(
            plural="kubeoffloads",
            spec=_KINDS["Kubeoffload"],
            title="Kubeoffload",
            references={
                "backupdef": "kubebackups",
                "policy": "policies",
                "cluster": "kubeclusters",
                "offload_provider.user_objectstore": "objectstores",
            },
            internal=("last_tick", "schedule", "rests", "next_run_time"),
            actions={"run": RunRequest},
            hashed=("name", "backupdef", "policy", "cluster", "trigger_type", "status.state"),
        ),
        Collection(
            plural="kuberestores",
            spec=_KINDS["Kuberestore"],
            title="Kuberestore",
            references={"cluster": "kubeclusters", "backup_inst": "backupinstances"},
            actions={"run": RestoreRequest},
            hashed=("name", "cluster", "backup_inst", "status.state"),
        ),
        Collection(plural="kubehooks", spec=_KINDS["Kubehook"], title="Kubehook", hashed=("name", "hook_type")),
        Collection(
            plural="jobs",
            spec=_KINDS["Kubejob"],
            title="Job",
            references={
                "cluster": "kubeclusters",
                "backupdef": "kubebackups",
                "restoredef": "kuberestores",
                "copydef": "kubeoffloads",
            },
            flat=True,
            first="PENDING",
            internal=(
                "volumes",
                "options",
                "selection",
                "due",
                "skip",
                "cancel",
                "leftovers",
                "resources_message",
                "missing_namespaces",
                "hooks",
                "hooks_message",
                "hook_rules",
                "hooks_since",
                "restored",
                "snapshots_taken",
                "mappings",
                "overwrite",
                "cluster_resources",
                "cluster_message",
                "snapshot_ids",
            ),
            written=False,
            deletable=False,
            unique=False,
            actions={"cancel": NoBody},
            hashed=("state", "type", "cluster", "backupdef", "copydef", "restoredef", "name"),
            ordered=_TIMES,
        ),
        Collection(
            plural="backupinstances",
            spec=_KINDS["Backupinstance"],
            title="Backupinstance",
            references={"cluster": "kubeclusters", "backupdef": "kubebackups", "objectstore": "objectstores"},
            flat=True,
            first="READY",
            written=False,
            unique=False,
            hashed=("state", "type", "cluster", "backupdef", "objectstore", "name"),
            ordered=(*_TIMES, "expiry_timestamp"),
        ),
    )
}
"""Every collection by its name in paths."""

BY_KIND: Final[Mapping[Kind, Collection]] = {each.kind: each for each in COLLECTIONS.values()}
