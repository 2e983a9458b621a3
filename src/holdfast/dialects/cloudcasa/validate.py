"""What a document must be beyond its schema. Shared by REST, by admission and by every pass over an object.

A problem names the field as the document has it. Whether a referred document exists is asked of whoever calls, through
`Lookup`: REST looks into its indexes, admission into the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, cast

from holdfast.core.cron import VIXIE, Cron, CronError
from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import flag, items, mapping, strings, text
from holdfast.core.times import parse_duration
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection

_PARTS: Final = (("minute", "0"), ("hour", "0"), ("dayOfMonth", "*"), ("month", "*"), ("dayOfWeek", "*"))

_REASON: Final = "ValidationFailed"


class Lookup(Protocol):
    """Finds documents of the same organisation."""

    def spec_of(self, plural: str, ident: str) -> Object | None:
        """Return the user's fields of a document, or None when there is none."""
        ...


def problems(collection: Collection, spec: Object, old: Object | None, lookup: Lookup) -> list[Problem]:
    """Judge the user's fields of a document; `old` are those that it replaces."""
    found = [*_references(collection, spec, lookup)]
    rule = _RULES.get(collection.plural)
    if rule is not None:
        found += rule(spec, old, lookup)
    return found


def crons(policy: Object) -> Iterator[Cron]:
    """Yield the parsed schedules of a policy, in order. Raises CronError."""
    for entry in items(policy, "schedules"):
        yield Cron.parse(expression(mapping(entry, "schedule")), grammar=VIXIE, zone=text(policy, "timezone", default="UTC"))


def expression(schedule: Object) -> str:
    """Return the five cron fields of a schedule, which `cronSpec` gives whole and the parts one by one."""
    whole = text(schedule, "cronSpec")
    return whole or " ".join(text(schedule, name, default=default) for name, default in _PARTS)


def selected(spec: Object) -> str:
    """Return why a selection of namespaces chooses none; empty when it chooses some."""
    if flag(spec, "all_namespaces") or strings(spec, "namespaces"):
        return ""
    return "chooses nothing: set all_namespaces, or name namespaces"


def provider_problems(field: str, provider: Object, lookup: Lookup) -> list[Problem]:
    """Judge a preferred target by itself, and that its objectstore exists."""
    found = list(_provider(field, provider))
    ident = text(provider, "user_objectstore")
    if ident and lookup.spec_of("objectstores", ident) is None:
        found.append(Problem(f"{field}.user_objectstore", f"no objectstore {ident} exists", _REASON))
    return found


def _references(collection: Collection, spec: Object, lookup: Lookup) -> Iterator[Problem]:
    for field, target in collection.references.items():
        found: Any = spec
        for part in field.split("."):
            found = cast("Object", found).get(part) if isinstance(found, dict) else None
        for ident in cast("list[Any]", found if isinstance(found, list) else [found]):
            if isinstance(ident, str) and lookup.spec_of(target, ident) is None:
                title = COLLECTIONS[target].title
                yield Problem(
                    field, f"value '{ident}' must exist in resource '{target}', field '_id': no such {title}", _REASON
                )


def _provider(field: str, provider: Object) -> Iterator[Problem]:
    named, typed = bool(text(provider, "user_objectstore")), bool(text(provider, "type"))
    region = bool(text(provider, "region"))
    if named and (typed or region):
        yield Problem(field, "user_objectstore excludes type and region: give one or the other", _REASON)
    elif not named and typed != region:
        lacks, has = ("region", "type") if typed else ("type", "region")
        yield Problem(f"{field}.{lacks}", f"required field: {has} alone does not name a target", _REASON)


def _kubecluster(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    yield from _provider("backup_provider", mapping(spec, "backup_provider"))
    why = "movers run the image of the operator's --image and pull as its cluster is set up to: leave it out"
    for name in ("container_registry", "image_pull_secret_name"):
        if text(spec, name):
            yield Problem(name, why, _REASON)


def _policy(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    zone = text(spec, "timezone", default="UTC")
    try:
        Cron.parse("* * * * *", zone=zone)
    except CronError as error:
        yield Problem("timezone", str(error), _REASON)
        return
    for index, entry in enumerate(items(spec, "schedules")):
        schedule, field = mapping(entry, "schedule"), f"schedules[{index}].schedule"
        if not schedule:
            yield Problem(field, "needs cronSpec, or minute, hour, dayOfMonth, month, dayOfWeek", _REASON)
            continue
        try:
            Cron.parse(expression(schedule), grammar=VIXIE, zone=zone)
        except CronError as error:
            yield Problem(f"{field}.cronSpec" if text(schedule, "cronSpec") else field, str(error), _REASON)


def _objectstore(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    access = mapping(spec, "s3provider")
    if not text(spec, "bucket_name"):
        yield Problem("bucket_name", "required field", _REASON)
    if flag(spec, "private") and not strings(spec, "proxy_cluster_list"):
        yield Problem("proxy_cluster_list", "required field when the store is private", _REASON)
    if text(spec, "provider_type") == "azure":
        if not text(access, "storage_account_name"):
            yield Problem("s3provider.storage_account_name", "required field of an Azure store", _REASON)
        foreign = ("endpoint",)
    else:
        endpoint = text(access, "endpoint")
        if endpoint and not endpoint.startswith(("http://", "https://")):
            yield Problem("s3provider.endpoint", f"{endpoint!r} is not an address such as https://host:port", _REASON)
        if not endpoint and not text(spec, "region"):
            yield Problem("region", "required field of an AWS store without endpoint", _REASON)
        foreign = ("cloud", "resource_group_name", "storage_account_name")
    for name in foreign:
        if name in access:
            yield Problem(f"s3provider.{name}", f"is nothing that provider_type {text(spec, 'provider_type')} has", _REASON)


def _kubebackup(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    if old is not None and text(old, "cluster") != text(spec, "cluster"):
        yield Problem("cluster", "can't be changed: define another kubebackup for the other cluster", _REASON)
    if why := selected(mapping(spec, "source")):
        yield Problem("source", why, _REASON)
    if text(spec, "trigger_type") == "SCHEDULED" and not text(spec, "policy") and not text(spec, "copydef"):
        yield Problem("policy", "required field for trigger_type SCHEDULED, unless copydef is set", _REASON)
    for field, wanted in (("pre_hooks", "PRE_BACKUP"), ("post_hooks", "POST_BACKUP")):
        for index, use in enumerate(items(spec, field)):
            yield from _hooks(f"{field}[{index}]", use, wanted, lookup)


def _hooks(field: str, use: Object, wanted: str, lookup: Lookup) -> Iterator[Problem]:
    if flag(use, "template"):
        yield Problem(f"{field}.template", "no hook templates exist here: define a kubehook, and set this to false", _REASON)
        return
    for index, ident in enumerate(strings(use, "hooks")):
        hook = lookup.spec_of("kubehooks", ident)
        if hook is None:
            yield Problem(
                f"{field}.hooks[{index}]", f"value '{ident}' must exist in resource 'kubehooks', field '_id'", _REASON
            )
        elif text(hook, "hook_type", default="COMMON") not in ("COMMON", wanted):
            yield Problem(f"{field}.hooks[{index}]", f"is a hook of type {text(hook, 'hook_type')}, not {wanted}", _REASON)


def _kubeoffload(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    if text(spec, "trigger_type") == "SCHEDULED" and not text(spec, "policy"):
        yield Problem("policy", "required field for trigger_type SCHEDULED", _REASON)
    backup = lookup.spec_of("kubebackups", text(spec, "backupdef"))
    if backup is not None and text(spec, "cluster", default=text(backup, "cluster")) != text(backup, "cluster"):
        yield Problem("cluster", f"is not that of the backupdef, which is {text(backup, 'cluster')}: leave it out", _REASON)
    yield from _provider("offload_provider", mapping(spec, "offload_provider"))
    options = mapping(spec, "options")
    if mapping(options, "azure_files_restore_options"):
        yield Problem("options.azure_files_restore_options", "there are no such options here: leave it out", _REASON)
    if flag(options, "preserve_node_ports"):
        yield Problem(
            "options.preserve_node_ports", "a restore lets the cluster give node ports out anew: leave it out", _REASON
        )
    if ready := text(options, "mover_ready_timeout"):
        try:
            if parse_duration(ready).total_seconds() < 1:
                raise ValueError(f"{ready!r} is less than a second")
        except ValueError as error:
            yield Problem("options.mover_ready_timeout", str(error), _REASON)


def _kuberestore(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    if why := selected(spec):
        yield Problem("namespaces", why, _REASON)
    point = lookup.spec_of("backupinstances", text(spec, "backup_inst"))
    source = text(spec, "source_cluster")
    if point is not None and source and source != text(point, "cluster"):
        yield Problem("source_cluster", f"is not that of the recovery point, which is {text(point, 'cluster')}", _REASON)
    if point is not None and text(point, "type") == "SNAPSHOT" and text(spec, "cluster") != text(point, "cluster"):
        yield Problem("backup_inst", "is a snapshot, which stays in its cluster: restore it there, or restore a copy", _REASON)
    sources = [text(each, "source") for each in items(spec, "namespace_mappings")]
    targets = [text(each, "target") for each in items(spec, "namespace_mappings")]
    for what, names in (("source", sources), ("target", targets)):
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            yield Problem("namespace_mappings", f"names {what} {twice} twice", _REASON)
    lost = [name for name in sources if name not in strings(spec, "namespaces") and not flag(spec, "all_namespaces")]
    if lost:
        yield Problem("namespace_mappings", f"gives {lost[0]} a new name, which is not among namespaces", _REASON)
    if text(spec, "migrationdef"):
        yield Problem("migrationdef", "there are no migrations here: leave it out, and name the destination", _REASON)
    for index, use in enumerate(items(spec, "post_hooks")):
        yield from _hooks(f"post_hooks[{index}]", use, "POST_RESTORE", lookup)


def _kubehook(spec: Object, old: Object | None, lookup: Lookup) -> Iterator[Problem]:
    for index, rule in enumerate(items(spec, "hook")):
        if not mapping(rule, "labels"):
            yield Problem(f"hook[{index}].labels", "would match every pod: name at least one label", _REASON)


_RULES: Final[Mapping[str, Callable[[Object, Object | None, Lookup], Iterator[Problem]]]] = {
    "kubeclusters": _kubecluster,
    "policies": _policy,
    "objectstores": _objectstore,
    "kubebackups": _kubebackup,
    "kubeoffloads": _kubeoffload,
    "kuberestores": _kuberestore,
    "kubehooks": _kubehook,
}
