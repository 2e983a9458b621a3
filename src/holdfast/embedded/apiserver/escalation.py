"""Nobody gives away more than they hold: checks on writes of roles and bindings (Kubernetes' RBAC, privilege escalation).

Who writes a role must hold every rule in it, or have the verb `escalate` on it; who writes a binding must hold every rule
of the role it refers to, or have the verb `bind` on that role. A write that leaves rules and references as they are passes.
"""

from holdfast.embedded.apiserver import rbac
from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError, forbidden, not_found
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.rbac import Act, Rule

_ROLES = ("clusterroles", "roles")


def check(api: Api, call: Call, new: Object, old: Object | None) -> None:
    """403 when the write would grant what its author does not hold; 404 when a binding's role is not there to compare."""
    if call.kind.group != rbac.GROUP or rbac.MASTERS in call.user.groups:
        return
    if call.kind.plural in _ROLES:
        _check_role(api, call, new, old)
    else:
        _check_binding(api, call, new, old)


def _check_role(api: Api, call: Call, new: Object, old: Object | None) -> None:
    aggregates = part(new, "aggregationRule")
    if old is not None and new.get("rules") == old.get("rules") and aggregates == part(old, "aggregationRule"):
        return
    if api.authorizer.allows(call.user, _act(call, "escalate", call.kind.plural, new["metadata"].get("name", ""))):
        return
    wanted = rbac.EVERYTHING if aggregates else rbac.rules_of(new)
    _require_held(api, call, new, wanted)


def _check_binding(api: Api, call: Call, new: Object, old: Object | None) -> None:
    if old is not None and all(new.get(key) == old.get(key) for key in ("roleRef", "subjects")):
        return
    ref = part(new, "roleRef")
    plural, name = ("roles" if ref.get("kind") == "Role" else "clusterroles"), str(ref.get("name", ""))
    if api.authorizer.allows(call.user, _act(call, "bind", plural, name)):
        return
    rules = api.authorizer.rules_of(ref, call.route.ns)
    if rules is None:
        raise not_found(plural, rbac.GROUP, name)
    _require_held(api, call, new, rules)


def _act(call: Call, verb: str, plural: str, name: str) -> Act:
    return Act(verb, rbac.GROUP, plural, call.route.ns, name)


def _require_held(api: Api, call: Call, new: Object, wanted: tuple[Rule, ...]) -> None:
    lacking = rbac.missing(api.authorizer.held(call.user).rules(call.route.ns), wanted)
    if lacking:
        raise _refusal(call, new, lacking)


def _refusal(call: Call, new: Object, lacking: list[Rule]) -> StatusError:
    groups = ", ".join(f'"{name}"' for name in call.user.groups)
    text = f'user "{call.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:'
    listed = "\n".join(rbac.shown(rule) for rule in lacking)
    return forbidden(call.kind.plural, rbac.GROUP, new["metadata"].get("name", ""), f"{text}\n{listed}")
