"""Strategic merge patch for built-in kinds."""

from holdfast.embedded.apiserver.errors import Object
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.patches import merge


def strategic(kind: Kind, target: Object, patch: Object) -> Object:
    """The patched document."""
    return merge(target, patch)
