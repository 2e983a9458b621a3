"""The owner reference that the original adds after creation: the Cluster that `targetCluster` names, and nothing else."""

from holdfast.core.objects import Object
from holdfast.core.plan import Amend
from holdfast.core.read import items, name_of, uid_of


def reference(cluster: Object) -> Object:
    """Return the entry: apiVersion, kind, name, uid."""
    return {"apiVersion": cluster["apiVersion"], "kind": cluster["kind"], "name": name_of(cluster), "uid": uid_of(cluster)}


def adopt(obj: Object, cluster: Object) -> Amend | None:
    """Return the change that ties an object to its Cluster; None when it is tied."""
    wanted = [reference(cluster)]
    present = items(obj, "metadata", "ownerReferences")
    if [{key: each.get(key) for key in wanted[0]} for each in present] == wanted:
        return None
    return Amend({"metadata": {"ownerReferences": wanted}})
