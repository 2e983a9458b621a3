"""`holdfast down`: stop the control plane of a data directory and wait until it is gone."""

import argparse
import os
import select
import signal
from pathlib import Path

from holdfast.cli.datadir import DEFAULT, DataDir
from holdfast.cli.errors import HoldfastError

_PATIENCE = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data-dir", type=Path, default=DEFAULT, help="that of `holdfast up` (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Stop it. A control plane that does not run is no error."""
    data = DataDir(arguments.data_dir)
    pid = data.holder()
    if not data.held() or pid is None:
        print(f"nothing runs on {data}")
        return 0
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        print("stopped")
        return 0
    with os.fdopen(process, "rb", closefd=True) as handle:
        signal.pidfd_send_signal(handle.fileno(), signal.SIGTERM)
        ended, _, _ = select.select([handle], [], [], _PATIENCE)
    if not ended:
        raise HoldfastError(f"process {pid} still runs after {_PATIENCE:g} s; its log is {data.log('supervisor')}")
    print("stopped")
    return 0
