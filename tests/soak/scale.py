"""How far a series goes: `make soak SEED= N=` sets both, `make test` neither.

SEED decides data and choices. KILLS is how often each boundary is hit; 0 means the sample of `make test`.
"""

import os
from collections.abc import Mapping

SEED = int(os.environ.get("SOAK_SEED", "1"))
KILLS = int(os.environ.get("SOAK_N", "0"))


def report(operation: str, passed: Mapping[str, int], kills: Mapping[str, int]) -> None:
    """Print every boundary with how often a run passes it and how often it was hit; soak runs show it."""
    print(f"\n{operation}: {sum(kills.values())} hits at {len([label for label in kills if kills[label]])} boundaries")
    for label in sorted(passed):
        print(f"  {label:40} passed {passed[label]:4}  hit {kills.get(label, 0):3}")
    if KILLS:
        assert [label for label in passed if kills.get(label, 0) < min(KILLS, 3)] == [], "these were hit too seldom"
