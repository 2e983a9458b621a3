"""Role-based access control, as values: what a rule allows, what a set of rules covers, how a refusal reads.

Nothing here knows of stored objects or of requests; `authorizer` finds the rules of a caller. The semantics are those of
Kubernetes' RBAC reference: rules only allow, `*` stands for everything, `pods/log` names a subresource and `*/log` that
subresource of every kind, `resourceNames` narrows a rule to named objects, and a URL may end in `*`.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from holdfast.embedded.apiserver.objects import Object, parts, texts

GROUP: Final = "rbac.authorization.k8s.io"
MASTERS: Final = "system:masters"
ANY: Final = "*"


class Act(NamedTuple):
    """What is to be allowed. `resource` holds the subresource (`pods/log`); `path` is set for URLs that are no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    ns: str = ""
    name: str = ""
    path: str = ""


class Rule(NamedTuple):
    """One PolicyRule; a rule on URLs has no groups and no resources."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()

    def allows_kind(self, verb: str, group: str, resource: str) -> bool:
        """Whether the rule is about this verb on this resource, whatever the object's name."""
        if not (_has(self.verbs, verb) and _has(self.groups, group)):
            return False
        sub = resource.partition("/")[2]
        return _has(self.resources, resource) or (bool(sub) and f"*/{sub}" in self.resources)

    def allows_url(self, verb: str, path: str) -> bool:
        """Whether the rule allows a verb on a URL that is no resource."""
        return _has(self.verbs, verb) and any(_url_matches(url, path) for url in self.urls)


EVERYTHING: Final = (
    Rule(frozenset({ANY}), frozenset({ANY}), frozenset({ANY})),
    Rule(frozenset({ANY}), urls=(ANY,)),
)
"""What a member of `system:masters` may do, whatever the stored roles say."""


def _has(allowed: frozenset[str], wanted: str) -> bool:
    return wanted in allowed or ANY in allowed


def _url_matches(url: str, path: str) -> bool:
    return url == path or (url.endswith(ANY) and path.startswith(url[:-1]))


def rules_of(role: Object) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(
        Rule(
            frozenset(texts(item, "verbs")),
            frozenset(texts(item, "apiGroups")),
            frozenset(texts(item, "resources")),
            frozenset(texts(item, "resourceNames")),
            tuple(texts(item, "nonResourceURLs")),
        )
        for item in parts(role, "rules")
    )


def document(rule: Rule) -> Object:
    """A rule as PolicyRule and ResourceRule spell it."""
    found: Object = {"verbs": sorted(rule.verbs)}
    if rule.urls:
        return {**found, "nonResourceURLs": list(rule.urls)}
    found |= {"apiGroups": sorted(rule.groups), "resources": sorted(rule.resources)}
    return {**found, "resourceNames": sorted(rule.names)} if rule.names else found


def allows(rules: Iterable[Rule], act: Act) -> bool:
    """Whether one of the rules allows the act."""
    if act.path:
        return any(rule.allows_url(act.verb, act.path) for rule in rules)
    return any(
        rule.allows_kind(act.verb, act.group, act.resource) and (not rule.names or act.name in rule.names) for rule in rules
    )


def _single(rule: Rule) -> Iterator[Rule]:
    """A rule taken apart into rules of one verb, one group, one resource and one name."""
    for verb in sorted(rule.verbs):
        for url in rule.urls:
            yield Rule(frozenset({verb}), urls=(url,))
        for group in sorted(rule.groups):
            for resource in sorted(rule.resources):
                for name in sorted(rule.names) or [""]:
                    names = frozenset({name}) if name else frozenset[str]()
                    yield Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), names)


def _holds(rule: Rule, single: Rule) -> bool:
    verb = next(iter(single.verbs))
    if single.urls:
        return rule.allows_url(verb, single.urls[0])
    kind = rule.allows_kind(verb, next(iter(single.groups)), next(iter(single.resources)))
    return kind and (not rule.names or (bool(single.names) and single.names <= rule.names))


def missing(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that `held` does not cover, each of one verb and one resource: what would be an escalation."""
    rules = tuple(held)
    singles = dict.fromkeys(single for rule in wanted for single in _single(rule))
    return [single for single in singles if not any(_holds(rule, single) for rule in rules)]


def shown(rule: Rule) -> str:
    """A rule on one line of a refusal."""
    if rule.urls:
        return f"{{NonResourceURLs:{_quoted(rule.urls)}, Verbs:{_quoted(sorted(rule.verbs))}}}"
    names = f", ResourceNames:{_quoted(sorted(rule.names))}" if rule.names else ""
    groups, resources = _quoted(sorted(rule.groups)), _quoted(sorted(rule.resources))
    return f"{{APIGroups:{groups}, Resources:{resources}{names}, Verbs:{_quoted(sorted(rule.verbs))}}}"


def _quoted(items: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def refusal(user: str, act: Act) -> str:
    """Why an act is refused, in the words that tools look for."""
    if act.path:
        return f'User "{user}" cannot {act.verb} path "{act.path}"'
    scope = f'in the namespace "{act.ns}"' if act.ns else "at the cluster scope"
    return f'User "{user}" cannot {act.verb} resource "{act.resource}" in API group "{act.group}" {scope}'
