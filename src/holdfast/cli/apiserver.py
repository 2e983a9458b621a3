"""`holdfast apiserver`: the embedded API server alone, with the dialects' own judgement as admission."""

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from holdfast.cli import rights
from holdfast.cli.children import signal_ready
from holdfast.cli.datadir import DEFAULT
from holdfast.cli.dialects import ALL_KINDS, COMMON, handlers, resource_of
from holdfast.cli.service import add_service, serve, settle
from holdfast.core.objects import Kind, Object
from holdfast.core.ports import Handler, Refs, Sealing
from holdfast.embedded.apiserver import default_roles
from holdfast.embedded.apiserver.api import AdmissionCheck, Reader, Sealer
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.engine.secrets import owned_secret


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_service(parser)
    parser.add_argument("--data-dir", type=Path, default=DEFAULT, help="where everything is kept (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 chooses one, once, and keeps it (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    return serve(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    data_dir, checks = arguments.data_dir.expanduser(), admission(handlers())
    server = ApiServer(
        data_dir, port=arguments.port, admission=checks, roles=(*backup_roles(), *operator_roles()), sealers=sealers(handlers())
    )
    await server.start()
    try:
        settle()
        signal_ready(arguments.ready_fd)
        await asyncio.Event().wait()
    finally:
        await server.stop()


def backup_roles() -> Sequence[Object]:
    """Return ClusterRoles that let holders of `view` read the kinds of the dialects, and holders of `edit` change them."""
    found: list[Object] = []
    for name, specs in ALL_KINDS.items():
        plurals: dict[str, list[str]] = {}
        for spec in specs:
            resource = resource_of(spec)
            plurals.setdefault(resource.group, []).append(resource.plural)
        verbs_of = {"view": default_roles.READ} | ({} if name == COMMON else {"edit": default_roles.WRITE})
        for target, verbs in verbs_of.items():
            rules = [default_roles.rule(verbs, group, " ".join(names)) for group, names in plurals.items()]
            found.append(default_roles.part_of(target, f"holdfast:{name}-{target}", *rules))
    return found


def operator_roles() -> Sequence[Object]:
    """Return the operator's rights, bound to the identity that it has here: the same that it has in a cluster."""
    operator: Object = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "holdfast:operator"}
    rest: Object = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "holdfast:rest"}
    lease = {**rights.lease_role(""), "kind": "ClusterRole", "metadata": {"name": "holdfast-lease"}}
    roles: list[Object] = [*rights.operator_roles(), lease]
    names: list[str] = [role["metadata"]["name"] for role in roles]
    bound = [rights.binding("ClusterRole", name, name, operator) for name in names]
    served = [rights.rest_role(), rights.binding("ClusterRole", rights.REST, rights.REST, rest)]
    return [*roles, rights.secrets_role(), *bound, *served]


def admission(found: Sequence[Handler]) -> Mapping[tuple[str, str], AdmissionCheck]:
    """Return each handler's `validate` as the check of its kind, so that a user reads the problem in kubectl's answer.

    Only a write that changes the spec is judged: labels and finalizers must never depend on what became of other objects,
    or nothing could be deleted once they are gone.
    """
    return {kind: _check(judge) for kind, judge in judges(found).items()}


def sealers(found: Sequence[Handler]) -> Mapping[tuple[str, str], Sealer]:
    """Return what takes clear secrets out of the objects of each kind that may have some, before anything is stored."""
    return {(each.kind.group, each.kind.kind): _sealer(each) for each in found if isinstance(each, Sealing)}


def _sealer(handler: Sealing) -> Sealer:
    def seal(obj: Object) -> tuple[Object, Object] | None:
        sealed = handler.seal(obj)
        return (sealed.object, owned_secret(obj, sealed.secret)) if sealed and sealed.secret else None

    return seal


Judge = Callable[[Object, Object | None, Refs], list[str]]
"""(new, old or None, what else there is) -> what is wrong, as sentences."""


def judges(found: Sequence[Handler]) -> Mapping[tuple[str, str], Judge]:
    """Return what judges the writes of each kind."""
    return {(handler.kind.group, handler.kind.kind): _judge(handler) for handler in found}


def _judge(handler: Handler) -> Judge:
    def judge(new: Object, old: Object | None, refs: Refs) -> list[str]:
        if old is not None and (new.get("spec") == old.get("spec") or new["metadata"].get("deletionTimestamp")):
            return []
        problems = handler.validate(new, old, refs)
        return [str(item) for item in problems.items] if problems else []

    return judge


def _check(judge: Judge) -> AdmissionCheck:
    return lambda new, old, reader: judge(new, old, StoredRefs(reader))


class StoredRefs:
    """The core's Refs over what the server has stored."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return one object."""
        return self._reader.get(kind.group, kind.kind, namespace, name)

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Sequence[Object]:
        """Return objects by namespace, and by label or owner."""
        return self._reader.list(kind.group, kind.kind, namespace, label=label, owner=owner)
