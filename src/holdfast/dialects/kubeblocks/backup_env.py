"""The variables of a Backup's commands, in their documented order; see docs/kubeblocks-actionsets.md for the table."""

from datetime import timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, text
from holdfast.dialects.kubeblocks import access, env, names, paths, retention
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.targets import Target

KOPIA_PASSWORD: Final = "DATASAFED_KOPIA_PASSWORD"


def of_pod(context: Context, target: Target, pod: Object, *, told: bool) -> list[Object]:
    """Return the variables of a command for one pod. `told`: the command may write an info file."""
    action_set, obj = mapping(context.action_set, "spec"), context.obj
    return env.merge(
        env.of_pod(pod),
        env.literals(_own(context, target, pod, told=told)),
        env.database(target, pod),
        items(action_set, "env"),
        _parameters(obj),
        env.literals(_cluster(context)),
        env.literals(_chain(context, target, pod)),
        storage(context),
        items(context.method, "env"),
    )


def storage(context: Context) -> list[Object]:
    """Return what `datasafed` must know: how to seal, where to deduplicate; the place itself is the access's to say."""
    found = env.encryption(context.encryption)
    if context.kopia and context.repo is not None:
        reference = {"name": names.kopia_password(context.repo), "key": access.PASSWORD}
        found.append({"name": "DATASAFED_KOPIA_REPO_ROOT", "value": context.kopia})
        found.append({"name": KOPIA_PASSWORD, "valueFrom": {"secretKeyRef": reference}})
    return found


def attendant(context: Context, target: Target, pod: str) -> list[Object]:
    """Return the variables of the sidecar: it works where the command's data lies."""
    return [*storage(context), {"name": "DATASAFED_BACKEND_BASE_PATH", "value": paths.base(context.path, target, pod)}]


def _own(context: Context, target: Target, pod: Object, *, told: bool) -> dict[str, str]:
    found = {
        "DP_BACKUP_NAME": name_of(context.obj),
        "DP_TTL": text(context.obj, "spec", "retentionPeriod"),
        **env.of_target(pod),
        "DP_BACKUP_BASE_PATH": paths.base(context.path, target, name_of(pod)),
        "DP_DATASAFED_BIN_PATH": env.BIN,
    }
    return found | ({"DP_BACKUP_INFO_FILE": env.INFO} if told else {}) | _continuous(context)


def _continuous(context: Context) -> dict[str, str]:
    if context.backup_type != "Continuous":
        return {}
    period = retention.period(text(context.obj, "spec", "retentionPeriod"))
    seconds = int(period.total_seconds()) if isinstance(period, timedelta) else 0
    interval = text(context.obj, "metadata", "annotations", names.ARCHIVE_INTERVAL, default="60s")
    return {"DP_ARCHIVE_INTERVAL": interval} | ({"DP_TTL_SECONDS": str(seconds)} if seconds else {})


def _parameters(obj: Object) -> list[Object]:
    return [{"name": text(entry, "name"), "value": text(entry, "value")} for entry in items(obj, "spec", "parameters")]


def _cluster(context: Context) -> dict[str, str]:
    labels = mapping(context.obj, "metadata", "labels")
    return {
        "KB_CLUSTER_UID": labels.get(names.CLUSTER_UID, ""),
        "KB_CLUSTER_NAME": labels.get(names.INSTANCE, ""),
        "KB_COMP_NAME": labels.get(names.COMPONENT, ""),
        "KB_NAMESPACE": context.namespace,
    }


def _chain(context: Context, target: Target, pod: Object) -> dict[str, str]:
    if not context.parent:
        return {}
    return {
        "DP_PARENT_BACKUP_NAME": context.parent,
        "DP_BASE_BACKUP_NAME": context.base,
        "DP_TARGET_RELATIVE_PATH": paths.relative(target, name_of(pod)),
        "DP_BACKUP_ROOT_PATH": paths.root(context.path),
    }
