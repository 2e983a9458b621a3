"""Which APIs an operator speaks in a cluster that others use too: those whose kinds are installed, and are ours.

A CRD of another product is never touched. An API whose CRDs somebody else installed (its original operator, most likely) stays
off, since two operators on one object would undo each other's work; naming it with `--api` is the explicit choice to speak it.
"""

from collections.abc import Sequence

import msgspec

from holdfast.cli.dialects import KINDS, dialects
from holdfast.cli.errors import HoldfastError
from holdfast.core.objects import Object
from holdfast.core.ports import Dialect
from holdfast.kube.builtin import CRDS
from holdfast.kube.client import Client
from holdfast.schema.emit import HOLDFAST, MANAGED_BY


class Choice(msgspec.Struct, frozen=True):
    """The dialects to speak, and why others are left out: sentences for the log."""

    dialects: tuple[Dialect, ...]
    left_out: tuple[str, ...] = ()


async def choose(client: Client, named: Sequence[str]) -> Choice:
    """Look at the CRDs of the cluster and choose. Raises HoldfastError for an unknown name, and when nothing is left."""
    present = {obj["metadata"]["name"]: obj for obj in (await client.list(CRDS)).items}
    choice = choice_of(present, named)
    if not choice.dialects:
        why = "; ".join(choice.left_out)
        raise HoldfastError(f"no API can be spoken here: {why}. Apply deploy/kustomize or the chart first")
    return choice


def choice_of(present: dict[str, Object], named: Sequence[str]) -> Choice:
    """Choose among the dialects by the CRDs that are there. Pure."""
    if unknown := sorted(set(named) - set(KINDS)):
        raise HoldfastError(f"--api {unknown[0]}: known are {', '.join(KINDS)}")
    chosen: list[Dialect] = []
    left_out: list[str] = []
    for dialect in dialects():
        why = _obstacle(dialect.name, present, explicit=dialect.name in named)
        if named and dialect.name not in named:
            continue
        if why:
            left_out.append(f"{dialect.name}: {why}")
        else:
            chosen.append(dialect)
    return Choice(tuple(chosen), tuple(left_out))


def _obstacle(api: str, present: dict[str, Object], *, explicit: bool) -> str:
    missing = [spec for spec in KINDS[api] if spec.crd_name not in present]
    if missing:
        other = ": its own product brings it, or deploy/kustomize/referenced" if missing[0].referenced else ""
        return f"CRD {missing[0].crd_name} is not installed{other}"
    own = [spec.crd_name for spec in KINDS[api] if not spec.referenced]
    foreign = [name for name in own if present[name]["metadata"].get("labels", {}).get(MANAGED_BY) != HOLDFAST]
    if foreign and not explicit:
        return f"CRD {foreign[0]} belongs to another product: say --api {api} to speak it beside that product's operator"
    return ""
