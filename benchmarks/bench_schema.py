"""How long one pass of prune, default and validate takes on the KubeStash sample; the goal is below 100 us."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from holdfast.dialects.kubestash.types import BackupConfiguration
from holdfast.schema.emit import openapi_of
from holdfast.schema.structural import Schema

SAMPLE = Path(__file__).parents[1] / "tests/samples/kubestash-seed.yaml"
PASSES = 5000


def main() -> None:
    obj = yaml.safe_load(SAMPLE.read_text())
    began = time.perf_counter()
    schema = Schema.compile(openapi_of(BackupConfiguration))
    compiled = time.perf_counter() - began
    best = min(_one_round(schema, obj) for _ in range(3))
    print(f"schema: one pass {best * 1e6:.0f} us, compile {compiled * 1e3:.0f} ms (BackupConfiguration, KubeStash sample)")


def _one_round(schema: Schema, obj: dict[str, object]) -> float:
    began = time.perf_counter()
    for _ in range(PASSES):
        schema.process(obj)
    return (time.perf_counter() - began) / PASSES


if __name__ == "__main__":
    main()
