"""The KubeBlocks dialect: its handlers, and every kind that they look at."""

from collections.abc import Sequence

from holdfast.core.objects import Kind
from holdfast.core.ports import Handler


class KubeBlocks:
    """Implements `core.ports.Dialect`."""

    name = "kubeblocks"

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        return ()

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up or owns, beside the handled ones."""
        return ()

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets."""
        return ()
