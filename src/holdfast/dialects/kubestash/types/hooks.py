"""Hooks: what a session runs around its work, and the HookTemplate that says how."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubestash.types.common import Parameter, Ref, UsagePolicy
from holdfast.dialects.kubestash.types.runtime import RuntimeSettings
from holdfast.schema.fields import Duration, Maybe, Opaque, Wire, doc
from holdfast.schema.kubernetes import (
    EnvVar,
    ExecAction,
    HTTPGetAction,
    HTTPHeader,
    OwnerReference,
    TCPSocketAction,
    Volume,
    VolumeMount,
)


class HookUse(Wire):
    """One hook of a session."""

    name: Maybe[Annotated[str, doc("Name of this hook.")]] = UNSET
    hook_template: Maybe[Annotated[Ref, doc("HookTemplate to run; its usagePolicy must admit this namespace.")]] = UNSET
    params: Maybe[Annotated[Opaque, doc("Values for parameters that the HookTemplate declares.")]] = UNSET
    max_retry: Annotated[int, doc("Further attempts after a failure.", ge=0)] = 0
    timeout: Maybe[Annotated[Duration, doc("Limit of one attempt, as a duration or in seconds; past it, it has failed.")]] = (
        UNSET
    )
    execution_policy: Annotated[
        Literal["Always", "OnSuccess", "OnFailure"], doc("Whether it runs in any case, or only after success or failure.")
    ] = "Always"
    variables: Maybe[Annotated[list[EnvVar], doc("Variables that fill in the HookTemplate.")]] = UNSET
    volumes: Maybe[Annotated[list[Volume], doc("Volumes of the target for the hook's Job; executor Function only.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where they are mounted; executor Function only.")]] = UNSET
    runtime_settings: Maybe[Annotated[RuntimeSettings, doc("Settings of the hook's Job; executor Function only.")]] = UNSET


class FormField(Wire):
    """One field of a form."""

    key: Maybe[Annotated[str, doc("Name of the field.")]] = UNSET
    values: Maybe[Annotated[list[str], doc("Its values.")]] = UNSET


class HTTPPostAction(Wire):
    """A POST request; an answer from 200 to 399 is success."""

    port: Annotated[int | str, doc("Port number, or the name of a container's port.")]
    host: Maybe[Annotated[str, doc("Host to call; the address of the executor's pod when blank.")]] = UNSET
    path: Maybe[Annotated[str, doc("Path of the request.")]] = UNSET
    scheme: Maybe[Annotated[str, doc("HTTP or HTTPS.")]] = UNSET
    http_headers: Maybe[Annotated[list[HTTPHeader], doc("Headers of the request.")]] = UNSET
    body: Maybe[Annotated[str, doc("Body, a Go template over the state of the run.")]] = UNSET
    form: Maybe[Annotated[list[FormField], doc("Fields of a form, sent in place of a body.")]] = UNSET


class HookAction(Wire):
    """What a hook does."""

    exec: Maybe[Annotated[ExecAction, doc("A command in a container; status zero is success.")]] = UNSET
    http_get: Maybe[Annotated[HTTPGetAction, doc("A GET request; an answer from 200 to 399 is success.")]] = UNSET
    http_post: Maybe[Annotated[HTTPPostAction, doc("A POST request.")]] = UNSET
    tcp_socket: Maybe[Annotated[TCPSocketAction, doc("A port that must accept a connection.")]] = UNSET
    container_name: Maybe[Annotated[str, doc("Container that runs the command; the first one when blank.")]] = UNSET


class FunctionExecutor(Wire):
    """A Job that runs a Function."""

    name: Maybe[Annotated[str, doc("Name of the Function.")]] = UNSET
    env: Maybe[Annotated[list[EnvVar], doc("Environment variables for it.")]] = UNSET
    volumes: Maybe[Annotated[list[Volume], doc("Volumes for it.")]] = UNSET
    volume_mounts: Maybe[Annotated[list[VolumeMount], doc("Where they are mounted.")]] = UNSET


class PodExecutor(Wire):
    """Pods that exist already."""

    selector: Maybe[Annotated[str, doc("Labels of the pods, as `key=value` with commas between.")]] = UNSET
    owner: Maybe[Annotated[OwnerReference, doc("The object that must own the pods.")]] = UNSET
    strategy: Annotated[Literal["ExecuteOnOne", "ExecuteOnAll"], doc("Whether one matching pod is enough.")] = "ExecuteOnOne"


class HookExecutor(Wire):
    """Who carries a hook out."""

    type: Maybe[Annotated[Literal["Function", "Pod", "Operator"], doc("A Job, pods that exist, or the operator itself.")]] = (
        UNSET
    )
    function: Maybe[Annotated[FunctionExecutor, doc("The Job; required with Function.")]] = UNSET
    pod: Maybe[Annotated[PodExecutor, doc("The pods; required with Pod.")]] = UNSET


class HookTemplateSpec(Wire):
    """What a hook does, and who carries it out."""

    executor: Annotated[HookExecutor, doc("Who carries it out.")]
    action: Maybe[Annotated[HookAction, doc("What it does; required unless the executor is a Function.")]] = UNSET
    params: Maybe[Annotated[list[Parameter], doc("Parameters that a hook may give.")]] = UNSET
    usage_policy: Maybe[Annotated[UsagePolicy, doc("Who may refer to this HookTemplate.")]] = UNSET


class HookTemplate(Wire):
    """A command or a request that backups and restores can run before or after their work."""

    spec: Annotated[HookTemplateSpec, doc("What the hook does.")]
