"""What holds for every test."""

import os
import signal
import sys

import pytest

from holdfast.repo import keys

# Tests start hundreds of Python programs; where compiled modules may not be kept, each of these compiles all it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell without job control starts what it puts in the background with these ignored, and programs inherit that: Ctrl-C would
# end nothing in a pod of the node that tests run in their own process. `holdfast node` handles SIGINT itself.
for number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# A guess at a password costs a quarter of a second, and tests open thousands of repositories. Those that they make cost next to
# nothing to open, for any program; what a program that they start makes for itself has its full strength.
keys.SCRYPT_N, keys.SCRYPT_R, keys.SCRYPT_P = 256, 8, 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as such, what can't be done here: what takes root without it, what is about the embedded API server
    when the environment names another cluster.
    """
    impossible = {"root"} if os.geteuid() != 0 else set[str]()
    if "HOLDFAST_TEST_KUBECONFIG" in os.environ or "KUBEBUILDER_ASSETS" in os.environ:
        impossible.add("own")
    out = [item for item in items if any(item.get_closest_marker(name) for name in impossible)]
    if out:
        left_out = {id(item) for item in out}
        items[:] = [item for item in items if id(item) not in left_out]
        config.hook.pytest_deselected(items=out)
