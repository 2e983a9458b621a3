"""Which applier owns which fields, in the form that Kubernetes keeps in `metadata.managedFields` (FieldsV1)."""

from holdfast.embedded.apiserver.errors import Object


def same(old: Object, new: Object) -> bool:
    """Whether a write would change nothing."""
    return old == new


def release(old: Object, new: Object) -> None:
    """Take fields that an ordinary write changed away from the appliers that owned them, in place."""
