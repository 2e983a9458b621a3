"""What people are told in events on a Backup or Restore: what its jobs wait for."""

from collections.abc import Sequence

from holdfast.core.plan import Note, Step
from holdfast.core.ports import View
from holdfast.dialects.kubeblocks import stuck


def waits(steps: Sequence[Step], view: View) -> tuple[Note, ...]:
    """Return what keeps running steps from their work, such as a Secret or an account that does not exist."""
    found = [(step.name, stuck.obstacle(view, step.child)) for step in steps]
    return tuple(
        Note(each.reason, f"{name} waits: {each.message}", warning=True) for name, each in found if each and each.message
    )
