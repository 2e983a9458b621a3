"""Label and field selectors: text to predicate.

Label selectors know equality, sets and existence. Field selectors compare as text what a kind lets them name; another path is
refused, since a slip in `kubectl delete --field-selector` would select everything.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple, cast

from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.objects import Object, part, parts, texts
from holdfast.embedded.apiserver.store import Record

Labels = Mapping[str, str]
LabelTest = Callable[[Labels], bool]

_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|!=|=)\s*(?P<value>[^\s!=,()]*)$")
_EXISTS = re.compile(r"^(?P<no>!?)\s*(?P<key>[^\s!=,()]+)$")
_LABEL_KEY = re.compile(r"^([a-z0-9A-Z.-]+/)?[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$")


def _requirements(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    return [term.strip() for term in re.split(r",(?![^()]*\))", text) if term.strip()]


def _label_test(text: str) -> LabelTest:
    if found := _SET.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        key, absent = found["key"], bool(found["no"])
        return lambda labels: (key in labels) != absent
    raise bad_request(f'unable to parse label selector: "{text}" is none of key=value, key!=value, key in (a,b), key, !key')


def parse_labels(text: str) -> LabelTest | None:
    """The predicate of a label selector; None when it selects everything."""
    tests = [_label_test(term) for term in _requirements(text)]
    for term in _requirements(text):
        key = re.split(r"[\s!=]+", term.lstrip("! "), maxsplit=1)[0]
        if not _LABEL_KEY.match(key):
            raise bad_request(f'unable to parse label selector "{text}": "{key}" is not a label key')
    if not tests:
        return None
    return lambda labels: all(test(labels) for test in tests)


def label_test(selector: Object) -> LabelTest:
    """The predicate of a LabelSelector document; one that is empty selects everything. 400 for an unknown operator."""
    terms = [f"{key}={value}" for key, value in part(selector, "matchLabels").items()]
    for item in parts(selector, "matchExpressions"):
        key, values = str(item.get("key", "")), ",".join(texts(item, "values"))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}"}
        term = forms.get(str(item.get("operator")))
        if term is None:
            raise bad_request(f"label selector: operator {item.get('operator')!r} is none of {', '.join(forms)}")
        terms.append(term)
    return parse_labels(",".join(terms)) or (lambda labels: True)


class FieldTerm(NamedTuple):
    """`path` equals (or not) `value`, both as text; an absent field is the empty text."""

    path: str
    value: str
    equal: bool

    def matches(self, obj: Object) -> bool:
        """Whether the object passes."""
        return (_text_at(obj, self.path) == self.value) is self.equal


def _text_at(obj: Object, path: str) -> str:
    value: Any = obj
    for step in path.split("."):
        if not isinstance(value, dict):
            return ""
        value = cast(Object, value).get(step)
    if value is None:
        return "false" if path in _FLAGS else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_ALWAYS: Final = ("metadata.name", "metadata.namespace")
_FLAGS: Final = ("spec.hostNetwork", "spec.unschedulable")
"""What counts as false when it is left out."""
_FIELD = re.compile(r"^(?P<path>[\w.\-/\[\]]+?)\s*(?P<op>==|!=|=)(?P<value>.*)$")


def parse_fields(text: str) -> list[FieldTerm]:
    """The terms of a field selector, all of which must hold."""
    terms: list[FieldTerm] = []
    for term in filter(None, re.split(r"(?<!\\),", text)):
        found = _FIELD.match(term)
        if found is None:
            raise bad_request(f'invalid field selector "{term}": write path=value or path!=value')
        value = re.sub(r"\\([\\,=])", r"\1", found["value"])
        terms.append(FieldTerm(found["path"], value, found["op"] != "!="))
    return terms


def only_name(text: str) -> str:
    """The only name that a field selector can match, or empty: what a role that names its objects is asked about."""
    return next((term.value for term in parse_fields(text) if term.path == "metadata.name" and term.equal), "")


class Selector:
    """Both selectors of one request; `everything` is true when none was given.

    400 for what can't be read and for a path that is not in `selectable`.
    """

    def __init__(self, labels: str = "", fields: str = "", selectable: Collection[str] = ()) -> None:
        self._labels = parse_labels(labels)
        self._fields = parse_fields(fields)
        for term in self._fields:
            if term.path not in _ALWAYS and term.path not in selectable:
                known = ", ".join([*_ALWAYS, *selectable])
                raise bad_request(f'field label not supported: "{term.path}" is none of {known}')
        self.everything = self._labels is None and not self._fields

    def matches(self, record: Record) -> bool:
        """Whether a stored object is selected."""
        if self._labels is not None and not self._labels(record.labels):
            return False
        if not self._fields:
            return True
        rest = [term for term in self._fields if not self._by_key(term)]
        keyed = all(self._key_matches(term, record) for term in self._fields if self._by_key(term))
        if not keyed or not rest:
            return keyed
        obj = record.object()
        return all(term.matches(obj) for term in rest)

    @staticmethod
    def _by_key(term: FieldTerm) -> bool:
        return term.path in _ALWAYS

    @staticmethod
    def _key_matches(term: FieldTerm, record: Record) -> bool:
        found = record.key.name if term.path == "metadata.name" else record.key.ns
        return (found == term.value) is term.equal
