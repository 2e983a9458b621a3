"""Defaults of a pod's spec, wherever it stands: containers, probes, volumes. The words and numbers are the API reference's."""

from typing import Any

from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.schema import quantity


def set_missing(target: Object, **values: Any) -> None:
    """Fill in what is left out, in place; an empty word counts as left out."""
    for key, value in values.items():
        if target.get(key) in (None, ""):
            target[key] = value


def child(obj: Object, key: str) -> Object:
    """The object under a key, made when missing; 400 when something else stands there."""
    if obj.get(key) is None:
        obj[key] = {}
    if not isinstance(obj[key], dict):
        raise bad_request(f"{key} must be an object")
    return obj[key]


def _probe(probe: Object | None) -> None:
    if probe:
        set_missing(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        _handler(probe)


def _handler(handler: Object) -> None:
    if get := part(handler, "httpGet"):
        set_missing(get, path="/", scheme="HTTP")
    if grpc := part(handler, "grpc"):
        grpc.setdefault("service", "")


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    is_latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    set_missing(container, imagePullPolicy="Always" if is_latest and "@" not in image else "IfNotPresent", resources={})
    set_missing(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    for port in parts(container, "ports"):
        set_missing(port, protocol="TCP")
    for variable in parts(container, "env"):
        ref = part(variable, "valueFrom").get("fieldRef")
        if ref:
            set_missing(ref, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _probe(container.get(name))
    for hook in ("postStart", "preStop"):
        _handler(part(container, "lifecycle", hook))
    resources = child(container, "resources")
    for key in ("limits", "requests"):
        amounts_at(resources, key)


def request_limits(spec: Object) -> None:
    """A pod asks for as much as it may use at most, where its containers say nothing else. Templates are left as they are."""
    for container in [*parts(spec, "initContainers"), *parts(spec, "containers")]:
        resources = child(container, "resources")
        if limits := part(resources, "limits"):
            resources["requests"] = {**limits, **part(resources, "requests")}


def open_ports(spec: Object) -> None:
    """A container on the machine's own network has its ports there."""
    if spec.get("hostNetwork"):
        for container in [*parts(spec, "initContainers"), *parts(spec, "containers")]:
            for port in parts(container, "ports"):
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")


def amounts_at(holder: Object, key: str) -> None:
    """Write the amounts under a key in their canonical form, in place: `0.5` is kept as `500m`, `1024Mi` as `1Gi`."""
    if amounts := part(holder, key):
        holder[key] = {name: canonical(amount) for name, amount in amounts.items()}


def canonical(amount: Any) -> str:
    """One amount as the API writes it; what is none stays as it is, for the rules to refuse."""
    text = str(amount)
    try:
        return text if "e" in text or ("E" in text and not text.endswith(("E", "Ei"))) else _shown(text)
    except ValueError:
        return text


def _shown(text: str) -> str:
    return quantity.show(quantity.parse(text), binary=quantity.is_binary(text))


def _volume(volume: Object) -> None:
    for name, key in (("secret", "defaultMode"), ("configMap", "defaultMode"), ("downwardAPI", "defaultMode")):
        if volume.get(name) is not None:
            set_missing(volume[name], **{key: 420})
    if volume.get("projected") is not None:
        set_missing(volume["projected"], defaultMode=420)
        for source in parts(volume["projected"], "sources"):
            if token := source.get("serviceAccountToken"):
                set_missing(token, expirationSeconds=3600)
    if volume.get("hostPath") is not None:
        set_missing(volume["hostPath"], type="")
    if size := part(volume, "emptyDir").get("sizeLimit"):
        volume["emptyDir"]["sizeLimit"] = canonical(size)
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}


def pod_spec(spec: Object) -> None:
    """Defaults of a pod's spec, wherever it stands."""
    set_missing(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    set_missing(spec, schedulerName="default-scheduler", securityContext={})
    if spec.get("serviceAccount") and not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*(parts(spec, "initContainers")), *(parts(spec, "containers"))]:
        _container(container)
    for volume in parts(spec, "volumes"):
        _volume(volume)
