"""From the hooks of a session to the Jobs that carry them out, and how those ended.

The hooks before the work come one after the other, the first failure keeps the work from starting. Those after it wait for all
of it; one for OnSuccess or OnFailure is left out when its case did not happen. A hook that commands several pods has a Job for
each, and the pods are those of the moment when it starts. Whatever a hook before the work did, those after it run in any case
that they name: the graph of the plan says so, not a branch somewhere.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast
from urllib.parse import urlencode

import msgspec

from holdfast.core.access import run_as
from holdfast.core.cluster_calls import Exec, HttpRequest, TcpConnect
from holdfast.core.labels import OWNER_UID, annotation
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import MoverCall, OnError, Phase, Step, StepState, When
from holdfast.core.ports import View
from holdfast.core.read import at, deleting, items, mapping, name_of, namespace_of, number, phase_of, strings, text, uid_of
from holdfast.dialects.kubestash import functions, hook_template, names, pods, runtime
from holdfast.dialects.kubestash.decode import Target, comma_list
from holdfast.dialects.kubestash.expand import UnknownVariable, expand, referring
from holdfast.dialects.kubestash.hooks import Hook, hook
from holdfast.dialects.kubestash.kinds import HOOK_TEMPLATE, JOB, POD
from holdfast.templates import Template, TemplateError

PENDING, SUCCEEDED, FAILED = "Pending", "Succeeded", "Failed"
_SPARE: Final = timedelta(minutes=2)
"""What a Job may take beyond its attempts: to be scheduled, to pull its image, to pause between attempts."""

_PAUSE: Final = 5
"""Seconds between two attempts."""

_KEY: Final = "holdfast.dev/hook"
"""Annotation on a hook's Job: the list and the place there."""


class Unrunnable(Exception):
    """Why a hook can't be carried out."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the hooks of one session share. `account` may run commands in pods of the target's namespace."""

    obj: Object
    kind: Kind
    session: str
    target: Target | None
    invoker: Object
    account: str
    values: Mapping[str, str]

    @property
    def place(self) -> str:
        """The namespace whose pods are meant: the target's, else the session's own."""
        return self.target.namespace if self.target else namespace_of(self.obj)


class Result(msgspec.Struct, frozen=True):
    """How the work went, as templates see it: `phase` is Failed exactly when there is an error; duration as a Go duration."""

    phase: str = "Succeeded"
    duration: str = ""
    error: str = ""


class HookRun(msgspec.Struct, frozen=True, kw_only=True):
    """One hook with its steps, and how it is: `phase` is empty until it begins. `message` says why it failed."""

    hook: Hook
    steps: tuple[Step, ...] = ()
    phase: str = ""
    message: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing can follow."""
        return self.phase in (SUCCEEDED, FAILED)

    @property
    def status(self) -> Object:
        """The entry of `status.hooks`."""
        return {"name": self.hook.name, "phase": self.phase}


def runs(listed: Sequence[Object], key: str, around: Surroundings, result: Result, view: View) -> tuple[HookRun, ...]:
    """Return the hooks of a list (`key` is `pre` or `post`) as they are now, in order."""
    field = "preHooks" if key == "pre" else "postHooks"
    noted = {text(entry, "name"): text(entry, "phase") for entry in items(around.obj, "status", "hooks", field)}
    found: list[HookRun] = []
    for index, raw in enumerate(listed):
        wanted = hook(raw, namespace_of(around.obj))
        found.append(_run(wanted, f"{key}-{index}", noted.get(wanted.name, ""), around, result, view))
    return tuple(found)


def before(found: Sequence[HookRun]) -> tuple[Step, ...]:
    """Return the steps before the work: each needs all earlier ones."""
    steps: list[Step] = []
    for each in found:
        needs = tuple(step.name for step in steps)
        steps += [msgspec.structs.replace(step, needs=needs) for step in each.steps]
    return tuple(steps)


def after(found: Sequence[HookRun], work: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps after the work: each needs all of it, and those before it that run in the same case or always."""
    base = tuple(step.name for step in work)
    steps: list[Step] = []
    for each in found:
        earlier = tuple(step.name for step in steps if step.when is each.hook.when)
        steps += [
            msgspec.structs.replace(step, needs=(*base, *earlier), when=each.hook.when, on_error=OnError.CONTINUE)
            for step in each.steps
        ]
    return tuple(steps)


def needed(found: Sequence[HookRun], *, good: bool) -> tuple[HookRun, ...]:
    """Return the hooks after the work that run in this case."""
    out = When.FAILURE if good else When.SUCCESS
    return tuple(each for each in found if each.hook.when is not out)


def statuses(found: Sequence[HookRun]) -> list[Object]:
    """Return the entries of the hooks that have begun."""
    return [each.status for each in found if each.phase]


def failure(found: Sequence[HookRun]) -> str:
    """Return which hook failed first, and why; empty when none did."""
    return next((f"hook {each.hook.name}: {each.message}" for each in found if each.phase == FAILED), "")


def _run(wanted: Hook, key: str, noted: str, around: Surroundings, result: Result, view: View) -> HookRun:
    template = view.get(HOOK_TEMPLATE, wanted.template.namespace, wanted.template.name)
    try:
        if template is None:
            raise Unrunnable(f"HookTemplate {wanted.template} not found")
        steps = _steps(wanted, template, key, around, result, view)
    except (Unrunnable, TemplateError) as error:
        return HookRun(hook=wanted, phase=FAILED, message=str(error))
    except UnknownVariable as error:
        message = f"HookTemplate {wanted.template} uses ${{{error}}}, which has neither a value nor a default"
        return HookRun(hook=wanted, phase=FAILED, message=message)
    steps = tuple(msgspec.structs.replace(step, begun=bool(noted)) for step in steps)
    states = [view.step(namespace_of(step.child), name_of(step.child)) for step in steps]
    phase, message = _phase(states, noted)
    return HookRun(hook=wanted, steps=steps, phase=phase, message=message)


def _phase(states: Sequence[StepState], noted: str) -> tuple[str, str]:
    bad = next((state for state in states if state.phase is Phase.FAILED), None)
    if noted in (SUCCEEDED, FAILED):
        return noted, (bad.message if bad else "it failed")
    if bad is not None:
        return FAILED, bad.message or bad.reason or "its Job failed"
    if states and all(state.phase is Phase.SUCCEEDED for state in states):
        return SUCCEEDED, ""
    if noted and not any(state.exists for state in states):
        return FAILED, "its Job was deleted before it had ended"
    return (PENDING if any(state.exists for state in states) else ""), ""


def _steps(wanted: Hook, template: Object, key: str, around: Surroundings, result: Result, view: View) -> tuple[Step, ...]:
    kind = hook_template.executor(template)
    values = {**_defaults(template), **around.values, **wanted.values}
    if kind == "Function":
        return (_function(wanted, template, key, values, around, view),)
    action = expand(mapping(template, "spec", "action"), values, lenient=True)
    if kind == "Operator":
        return (_step(wanted, key, "", _call(action, {}, wanted, around, result), around, ()),)
    chosen = _pods(template, key, around, view)
    listed = [name_of(pod) for pod in chosen]
    return tuple(_step(wanted, key, name_of(pod), _call(action, pod, wanted, around, result), around, listed) for pod in chosen)


def _defaults(template: Object) -> dict[str, str]:
    params = items(template, "spec", "params")
    return {text(entry, "name"): text(entry, "default") for entry in params if "default" in entry}


def _pods(template: Object, key: str, around: Surroundings, view: View) -> list[Object]:
    """Return the pods that a hook is for: those that its Jobs were made for, else those that match now."""
    jobs = view.list(JOB, namespace_of(around.obj), label=(OWNER_UID, uid_of(around.obj)))
    begun = [job for job in jobs if annotation(job, _KEY) == key]
    if begun:
        listed = comma_list(annotation(begun[0], names.HOOK_PODS))
        known = {name: view.get(POD, around.place, name) for name in listed}
        return [known[name] or {"metadata": {"name": name, "namespace": around.place}} for name in listed]
    pod_spec = mapping(template, "spec", "executor", "pod")
    selector = text(pod_spec, "selector")
    try:
        wanted = hook_template.labels_of(selector)
    except ValueError as error:
        raise Unrunnable(f"the selector {selector!r} of HookTemplate {name_of(template)}: {error}") from error
    key_label, value = next(iter(wanted.items()))
    matching = [
        pod
        for pod in view.list(POD, around.place, label=(key_label, value))
        if namespace_of(pod) == around.place
        and wanted.items() <= mapping(pod, "metadata", "labels").items()
        and phase_of(pod) == "Running"
        and not deleting(pod)
        and _owned(pod, mapping(pod_spec, "owner"))
    ]
    if not matching:
        raise Unrunnable(f"no running pod in namespace {around.place} has the labels {selector}")
    ordered = sorted(matching, key=name_of)
    return ordered if text(pod_spec, "strategy") == "ExecuteOnAll" else ordered[:1]


def _owned(pod: Object, owner: Object) -> bool:
    """Whether a pod has the owner that the template names: the fields that are given must agree."""
    given = {field: owner[field] for field in ("apiVersion", "kind", "name", "uid") if owner.get(field)}
    references = items(pod, "metadata", "ownerReferences")
    return not given or any(given.items() <= reference.items() for reference in references)


def _call(action: Object, pod: Object, wanted: Hook, around: Surroundings, result: Result) -> MoverCall:
    timeout, attempts = int(wanted.timeout.total_seconds()), wanted.attempts
    container = text(action, "containerName")
    if command := strings(action, "exec", "command"):
        return Exec(
            namespace=namespace_of(pod),
            pod=name_of(pod),
            command=tuple(_rendered(part, around, result) for part in command),
            container=container or _first_container(pod),
            uid=uid_of(pod),
            timeout=timeout,
            attempts=attempts,
            delay=_PAUSE,
        ).call()
    if "tcpSocket" in action:
        socket = mapping(action, "tcpSocket")
        host = text(socket, "host") or _address(pod)
        return TcpConnect(host, _port(socket, pod, container), timeout=timeout, attempts=attempts, delay=_PAUSE).call()
    name = "httpPost" if "httpPost" in action else "httpGet"
    request = mapping(action, name)
    host = text(request, "host") or _address(pod)
    scheme = text(request, "scheme", default="HTTP").lower()
    path = text(request, "path")
    url = f"{scheme}://{host}:{_port(request, pod, container)}/{path.removeprefix('/')}"
    headers = {text(entry, "name"): text(entry, "value") for entry in items(request, "httpHeaders")}
    body = ""
    if name == "httpPost":
        body, headers = _body(request, headers, around, result)
    return HttpRequest(
        url,
        method="POST" if name == "httpPost" else "GET",
        headers=headers,
        body=body,
        timeout=timeout,
        attempts=attempts,
        delay=_PAUSE,
    ).call()


def _body(request: Object, headers: dict[str, str], around: Surroundings, result: Result) -> tuple[str, dict[str, str]]:
    form = items(request, "form")
    if form:
        pairs = [(text(entry, "key"), value) for entry in form for value in strings(entry, "values")]
        return urlencode(pairs), {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return _rendered(text(request, "body"), around, result), headers


def _rendered(given: str, around: Surroundings, result: Result) -> str:
    """Return a text, as a Go template over the state of the run if it is one."""
    if "{{" not in given:
        return given
    target = around.target.wire() if around.target else {}
    data = {
        "Name": name_of(around.obj),
        "Namespace": namespace_of(around.obj),
        "Invoker": _reference(around.invoker),
        "Target": _reference(target),
        "Status": {"Phase": result.phase, "Duration": result.duration, "Error": result.error},
    }
    return Template(given, name=f"hook of {name_of(around.obj)}").render(data)


def _reference(given: Object) -> dict[str, str]:
    fields = {"APIGroup": "apiGroup", "Kind": "kind", "Name": "name", "Namespace": "namespace"}
    return {name: text(given, field) for name, field in fields.items()}


def _first_container(pod: Object) -> str:
    """Return the container that the pod says is meant when none is named, else its first one."""
    named = annotation(pod, "kubectl.kubernetes.io/default-container")
    return named or next((text(entry, "name") for entry in items(pod, "spec", "containers")), "")


def _address(pod: Object) -> str:
    address = text(pod, "status", "podIP")
    if not address:
        raise Unrunnable(f"pod {namespace_of(pod)}/{name_of(pod)} has no address")
    return address


def _port(action: Object, pod: Object, container: str) -> int:
    """Return the port of an action: a number, or the name of a port of the pod's containers."""
    given: Any = at(action, "port")
    if isinstance(given, int):
        return given
    if isinstance(given, str) and given.isdecimal():
        return int(given)
    for entry in items(pod, "spec", "containers"):
        if container in ("", text(entry, "name")):
            for port in items(entry, "ports"):
                if text(port, "name") == given:
                    return number(port, "containerPort") or 0
    raise Unrunnable(f"no container of pod {name_of(pod)} has a port named {given}")


def _step(wanted: Hook, key: str, pod: str, call: MoverCall, around: Surroundings, listed: Sequence[str]) -> Step:
    """Return the step of a hook, for one pod of several if there are several."""
    marks = {_KEY: key, **({names.HOOK_PODS: ",".join(listed)} if listed else {})}
    job = names.hook_job(name_of(around.obj), key, pod)
    made = pods.job(job, namespace_of(around.obj), _labels(around), container="hook", annotations=marks)
    if call.mover == Exec.MOVER:
        run_as(made, around.account)
    return Step(name=f"{key}-{pod}" if pod else key, child=made, mover=call, deadline=_deadline(wanted))


def _function(wanted: Hook, template: Object, key: str, values: Mapping[str, str], around: Surroundings, view: View) -> Step:
    """Return the step of a hook that is a Job with a Function's container."""
    spec = mapping(template, "spec", "executor", "function")
    function = view.get(functions.FUNCTION, "", text(spec, "name"))
    if function is None:
        raise Unrunnable(f"Function {text(spec, 'name')} not found")
    container = functions.container(function, values, "hook")
    given = [*items(spec, "env"), *referring(items(wanted.raw, "variables"))]
    plain = [{"name": name, "value": value} for name, value in sorted(wanted.values.items())]
    container["env"] = [*items(container, "env"), *plain, *cast("list[Object]", expand(given, values))]
    mounts = [*items(spec, "volumeMounts"), *items(wanted.raw, "volumeMounts")]
    made = pods.job(
        names.hook_job(name_of(around.obj), key),
        namespace_of(around.obj),
        _labels(around),
        container="hook",
        volumes=expand([*items(spec, "volumes"), *items(wanted.raw, "volumes")], values),
        annotations={_KEY: key},
    )
    functions.put(made, container, mounts)
    made["spec"]["backoffLimit"] = wanted.attempts - 1
    made = runtime.with_settings(made, mapping(wanted.raw, "runtimeSettings"))
    return Step(name=key, child=made, deadline=_deadline(wanted))


def _labels(around: Surroundings) -> Object:
    obj = around.obj
    return names.labels("hook", kind=around.kind.kind, namespace=namespace_of(obj), name=name_of(obj), session=around.session)


def _deadline(wanted: Hook) -> timedelta:
    return wanted.attempts * (wanted.timeout + timedelta(seconds=_PAUSE)) + _SPARE
