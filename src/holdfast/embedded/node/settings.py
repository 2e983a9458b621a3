"""What a node is told at its start, and what all of its pods share."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from holdfast.embedded.node.cgroups import Limiters
from holdfast.embedded.node.forks import ForkServer
from holdfast.embedded.node.images import ImageTable
from holdfast.embedded.node.network.pods import PodNetwork
from holdfast.embedded.node.process import Tools
from holdfast.kube.client import Client
from holdfast.kube.events import EventRecorder


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes. The defaults are Kubernetes' own where it has one."""

    crash_backoff: float = 10.0
    crash_backoff_cap: float = 300.0
    crash_backoff_reset: float = 600.0
    retry: float = 0.5
    retry_cap: float = 10.0
    starts_at_once: int = 16
    heartbeat: float = 10.0
    lease: int = 40
    shutdown: float = 3.0
    log_bytes: int = 10 * 1024 * 1024
    labels: Mapping[str, str] = {}


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine as its pods see it."""

    client: Client
    events: EventRecorder
    name: str
    settings: Settings
    tools: Tools
    images: ImageTable
    limiters: Limiters
    disk: Path
    memory: Path
    ca: bytes
    capacity: Mapping[str, str]
    address: str
    network: PodNetwork
    forks: Mapping[tuple[str, ...], ForkServer] = {}
    starting: asyncio.Semaphore
