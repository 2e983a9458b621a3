"""All embedded controllers, wired and run until cancelled."""

import asyncio
import contextlib
from pathlib import Path

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.controllers import freeze, scheduler
from holdfast.embedded.controllers.claim_decision import DEFAULT_CLASS, PROVISIONER
from holdfast.embedded.controllers.claims import Caches, ClaimController, VolumeController
from holdfast.embedded.controllers.cronjob import CronJobController
from holdfast.embedded.controllers.disruption import DisruptionController, Workloads
from holdfast.embedded.controllers.endpoints import EndpointController
from holdfast.embedded.controllers.job import JobController
from holdfast.embedded.controllers.nodes import NodeController
from holdfast.embedded.controllers.snapshots import ContentController, SnapshotController, Snapshots
from holdfast.embedded.controllers.snapshots import install as install_snapshots
from holdfast.embedded.controllers.statefulset import StatefulSetController
from holdfast.embedded.controllers.workloads import DaemonSetController, DeploymentController, Hands, ReplicaSetController
from holdfast.kube.builtin import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    JOBS,
    LEASES,
    NODES,
    PODDISRUPTIONBUDGETS,
    PODS,
    PVCS,
    PVS,
    REPLICASETS,
    SERVICES,
    STATEFULSETS,
    STORAGECLASSES,
    VOLUMESNAPSHOTCLASSES,
    VOLUMESNAPSHOTCONTENTS,
    VOLUMESNAPSHOTS,
)
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, Unavailable
from holdfast.kube.events import EventRecorder
from holdfast.kube.manager import Manager


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds: the first wait after a failed pod of a Job, and how long a node may be silent."""

    job_backoff: float = 10.0
    node_grace: float = 40.0


async def run_controllers(
    client: Client, data_dir: Path, *, settings: Settings | None = None, ready: asyncio.Event | None = None
) -> None:
    """Run the embedded controllers until cancelled. Volumes are made in `<data_dir>/volumes`.

    `ready` is set once the default storage class is there and every cache is filled.
    """
    chosen = settings or Settings()
    volumes = (data_dir / "volumes").resolve()
    volumes.mkdir(parents=True, exist_ok=True)
    snapshots = (data_dir / "snapshots").resolve()
    snapshots.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(freeze.thaw, volumes)
    await asyncio.to_thread(freeze.sweep, volumes, snapshots)
    await _ensure_storage_class(client)
    await install_snapshots(client)
    manager, events = Manager(client), EventRecorder(client, component="holdfast-controllers")
    scheduling = EventRecorder(client, component=scheduler.NAME)
    _add_all(manager, client, events, volumes, snapshots, chosen)
    _add_scheduler(manager, client, scheduling)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run())
            await manager.synced()
            if ready is not None:
                ready.set()
    finally:
        await events.close()
        await scheduling.close()


def _add_all(manager: Manager, client: Client, events: EventRecorder, volumes: Path, home: Path, settings: Settings) -> None:
    pods, jobs, claims, nodes = (manager.informer(each) for each in (PODS, JOBS, PVCS, NODES))
    snapshots = Snapshots(
        manager.informer(VOLUMESNAPSHOTS),
        manager.informer(VOLUMESNAPSHOTCONTENTS),
        manager.informer(VOLUMESNAPSHOTCLASSES),
        claims,
        manager.informer(PVS),
    )
    replica_sets, hands = manager.informer(REPLICASETS), Hands(client, events)
    caches = Caches(claims, manager.informer(PVS), manager.informer(STORAGECLASSES), pods)
    for each in (
        JobController(client, events, jobs, pods, backoff=settings.job_backoff),
        CronJobController(client, events, manager.informer(CRONJOBS), jobs),
        StatefulSetController(client, events, manager.informer(STATEFULSETS), pods),
        ReplicaSetController(hands, replica_sets, pods),
        DeploymentController(hands, manager.informer(DEPLOYMENTS), replica_sets),
        DaemonSetController(hands, manager.informer(DAEMONSETS), pods, nodes),
        ClaimController(client, events, caches, volumes, snapshots, home),
        SnapshotController(client, events, snapshots),
        ContentController(client, events, snapshots, volumes, home),
        VolumeController(client, events, caches, volumes),
        DisruptionController(
            client, manager.informer(PODDISRUPTIONBUDGETS), pods, Workloads(replica_sets, manager.informer(STATEFULSETS))
        ),
        EndpointController(client, *(manager.informer(each) for each in (SERVICES, PODS, ENDPOINTSLICES, ENDPOINTS))),
        NodeController(client, events, nodes, manager.informer(LEASES), pods, grace=settings.node_grace),
    ):
        manager.add(each.controller)


def _add_scheduler(manager: Manager, client: Client, events: EventRecorder) -> None:
    """The scheduler speaks for itself in events, as people look for it there."""
    pods, nodes, claims = (manager.informer(each) for each in (PODS, NODES, PVCS))
    manager.add(scheduler.Scheduler(client, events, pods, nodes, claims).controller)


def storage_class() -> Object:
    """Build the class that claims get by default."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }


async def _ensure_storage_class(client: Client) -> None:
    """Create the default class once the API server answers; one that a user has changed stays as it is."""
    while True:
        with contextlib.suppress(AlreadyExists):
            try:
                await client.create(STORAGECLASSES, storage_class())
            except Unavailable:
                await asyncio.sleep(0.2)
                continue
        return
