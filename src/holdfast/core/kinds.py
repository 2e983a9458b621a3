"""The kinds that the engine knows by themselves: what the steps of a plan are made of, and the Ledger."""

from typing import Final

from holdfast.core.objects import Kind

JOB: Final = Kind("batch", "Job")
POD: Final = Kind("", "Pod")
STATEFUL_SET: Final = Kind("apps", "StatefulSet")
CLAIM: Final = Kind("", "PersistentVolumeClaim")
VOLUME: Final = Kind("", "PersistentVolume")
STORAGE_CLASS: Final = Kind("storage.k8s.io", "StorageClass")
VOLUME_SNAPSHOT: Final = Kind("snapshot.storage.k8s.io", "VolumeSnapshot")
LEDGER: Final = Kind("holdfast.dev", "Ledger")
