"""Cells of `kubectl get` whose words are computed: functions of an object and the time, for the tables of `columns`.

The words are those that a real API server prints, so that scripts which cut columns out go on working.
"""

import datetime as dt
from collections.abc import Callable
from typing import Final

from holdfast.embedded.apiserver.ages import duration, parse_time, since
from holdfast.embedded.apiserver.objects import Object, lookup, part, parts, texts

NONE: Final = "<none>"
UNSET: Final = "<unset>"
_MOST: Final = 3
"""How many endpoints or ports a cell names before it only counts the rest."""

Cell = Callable[[Object, dt.datetime], object]


def _terminated_reason(state: Object) -> str:
    ended = state["terminated"]
    if reason := ended.get("reason"):
        return str(reason)
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _sidecars(pod: Object) -> frozenset[str]:
    """The init containers that run on beside the others."""
    return frozenset(item["name"] for item in parts(pod, "spec", "initContainers") if item.get("restartPolicy") == "Always")


def _init_status(pod: Object) -> str:
    statuses = parts(pod, "status", "initContainerStatuses")
    total = len(parts(pod["spec"], "initContainers"))
    sidecars = _sidecars(pod)
    for index, status in enumerate(statuses):
        state = part(status, "state")
        if status.get("name") in sidecars and status.get("started"):
            continue
        if "terminated" in state and state["terminated"].get("exitCode", 0) == 0:
            continue
        if "terminated" in state:
            return f"Init:{_terminated_reason(state)}"
        reason = part(state, "waiting").get("reason", "")
        return f"Init:{reason}" if reason not in ("", "PodInitializing") else f"Init:{index}/{total}"
    return ""


def pod_status(pod: Object, now: dt.datetime) -> str:
    """The word under STATUS: the phase, or the nearest reason that explains it."""
    status = part(pod, "status")
    shown = status.get("reason") or status.get("phase") or "Unknown"
    if starting := _init_status(pod):
        shown = starting
    else:
        for container in reversed(parts(status, "containerStatuses")):
            state = part(container, "state")
            if waiting := part(state, "waiting").get("reason"):
                shown = waiting
            elif "terminated" in state and not status.get("reason"):
                shown = _terminated_reason(state)
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(shown)


def text_at(*path: str, otherwise: str = NONE) -> Cell:
    """A cell that says so when there is nothing."""

    def cell(obj: Object, now: dt.datetime) -> object:
        found = lookup(obj, *path)
        return otherwise if found in (None, "") else str(found)

    return cell


def readiness_gates(pod: Object, now: dt.datetime) -> str:
    """How many of the pod's own conditions are met."""
    del now
    gates = [gate.get("conditionType") for gate in parts(pod["spec"], "readinessGates")]
    met = {item.get("type") for item in parts(pod, "status", "conditions") if item.get("status") == "True"}
    return f"{sum(gate in met for gate in gates)}/{len(gates)}" if gates else NONE


def pod_ready(pod: Object, now: dt.datetime) -> str:
    """How many containers are ready, of how many."""
    sidecars = _sidecars(pod)
    beside = [status for status in parts(pod, "status", "initContainerStatuses") if status.get("name") in sidecars]
    statuses = [*parts(pod, "status", "containerStatuses"), *beside]
    ready = sum(1 for status in statuses if status.get("ready"))
    return f"{ready}/{len(parts(pod, 'spec', 'containers')) + len(sidecars)}"


def pod_restarts(pod: Object, now: dt.datetime) -> str:
    """How often containers were started again, and when last."""
    statuses = parts(pod, "status", "containerStatuses")
    count = sum(status.get("restartCount", 0) for status in statuses)
    ends = [part(status, "lastState", "terminated").get("finishedAt") for status in statuses]
    last = max(filter(None, ends), default="")
    return f"{count} ({since(last, now)} ago)" if count and last else str(count)


def ready_of(field: str) -> Cell:
    """A cell with how many of the wanted replicas are in a state."""

    def cell(obj: Object, now: dt.datetime) -> str:
        return f"{lookup(obj, 'status', field) or 0}/{obj['spec'].get('replicas', 1)}"

    return cell


def number(*path: str, otherwise: int = 0) -> Cell:
    """A cell that counts; `otherwise` stands for what is missing."""

    def cell(obj: Object, now: dt.datetime) -> object:
        found = lookup(obj, *path)
        return otherwise if found is None else found

    return cell


def job_status(job: Object, now: dt.datetime) -> str:
    """The condition of a Job in a word."""
    held = {item["type"] for item in parts(job, "status", "conditions") if item.get("status") == "True"}
    if job["metadata"].get("deletionTimestamp") and not held & {"Complete", "Failed"}:
        return "Terminating"
    for word in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if word in held:
            return word
    return "Running"


def job_completions(job: Object, now: dt.datetime) -> str:
    """How many pods of a Job have succeeded, of how many."""
    succeeded, wanted = lookup(job, "status", "succeeded") or 0, lookup(job, "spec", "completions")
    if wanted is not None:
        return f"{succeeded}/{wanted}"
    side_by_side = lookup(job, "spec", "parallelism") or 0
    return f"{succeeded}/1 of {side_by_side}" if side_by_side > 1 else f"{succeeded}/1"


def job_duration(job: Object, now: dt.datetime) -> str:
    """How long a Job ran, or runs."""
    status = part(job, "status")
    if not status.get("startTime"):
        return ""
    end = parse_time(status.get("completionTime") or "") or now
    start = parse_time(status["startTime"])
    return duration(end - start) if start else ""


def active(cronjob: Object, now: dt.datetime) -> int:
    """How many Jobs of a CronJob run."""
    return len(parts(cronjob, "status", "active"))


def data_count(obj: Object, now: dt.datetime) -> int:
    """How many keys a Secret or ConfigMap holds."""
    return len(part(obj, "data")) + len(part(obj, "binaryData"))


_MODES: Final = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def modes(obj: Object, now: dt.datetime) -> str:
    """Access modes in short."""
    held = texts(obj, "status" if obj["kind"] == "PersistentVolumeClaim" else "spec", "accessModes")
    return ",".join(_MODES.get(mode, mode) for mode in held)


def or_terminating(field: str) -> Cell:
    """A cell with a part of the status, or that the object is going."""

    def cell(obj: Object, now: dt.datetime) -> str:
        if obj["metadata"].get("deletionTimestamp"):
            return "Terminating"
        return str(lookup(obj, "status", field) or "")

    return cell


def claim(pv: Object, now: dt.datetime) -> str:
    """The claim that a volume is bound to."""
    ref = part(pv["spec"], "claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


def node_status(node: Object, now: dt.datetime) -> str:
    """Whether a node is ready and takes pods."""
    for condition in parts(node, "status", "conditions"):
        if condition.get("type") == "Ready":
            word = "Ready" if condition.get("status") == "True" else "NotReady"
            return f"{word},SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else word
    return "Unknown"


def roles(node: Object, now: dt.datetime) -> str:
    """The roles that a node is labelled with."""
    prefix = "node-role.kubernetes.io/"
    found = [label.removeprefix(prefix) for label in part(node["metadata"], "labels") if label.startswith(prefix)]
    return ",".join(sorted(found)) or NONE


def event_object(event: Object, now: dt.datetime) -> str:
    """What an event is about."""
    ref = part(event, "involvedObject") or part(event, "regarding")
    return f"{ref.get('kind', '').lower()}/{ref.get('name', '')}"


def last_seen(event: Object, now: dt.datetime) -> str:
    """How long ago an event happened last."""
    series = part(event, "series")
    seen = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return since(seen or event["metadata"].get("creationTimestamp", ""), now)


def event_source(event: Object, now: dt.datetime) -> str:
    """Who reported an event: the component, and the machine where it says so."""
    source = part(event, "source")
    given = (source.get("component"), source.get("host"))
    if not any(given):
        given = (event.get("reportingComponent") or event.get("reportingController"), event.get("reportingInstance"))
    return ", ".join(str(word) for word in given if word)


def first_seen(event: Object, now: dt.datetime) -> str:
    """How long ago an event happened first."""
    seen = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", "")
    return since(seen, now)


def event_count(event: Object, now: dt.datetime) -> int:
    """How often an event happened."""
    return part(event, "series").get("count") or event.get("count") or 1


def ports(service: Object, now: dt.datetime) -> str:
    """Ports of a Service, each with the port of the nodes that leads to it."""

    def one(port: Object) -> str:
        outside = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{outside}/{port.get('protocol', 'TCP')}"

    return ",".join(map(one, parts(service, "spec", "ports"))) or NONE


def outside(service: Object, now: dt.datetime) -> str:
    """The addresses that a Service has outside; a load balancer has none here unless somebody gives it one."""
    spec = part(service, "spec")
    if spec.get("externalName"):
        return str(spec["externalName"])
    given = [*_ingress(service), *texts(spec, "externalIPs")]
    return ",".join(given) or ("<pending>" if spec.get("type") == "LoadBalancer" else NONE)


def _ingress(obj: Object) -> list[str]:
    """The addresses of a load balancer."""
    return [str(item.get("ip") or item.get("hostname")) for item in parts(obj, "status", "loadBalancer", "ingress")]


def address(ingress: Object, now: dt.datetime) -> str:
    """Where an Ingress is reached."""
    return ",".join(_ingress(ingress))


def ingress_ports(ingress: Object, now: dt.datetime) -> str:
    """The ports of an Ingress: plain HTTP, and HTTPS where it has certificates."""
    return "80, 443" if parts(ingress, "spec", "tls") else "80"


def hosts(ingress: Object, now: dt.datetime) -> str:
    """The hosts of an Ingress, a few of them by name."""
    named = [str(rule["host"]) for rule in parts(ingress, "spec", "rules") if rule.get("host")]
    return _some(named) or "*"


def _some(words: list[str]) -> str:
    """A few words, and how many more there are."""
    text = ",".join(words[:_MOST])
    return f"{text} + {len(words) - _MOST} more..." if len(words) > _MOST else text


def parameters(ingress_class: Object, now: dt.datetime) -> str:
    """What an IngressClass takes its parameters from."""
    ref = part(ingress_class, "spec", "parameters")
    group = f".{ref['apiGroup']}" if ref.get("apiGroup") else ""
    return f"{ref.get('kind', '')}{group}/{ref.get('name', '')}" if ref else NONE


def labels_at(*path: str) -> Cell:
    """A cell of labels, as `key=value`."""

    def cell(obj: Object, now: dt.datetime) -> str:
        return ",".join(f"{key}={value}" for key, value in sorted(part(obj, *path).items())) or NONE

    return cell


def selector_at(*path: str) -> Cell:
    """A cell of a label selector, as one would type it."""

    def cell(obj: Object, now: dt.datetime) -> str:
        selector = part(obj, *path)
        terms = [f"{key}={value}" for key, value in sorted(part(selector, "matchLabels").items())]
        return ",".join([*terms, *map(_requirement, parts(selector, "matchExpressions"))]) or NONE

    return cell


def _requirement(term: Object) -> str:
    key, values = term.get("key", ""), ",".join(sorted(texts(term, "values")))
    match term.get("operator"):
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case "In":
            return f"{key} in ({values})"
        case _:
            return f"{key} notin ({values})"


def endpoints(obj: Object, now: dt.datetime) -> str:
    """Addresses with ports of Endpoints, a few of them by name."""
    found = [
        f"[{host['ip']}]:{port['port']}" if ":" in host["ip"] else f"{host['ip']}:{port['port']}"
        for subset in parts(obj, "subsets")
        for port in parts(subset, "ports")
        for host in parts(subset, "addresses")
    ]
    return _some(found) or NONE


def slice_ports(obj: Object, now: dt.datetime) -> str:
    """The ports of an EndpointSlice."""
    return _some([str(port.get("port") or "*") for port in parts(obj, "ports")]) or UNSET


def slice_endpoints(obj: Object, now: dt.datetime) -> str:
    """The addresses of an EndpointSlice."""
    return _some([address for item in parts(obj, "endpoints") for address in texts(item, "addresses")]) or UNSET


def default_class(obj: Object, now: dt.datetime) -> str:
    """The name of a StorageClass, which says whether claims get it by default."""
    marks = part(obj["metadata"], "annotations")
    default = marks.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{obj['metadata']['name']} (default)" if default else obj["metadata"]["name"]


def _containers(obj: Object) -> list[Object]:
    template = lookup(obj, "spec", "jobTemplate", "spec", "template") or lookup(obj, "spec", "template")
    return parts(template, "spec", "containers")


def images(obj: Object, now: dt.datetime) -> str:
    """The images of a workload."""
    return ",".join(str(item.get("image", "")) for item in _containers(obj))


def containers(obj: Object, now: dt.datetime) -> str:
    """The names of a workload's containers."""
    return ",".join(str(item.get("name", "")) for item in _containers(obj))


def node_address(kind: str) -> Cell:
    """A cell with one of a node's addresses."""

    def cell(node: Object, now: dt.datetime) -> str:
        found = (item.get("address") for item in parts(node, "status", "addresses") if item.get("type") == kind)
        return next(found, None) or NONE

    return cell


def role(binding: Object, now: dt.datetime) -> str:
    """The role that a binding gives."""
    ref = part(binding, "roleRef")
    return f"{ref.get('kind', '')}/{ref.get('name', '')}"


def subjects(kind: str) -> Cell:
    """A cell with those that a binding gives its role to."""

    def cell(binding: Object, now: dt.datetime) -> str:
        found = [item for item in parts(binding, "subjects") if item.get("kind") == kind]
        named = [f"{item.get('namespace', '')}/{item['name']}" if kind == "ServiceAccount" else item["name"] for item in found]
        return ", ".join(named)

    return cell


def owner(revision: Object, now: dt.datetime) -> str:
    """The controller of an object, as kubectl would name it."""
    for ref in parts(revision["metadata"], "ownerReferences"):
        if ref.get("controller"):
            group = str(ref["apiVersion"]).rpartition("/")[0]
            kind = f"{ref['kind'].lower()}.{group}" if group else ref["kind"].lower()
            return f"{kind}/{ref['name']}"
    return NONE


def used(*, limits: bool) -> Cell:
    """A cell of a ResourceQuota: what is used of the limits, or of everything else."""

    def cell(quota: Object, now: dt.datetime) -> str:
        status = part(quota, "status")
        hard, taken = part(status, "hard") or part(quota, "spec", "hard"), part(status, "used")
        names = sorted(name for name in hard if name.startswith("limits.") is limits)
        return ", ".join(f"{name}: {taken.get(name, 0)}/{hard[name]}" for name in names)

    return cell


def length(*path: str) -> Cell:
    """A cell that counts the items of a list."""
    return lambda obj, now: len(lookup(obj, *path) or ())


def audiences(driver: Object, now: dt.datetime) -> str:
    """The audiences that a CSIDriver wants tokens for."""
    return ",".join(str(item.get("audience", "")) for item in parts(driver, "spec", "tokenRequests")) or UNSET


def lifecycles(driver: Object, now: dt.datetime) -> str:
    """How volumes of a CSIDriver come to be."""
    return ",".join(texts(driver, "spec", "volumeLifecycleModes")) or NONE


def class_of(volume: Object, now: dt.datetime) -> str:
    """The storage class of a claim or a volume."""
    return str(lookup(volume, "spec", "storageClassName") or "")


def flag(*path: str) -> Cell:
    """A cell that is true or false, false when nothing is said."""
    return lambda obj, now: lookup(obj, *path) is True


def last_schedule(cronjob: Object, now: dt.datetime) -> str:
    """How long ago a CronJob was due last."""
    due = lookup(cronjob, "status", "lastScheduleTime")
    return since(due, now) if due else NONE


def subobject(event: Object, now: dt.datetime) -> str:
    """The part of an object that an event is about."""
    return str(part(event, "involvedObject").get("fieldPath") or part(event, "regarding").get("fieldPath") or "")


def event_message(event: Object, now: dt.datetime) -> str:
    """What an event says, without the space around it."""
    return str(event.get("message") or event.get("note") or "").strip()
