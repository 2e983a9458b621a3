"""What makes a role or binding valid, and the parts of it that are filled in (Kubernetes' RBAC validation)."""

from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, part, parts, texts
from holdfast.embedded.apiserver.rbac import GROUP
from holdfast.embedded.apiserver.selectors import label_test

_SUBJECT_GROUPS = {"User": GROUP, "Group": GROUP, "ServiceAccount": ""}


def fill(obj: Object) -> None:
    """Fill in the API groups of a binding's role and subjects, in place."""
    if isinstance(obj.get("roleRef"), dict) and not obj["roleRef"].get("apiGroup"):
        obj["roleRef"]["apiGroup"] = GROUP
    for subject in parts(obj, "subjects"):
        group = _SUBJECT_GROUPS.get(str(subject.get("kind")), "")
        if group and not subject.get("apiGroup"):
            subject["apiGroup"] = group


def role(new: Object, old: Object | None) -> list[Cause]:
    """Each rule needs verbs, and either groups with resources or URLs; URLs belong to ClusterRoles alone."""
    del old
    found: list[Cause] = []
    for index, rule in enumerate(parts(new, "rules")):
        found += _rule_problems(rule, f"rules[{index}]", in_namespace=new["kind"] == "Role")
    for index, selector in enumerate(parts(new, "aggregationRule", "clusterRoleSelectors")):
        field = f"aggregationRule.clusterRoleSelectors[{index}]"
        try:
            label_test(selector)
        except StatusError as error:
            found.append((field, f"{field}: Invalid value: {error.message}"))
    return found


def _rule_problems(rule: Object, at: str, *, in_namespace: bool) -> list[Cause]:
    found = [] if texts(rule, "verbs") else [_required(f"{at}.verbs", "verbs must contain at least one value")]
    if texts(rule, "nonResourceURLs"):
        field = f"{at}.nonResourceURLs"
        if in_namespace:
            found.append((field, f"{field}: Invalid value: namespaced rules cannot apply to non-resource URLs"))
        if any(texts(rule, key) for key in ("apiGroups", "resources", "resourceNames")):
            found.append((field, f"{field}: Invalid value: rules cannot apply to both regular resources and non-resource URLs"))
        return found
    if not texts(rule, "apiGroups"):
        found.append(_required(f"{at}.apiGroups", "resource rules must supply at least one api group"))
    if not texts(rule, "resources"):
        found.append(_required(f"{at}.resources", "resource rules must supply at least one resource"))
    return found


def binding(new: Object, old: Object | None) -> list[Cause]:
    """A binding refers to one role for ever, and names each subject in full."""
    ref = part(new, "roleRef")
    kinds = ("Role", "ClusterRole") if new["kind"] == "RoleBinding" else ("ClusterRole",)
    found: list[Cause] = []
    if ref.get("kind") not in kinds:
        allowed = ", ".join(f'"{kind}"' for kind in kinds)
        text = f'roleRef.kind: Unsupported value: "{ref.get("kind", "")}": supported values: {allowed}'
        found.append(("roleRef.kind", text))
    if ref.get("apiGroup") != GROUP:
        text = f'roleRef.apiGroup: Unsupported value: "{ref.get("apiGroup", "")}": supported values: "{GROUP}"'
        found.append(("roleRef.apiGroup", text))
    if not ref.get("name"):
        found.append(_required("roleRef.name"))
    if old is not None and part(old, "roleRef") != ref:
        found.append(("roleRef", "roleRef: Invalid value: cannot change roleRef"))
    for index, subject in enumerate(parts(new, "subjects")):
        found += _subject_problems(subject, f"subjects[{index}]", in_namespace=new["kind"] == "RoleBinding")
    return found


def _subject_problems(subject: Object, at: str, *, in_namespace: bool) -> list[Cause]:
    kind = subject.get("kind")
    if kind not in _SUBJECT_GROUPS:
        allowed = ", ".join(f'"{name}"' for name in sorted(_SUBJECT_GROUPS))
        return [(f"{at}.kind", f'{at}.kind: Unsupported value: "{kind or ""}": supported values: {allowed}')]
    found = [] if subject.get("name") else [_required(f"{at}.name")]
    if subject.get("apiGroup", "") != _SUBJECT_GROUPS[kind]:
        wanted = _SUBJECT_GROUPS[kind]
        text = f'{at}.apiGroup: Unsupported value: "{subject.get("apiGroup")}": supported values: "{wanted}"'
        found.append((f"{at}.apiGroup", text))
    if kind == "ServiceAccount" and not subject.get("namespace") and not in_namespace:
        found.append(_required(f"{at}.namespace"))
    return found


def _required(field: str, why: str = "") -> Cause:
    return field, f"{field}: Required value" + (f": {why}" if why else "")
