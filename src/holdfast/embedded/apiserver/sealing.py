"""Clear secrets that never reach the store: what a kind's sealer takes out of an object becomes a Secret in the same write.

The Secret belongs to the object by its owner reference, and only a Secret that does is ever replaced.
"""

from holdfast.embedded.apiserver import metadata
from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import invalid
from holdfast.embedded.apiserver.objects import Object, parts
from holdfast.embedded.apiserver.store import Key, Transaction

_SECRETS = "/secrets"


def seal(api: Api, call: Call, transaction: Transaction, new: Object) -> None:
    """Change `new` in place and write its Secret; 422 when the Secret's name is taken by somebody else's."""
    sealer = api.sealers.get((call.kind.group, call.kind.kind))
    sealed = sealer(new) if sealer else None
    if sealed is None:
        return
    clean, secret = sealed
    meta = secret["metadata"]
    key = Key(_SECRETS, meta["namespace"], meta["name"])
    there = transaction.get(key)
    if there is None:
        metadata.stamp_new(meta, generation=False)
    else:
        present = there.object()["metadata"]
        if not any(each.get("uid") == new["metadata"]["uid"] for each in parts(present, "ownerReferences")):
            why = f"Secret {key.name} exists and does not belong to this object: rename or remove it"
            raise invalid(call.kind.kind, call.kind.group, new["metadata"]["name"], [("spec", why)])
        metadata.keep_system(meta, present)
        if held := present.get("finalizers"):
            meta["finalizers"] = held
    transaction.put(key, secret)
    new.clear()
    new.update(clean)
