"""HookTemplates, the pods they mean, and a Function: what tests of hooks are made of."""

from __future__ import annotations

from typing import Any

from holdfast.core.objects import Object


def template(name: str, action: Object, **executor: Any) -> Object:
    pod = {"type": "Pod", "pod": {"selector": "app = sample-app", **executor.pop("pod", {})}}
    spec = {"action": action, "executor": {**pod, **executor}, "params": [{"name": "lock", "default": "soft"}]}
    meta = {"name": name, "namespace": "demo"}
    return {"apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate", "metadata": meta, "spec": spec}


def pod(name: str, **labels: str) -> Object:
    meta = {"name": name, "namespace": "demo", "uid": f"uid-{name}", "labels": {"app": "sample-app", **labels}}
    ports = [{"name": "web", "containerPort": 8080}]
    spec = {"containers": [{"name": "main", "ports": ports}, {"name": "side"}], "nodeName": "node-1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": spec,
        "status": {"phase": "Running", "podIP": "10.0.0.7"},
    }


FREEZE = template("freeze", {"exec": {"command": ["sh", "-c", "freeze ${lock} $HOME ${HOME}"]}, "containerName": "side"})
THAW = template("thaw", {"exec": {"command": ["thaw"]}})
TELL = template(
    "tell",
    {
        "httpPost": {
            "host": "alerts.demo",
            "port": 9000,
            "path": "/events",
            "body": '{{ dict "phase" .Status.Phase "error" .Status.Error "target" .Target.Name | toJson }}',
        }
    },
    type="Operator",
)


def hook(template: str, **more: Any) -> Object:
    return {"name": template, "hookTemplate": {"name": template}, **more}


def notifier() -> tuple[Object, Object]:
    """A Function, and a HookTemplate that runs it."""
    function = {
        "apiVersion": "addons.kubestash.com/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "notify"},
        "spec": {"image": "notify:1", "command": ["notify"], "args": ["--for=${backupSession:=x}", "--level=${level:=info}"]},
    }
    spec = {"type": "Function", "function": {"name": "notify", "env": [{"name": "A", "value": "b"}]}}
    meta = {"name": "notify", "namespace": "demo"}
    kind = {"apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate", "metadata": meta, "spec": {"executor": spec}}
    return function, kind
