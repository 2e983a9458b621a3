"""Who may do what: an index of the stored roles and bindings, asked on every request.

The index follows the store through a listener and never lists. What a caller holds is gathered once and remembered until
a role or binding changes, and so is every answer, so that a request costs two look-ups. Roles and bindings are few and
change seldom: any change empties what is remembered.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from holdfast.embedded.apiserver import rbac
from holdfast.embedded.apiserver.auth import User
from holdfast.embedded.apiserver.errors import StatusError, denied
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.rbac import Act, Rule
from holdfast.embedded.apiserver.store import Change, Record, Store

CLUSTER_ROLES: Final = f"{rbac.GROUP}/clusterroles"
ROLES: Final = f"{rbac.GROUP}/roles"
CLUSTER_BINDINGS: Final = f"{rbac.GROUP}/clusterrolebindings"
BINDINGS: Final = f"{rbac.GROUP}/rolebindings"
_REMEMBERED: Final = 4096

Subject = tuple[str, str]
RoleKey = tuple[str, str]


class Bound(NamedTuple):
    """One subject's share in a binding; `ns` is empty for a ClusterRoleBinding, `role` is (namespace or empty, name)."""

    ns: str
    binding: str
    role: RoleKey
    subject: Subject

    def __str__(self) -> str:
        binding = "RoleBinding" if self.ns else "ClusterRoleBinding"
        role = "Role" if self.role[0] else "ClusterRole"
        where = f"{self.binding}/{self.ns}" if self.ns else self.binding
        return f'RBAC: allowed by {binding} "{where}" of {role} "{self.role[1]}" to {self.subject[0]} "{self.subject[1]}"'


class Held:
    """The rules that one caller holds, and the answers already given. An answer is yes, no, or the names it is yes for."""

    def __init__(self, found: list[tuple[Bound, tuple[Rule, ...]]]) -> None:
        self.found = found
        self._answers: dict[tuple[str, str, str, str], bool | frozenset[str]] = {}

    def rules(self, ns: str) -> Iterator[Rule]:
        """What holds in a namespace, or at cluster scope for an empty one."""
        for bound, rules in self.found:
            if not bound.ns or bound.ns == ns:
                yield from rules

    def allows(self, act: Act) -> bool:
        """Whether the caller may do it."""
        if act.path:
            return any(rule.allows_url(act.verb, act.path) for rule in self.rules(""))
        key = act.verb, act.group, act.resource, act.ns
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            answer = self._answers[key] = self._answer(act)
        return answer if isinstance(answer, bool) else act.name in answer

    def _answer(self, act: Act) -> bool | frozenset[str]:
        fitting = [rule for rule in self.rules(act.ns) if rule.allows_kind(act.verb, act.group, act.resource)]
        if any(not rule.names for rule in fitting):
            return True
        return frozenset(name for rule in fitting for name in rule.names)


class Authorizer:
    """Build it on an open store; `require` and `allows` answer from then on."""

    def __init__(self, store: Store) -> None:
        self._roles: dict[RoleKey, tuple[Rule, ...]] = {}
        self._bound: dict[Subject, set[Bound]] = {}
        self._by_binding: dict[tuple[str, str], list[Bound]] = {}
        self._held: dict[tuple[str, tuple[str, ...]], Held] = {}
        for res in (CLUSTER_ROLES, ROLES, CLUSTER_BINDINGS, BINDINGS):
            for record in store.page(res).records:
                self._take(record, gone=False)
        store.listeners.append(self._notice)

    def _notice(self, changes: list[Change]) -> None:
        for change in changes:
            if change.new.key.res.startswith(rbac.GROUP):
                self._take(change.new, gone=change.type == "DELETED")

    def _take(self, record: Record, *, gone: bool) -> None:
        ns, name = record.key.ns, record.key.name
        if record.key.res in (CLUSTER_ROLES, ROLES):
            if gone:
                self._roles.pop((ns, name), None)
            else:
                self._roles[ns, name] = rbac.rules_of(record.object())
        else:
            for bound in self._by_binding.pop((ns, name), []):
                self._bound[bound.subject].discard(bound)
            if not gone:
                found = self._by_binding[ns, name] = list(_bound(ns, name, record.object()))
                for bound in found:
                    self._bound.setdefault(bound.subject, set()).add(bound)
        self._held.clear()

    def rules_of(self, ref: Object, ns: str) -> tuple[Rule, ...] | None:
        """The rules of the role that a binding in `ns` refers to; None when there is no such role."""
        return self._roles.get((ns if ref.get("kind") == "Role" else "", str(ref.get("name", ""))))

    def held(self, user: User) -> Held:
        """All rules that a caller holds."""
        key = user.name, user.groups
        found = self._held.get(key)
        if found is None:
            if len(self._held) >= _REMEMBERED:
                self._held.clear()
            found = self._held[key] = self._gather(user)
        return found

    def _gather(self, user: User) -> Held:
        subjects: list[Subject] = [("User", user.name), *(("Group", name) for name in user.groups)]
        head, _, account = user.name.rpartition("system:serviceaccount:")
        if not head and account:
            subjects.append(("ServiceAccount", account.replace(":", "/")))
        found = [(bound, self._roles.get(bound.role, ())) for subject in subjects for bound in self._bound.get(subject, ())]
        if rbac.MASTERS in user.groups:
            found.append((Bound("", "cluster-admin", ("", "cluster-admin"), ("Group", rbac.MASTERS)), rbac.EVERYTHING))
        return Held(found)

    def allows(self, user: User, act: Act) -> bool:
        """Whether a caller may do it."""
        return rbac.MASTERS in user.groups or self.held(user).allows(act)

    def reason(self, user: User, act: Act) -> str:
        """Which binding allows the act; empty when none does."""
        for bound, rules in self.held(user).found:
            if (not bound.ns or bound.ns == act.ns) and rbac.allows(rules, act):
                return str(bound)
        return ""

    def require(self, user: User, act: Act) -> None:
        """403 unless the caller may do it."""
        if not self.allows(user, act):
            raise self.refusal(user, act)

    def refusal(self, user: User, act: Act) -> StatusError:
        """The 403 of an act."""
        return denied(act.resource.partition("/")[0], act.group, act.name, rbac.refusal(user.name, act))


def _bound(ns: str, name: str, binding: Object) -> Iterator[Bound]:
    ref = part(binding, "roleRef")
    role = (ns if ref.get("kind") == "Role" else "", str(ref.get("name", "")))
    for subject in parts(binding, "subjects"):
        kind, who = str(subject.get("kind", "")), str(subject.get("name", ""))
        if kind == "ServiceAccount":
            who = f"{subject.get('namespace') or ns}/{who}"
        yield Bound(ns, name, role, (kind, who))
