"""What a cluster decides about built-in objects before they are stored, in the order of Kubernetes' own admission:
service account, limit ranges, priority; and, once an object is found right, the quotas of its namespace.
"""

from holdfast.embedded.apiserver import limits, podidentity
from holdfast.embedded.apiserver.errors import forbidden
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.store import Transaction

LIMIT_RANGES = "/limitranges"
CLAIMS = "/persistentvolumeclaims"


def born(transaction: Transaction, kind: Kind, obj: Object) -> None:
    """Complete a new object in place; 403 for what may not be."""
    if kind.resource == "/pods":
        podidentity.settle(transaction, obj)
    if kind.resource in ("/pods", CLAIMS):
        _limit(transaction, kind, obj)


def grown(transaction: Transaction, kind: Kind, new: Object, old: Object) -> None:
    """Judge an update, in place where it leaves open what stays; 403 for what may not be."""
    if kind.resource == "/pods":
        podidentity.keep(new, old)
    elif kind.resource == CLAIMS and new.get("spec") != old.get("spec"):
        _limit(transaction, kind, new)


def _limit(transaction: Transaction, kind: Kind, obj: Object) -> None:
    ranges = [record.object() for record in transaction.objects(LIMIT_RANGES, obj["metadata"]["namespace"])]
    if not ranges:
        return
    if kind.resource == "/pods":
        limits.fill(ranges, obj)
    if found := limits.problems(ranges, kind.resource, obj):
        why = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        raise forbidden(kind.plural, kind.group, obj["metadata"].get("name", ""), why)
