"""Tasks whose Function a user wrote: a Job with that container, and the contract by which it says what it did.

The container finds what it needs in its environment: COMPONENT_NAME; for the first repository RESTIC_REPOSITORY and
RESTIC_PASSWORD_FILE; for all of them HOLDFAST_REPOSITORIES, a JSON list of {name, component, snapshot, store: {url, options,
credentials_dir}, password_file}. Secrets lie as files below /holdfast/secrets. It ends with code 0 and leaves one JSON document
as its termination message (/dev/termination-log):

    {"mover": "function", "results": [{"repository": "<name>", "component": "<component>", "snapshotIds": ["<restic id>"],
      "bytes": 5, "added": 5, "repositoryBytes": 5, "seconds": 1.5, "integrity": true}], "failure": {"reason", "message"}}

A result for each repository; `failure`, also inside a result, says why not. Without a report nothing was backed up.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from holdfast.core.call import SECRETS, RepositoryTarget
from holdfast.core.objects import Object
from holdfast.core.plan import Problem, SecretFiles, Step
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, text
from holdfast.dialects.kubestash import executor, functions, names, pods, task_access
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.backup_context import Context
from holdfast.dialects.kubestash.expand import UnknownVariable, expand, plain_values, referring
from holdfast.dialects.kubestash.kinds import BACKUP_CONFIGURATION, FUNCTION
from holdfast.dialects.kubestash.task_access import Access

_KNOWN: Final = {
    "RESTIC_CACHE_VOLUME": "kubestash-tmp-volume",
    "INTERIM_VOLUME": "kubestash-interim-volume",
    "enableCache": "true",
    "interimDataDir": "/kubestash-interim/data",
    "licenseApiService": "",
    "imageRegistry": "",
    "imageRepo": "",
    "imageTag": "",
}
"""Variables that every Function may use, with values that are the same for all."""


def step(name: str, work: Work, context: Context, access: Access, view: View) -> Step | Problem:
    """Return the step of one component of a user's task."""
    part = _part(name, work, context, view)
    if isinstance(part, Problem):
        return part
    values = {
        "namespace": namespace_of(context.obj),
        "backupSession": name_of(context.obj),
        "invokerKind": BACKUP_CONFIGURATION.kind,
        "invokerName": context.configuration.place.name,
        "snapshot": context.destinations[0].snapshot,
        "POD_ORDINAL": str(executor.ordinal_of(name)),
        "PVC_NAME": next(iter(part.claims), ""),
    }
    job = pods.job(
        names.component_job(name_of(context.obj), name),
        context.namespace,
        task_access.labels(context),
        container=f"{work.task.name}-{work.index}",
        volumes=(*part.volumes, *access.volumes),
        mounts=(*part.mounts, *access.mounts),
        node=part.node,
    )
    repositories = task_access.repositories(name, context, access)
    problem = fill(job, name, work, values, repositories, access.secrets, view)
    return problem or Step(name=name, child=task_access.shaped(job, context))


def fill(
    job: Object,
    component: str,
    work: Work,
    values: Mapping[str, str],
    repositories: Sequence[RepositoryTarget],
    secrets: Sequence[SecretFiles],
    view: View,
) -> Problem | None:
    """Put a user's Function into a Job, with its variables filled in. Changes the Job; a Problem says what is missing."""
    function = view.get(FUNCTION, "", work.function)
    if function is None:
        return Problem("addon", f"Function {work.function} of task {work.task.name} not found")
    own = plain_values(items(work.task.raw, "variables"))
    known = {**_KNOWN, "taskName": work.task.name, **work.parameters, **values, **own}
    try:
        container = functions.container(function, known, f"{work.task.name}-{work.index}")
        volumes = expand(_volumes(work), known)
        mounts = expand(items(work.declared, "volumeMounts"), known)
    except UnknownVariable as error:
        return Problem("addon", f"Function {work.function} uses ${{{error}}}, which has neither a value nor a default")
    given = referring(items(work.task.raw, "variables"))
    container["env"] = [*items(container, "env"), *_environment(component, repositories), *given]
    pod: Object = job["spec"]["template"]["spec"]
    files = [(f"holdfast-secret-{index}", item) for index, item in enumerate(secrets)]
    mounted = [{"name": name, "mountPath": f"{SECRETS}/{item.mount}", "readOnly": True} for name, item in files]
    source = [{"name": name, "secret": {"secretName": item.secret, "defaultMode": 0o444}} for name, item in files]
    pod["volumes"] = [*items(pod, "volumes"), *volumes, *source]
    functions.put(job, container, [*mounts, *mounted])
    return None


def _part(name: str, work: Work, context: Context, view: View) -> executor.Component | Problem:
    if context.target is None or not (work.task.mounts or work.task.volumes):
        return executor.Component(name=name, volumes=(), mounts=())
    return executor.component(name, context.target, context.workload, work.task, view, read_only=True)


def _volumes(work: Work) -> list[Object]:
    """Return the volumes that a task declares, each with the source that the session gives it instead, if any."""
    given = {text(entry, "name"): mapping(entry, "source") for entry in items(work.task.raw, "addonVolumes")}
    found: list[Object] = []
    for entry in items(work.declared, "volumeTemplate"):
        source = given.get(text(entry, "name")) or mapping(entry, "source") or {"emptyDir": {}}
        claim = mapping(source, "volumeClaimTemplate")
        found.append({"name": text(entry, "name"), **({"ephemeral": {"volumeClaimTemplate": claim}} if claim else source)})
    return found


def _environment(component: str, repositories: Sequence[RepositoryTarget]) -> list[Object]:
    found = {"COMPONENT_NAME": component, "HOLDFAST_REPOSITORIES": msgspec.json.encode(repositories).decode()}
    if repositories:
        found |= {"RESTIC_REPOSITORY": repositories[0].store.url, "RESTIC_PASSWORD_FILE": repositories[0].password_file}
    return [{"name": name, "value": value} for name, value in found.items()]
