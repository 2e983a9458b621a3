"""The kinds that are asked and never stored: who am I, may I, may somebody else, what may I do here.

A review is created and answered in one request. Answers come from the same authorizer that judges requests.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from holdfast.embedded.apiserver.ages import now, stamp
from holdfast.embedded.apiserver.api import Api
from holdfast.embedded.apiserver.auth import User
from holdfast.embedded.apiserver.errors import invalid
from holdfast.embedded.apiserver.objects import Object, part, texts
from holdfast.embedded.apiserver.rbac import Act, Rule, document
from holdfast.embedded.apiserver.request import Route
from holdfast.embedded.apiserver.wire import parse_object

_AUTHENTICATION: Final = "authentication.k8s.io"
_AUTHORIZATION: Final = "authorization.k8s.io"


class Asked(NamedTuple):
    """One review: who asks, in which namespace of the URL, and the body."""

    api: Api
    user: User
    ns: str
    kind: str
    body: Object

    @property
    def spec(self) -> Object:
        """The question."""
        return part(self.body, "spec")


def _act(asked: Asked) -> Act:
    """The act that a review asks about; 422 unless it asks about exactly one."""
    resource, path = asked.spec.get("resourceAttributes"), asked.spec.get("nonResourceAttributes")
    if (resource is None) is (path is None):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid(
            asked.kind, _AUTHORIZATION, "", [("spec.resourceAttributes", f"spec.resourceAttributes: Invalid value: {why}")]
        )
    if path is not None:
        found = part(asked.spec, "nonResourceAttributes")
        return Act(_text(found, "verb"), path=_text(found, "path") or "/")
    found = part(asked.spec, "resourceAttributes")
    named = _text(found, "resource")
    if _text(found, "subresource"):
        named = f"{named}/{_text(found, 'subresource')}"
    return Act(_text(found, "verb"), _text(found, "group"), named, _text(found, "namespace"), _text(found, "name"))


def _text(obj: Object, key: str) -> str:
    value = obj.get(key)
    return value if isinstance(value, str) else ""


def _judged(asked: Asked, user: User, act: Act) -> Object:
    reason = asked.api.authorizer.reason(user, act)
    return {"allowed": bool(reason), "reason": reason} if reason else {"allowed": False}


def _token(asked: Asked) -> Object:
    status = asked.api.auth.review(_text(asked.spec, "token"), list(texts(asked.spec, "audiences")))
    asked.body["spec"] = {key: value for key, value in asked.spec.items() if key != "token"}
    return status


def _self(asked: Asked) -> Object:
    return {"userInfo": asked.user.info()}


def _self_access(asked: Asked) -> Object:
    return _judged(asked, asked.user, _act(asked))


def _access(asked: Asked) -> Object:
    act, name, groups = _act(asked), _text(asked.spec, "user"), texts(asked.spec, "groups")
    if not name and not groups:
        why = "spec.user: Invalid value: at least one of user or group must be specified"
        raise invalid(asked.kind, _AUTHORIZATION, "", [("spec.user", why)])
    if asked.ns and act.ns != asked.ns:
        field = "spec.resourceAttributes.namespace"
        raise invalid(asked.kind, _AUTHORIZATION, "", [(field, f"{field}: Invalid value: must match metadata.namespace")])
    return _judged(asked, User(name, groups=tuple(groups)), act)


def _rules(asked: Asked) -> Object:
    held: list[Rule] = list(dict.fromkeys(asked.api.authorizer.held(asked.user).rules(_text(asked.spec, "namespace"))))
    return {
        "incomplete": False,
        "nonResourceRules": [document(rule) for rule in held if rule.urls],
        "resourceRules": [document(rule) for rule in held if not rule.urls],
    }


class Review(NamedTuple):
    """One review kind; `answer` makes its status."""

    group: str
    kind: str
    plural: str
    namespaced: bool
    answer: Callable[[Asked], Object]


REVIEWS: Final = (
    Review(_AUTHENTICATION, "TokenReview", "tokenreviews", False, _token),
    Review(_AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", False, _self),
    Review(_AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", True, _access),
    Review(_AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", False, _self_access),
    Review(_AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", False, _rules),
    Review(_AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", False, _access),
)
_BY_PATH: Final = {(review.group, "v1", review.plural): review for review in REVIEWS}


def find(route: Route) -> Review | None:
    """The review kind behind a URL, or None."""
    return _BY_PATH.get(route[:3])


def answer(api: Api, review: Review, route: Route, user: User, raw: bytes) -> Object:
    """The review with its status; 422 for a question that cannot be answered."""
    body = parse_object(raw)
    status = review.answer(Asked(api, user, route.ns, review.kind, body))
    meta = {"creationTimestamp": stamp(now()), **part(body, "metadata")}
    head = {"kind": review.kind, "apiVersion": f"{review.group}/v1"}
    return {**head, "metadata": meta, "spec": part(body, "spec"), "status": status}
