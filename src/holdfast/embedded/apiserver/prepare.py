"""From what a caller sent to what may be stored: envelope, schema, defaults, rules, admission.

Unknown fields follow the request's `fieldValidation`: Strict refuses them with their paths, Warn (the default) drops them
and says so, Ignore drops them silently. Everything here is a function of its arguments; the transaction gives what
admission checks read.
"""

from holdfast.embedded.apiserver import crds, defaults, escalation, metadata, rules, sealing
from holdfast.embedded.apiserver.api import Api, Call, Reader
from holdfast.embedded.apiserver.builtin import INERT
from holdfast.embedded.apiserver.errors import bad_request, invalid
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.store import Transaction

_MODES = ("", "Strict", "Warn", "Ignore")


def check_envelope(call: Call, obj: Object) -> None:
    """apiVersion, kind, name and namespace must agree with the URL; missing ones are filled in."""
    kind = call.kind
    for key, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        found = obj.setdefault(key, wanted)
        if found != wanted:
            raise bad_request(f"{key} in the body is {found!r}, the URL is for {wanted!r}")
    meta = obj.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise bad_request("metadata must be an object")
    ns = call.route.ns
    if kind.namespaced and obj["metadata"].get("namespace", ns) != ns:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request: "
            f"{obj['metadata']['namespace']!r} and {ns!r}"
        )
    if kind.namespaced:
        obj["metadata"]["namespace"] = ns
    else:
        obj["metadata"].pop("namespace", None)
    if call.route.name and obj["metadata"].setdefault("name", call.route.name) != call.route.name:
        raise bad_request(
            f"the name of the object ({obj['metadata']['name']!r}) does not match the name on the URL ({call.route.name!r})"
        )


def process(call: Call, obj: Object, old: Object | None = None) -> Object:
    """Prune, default and validate against the kind's schema; 400 for unknown fields under Strict, 422 for wrong ones.

    `old` is what an update replaces: transition rules compare with it.
    """
    mode = call.query.text("fieldValidation")
    if mode not in _MODES:
        raise bad_request(f'query parameter fieldValidation: unsupported value "{mode}": use Strict, Warn or Ignore')
    is_known = old is not None and obj["metadata"] == old["metadata"]
    unknown = [] if is_known else metadata.clean(obj)
    schema = call.kind.schema() if call.kind.schema else None
    if schema is not None:
        outcome = schema.process(obj, old)
        obj, unknown = outcome.object, [*outcome.unknown, *unknown]
        errors = [(error.path, str(error)) for error in outcome.errors]
    else:
        errors = []
    _report_unknown(call, mode, unknown)
    if errors:
        raise invalid(call.kind.kind, call.kind.group, obj["metadata"].get("name", ""), errors)
    defaults.fill(call.kind, obj)
    if call.kind.resource == crds.CRDS:
        crds.fill(obj)
    return obj


def _report_unknown(call: Call, mode: str, unknown: list[str]) -> None:
    if not unknown or mode == "Ignore":
        return
    texts = [f'unknown field "{path}"' for path in dict.fromkeys(unknown)]
    if mode == "Strict":
        raise bad_request(
            f"{call.kind.kind} in version {call.kind.version!r} cannot be handled: strict decoding error: " + ", ".join(texts)
        )
    for text in texts:
        if text not in call.warnings:
            call.warnings.append(text)


def check(api: Api, call: Call, transaction: Transaction, new: Object, old: Object | None) -> None:
    """Metadata, built-in rules, then the admission check of the kind; 422 with every message."""
    escalation.check(api, call, new, old)
    causes = [*metadata.problems(new, old), *rules.problems(call.kind, new, old)]
    if call.kind.resource == crds.CRDS and not causes:
        causes = crds.problems(new, api.registry)
    if not causes and (admit := api.admission.get((call.kind.group, call.kind.kind))) is not None:
        causes = [(text.partition(":")[0], text) for text in admit(new, old, Reader(api.registry, transaction))]
    if causes:
        raise invalid(call.kind.kind, call.kind.group, new["metadata"].get("name", ""), causes)
    if old is None and call.kind.resource in INERT:
        call.warnings.append(f"{call.kind.kind} is kept, but nothing here acts on it")
    sealing.seal(api, call, transaction, new)
    if call.kind.resource == crds.CRDS:
        crds.establish(new)
