"""Tries an objectstore before the REST API takes it: written, read, listed and deleted in, with the keys that were given."""

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from holdfast.core.calls import StorageInit
from holdfast.core.objects import Object
from holdfast.core.read import text
from holdfast.dialects.cloudcasa.sealing import KEYS
from holdfast.dialects.cloudcasa.stores import target_of
from holdfast.movers.context import Context, MoverError
from holdfast.movers.storage import initialize_storage


def probe_objectstore(spec: Object, credentials: Mapping[str, str]) -> str:
    """Return what is wrong with a store; empty when it works. Blocks. Azure is probed by the engine, with a mover."""
    if text(spec, "provider_type") != "aws":
        return ""
    with tempfile.TemporaryDirectory(prefix="holdfast-probe-") as folder:
        for name, file in KEYS.items():
            if name not in credentials:
                continue
            path = Path(folder) / file
            path.touch(mode=0o600)
            path.write_text(credentials[name])
        target = msgspec.structs.replace(target_of({"spec": spec}), credentials_dir=folder)
        try:
            initialize_storage(
                StorageInit(target, {"kind": "CloudCasa objectstore"}), Context(lambda done: None, threading.Event())
            )
        except MoverError as error:
            return str(error)
    return ""
