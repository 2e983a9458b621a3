"""Real kubectl against the demo's API server: everything the demo does, a user could type."""

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import cast

import yaml

from holdfast.cli.demo.failure import DemoFailed
from holdfast.core.objects import Object

NAMESPACE = "demo"


class Kubectl:
    """kubectl with the demo's kubeconfig, in the demo's namespace."""

    def __init__(self, program: str, kubeconfig: Path, home: Path) -> None:
        self._command = [program, "--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE]
        self._environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "KUBECACHEDIR": str(home / "cache")}

    def __call__(self, *words: str, text: str = "") -> str:
        """Run a command and return its output. Raises DemoFailed with kubectl's own words."""
        done = subprocess.run(
            [*self._command, *words], input=text, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().replace("\n", "; ")
            raise DemoFailed(f"kubectl {' '.join(words[:4])}: {said}")
        return done.stdout

    def show(self, *words: str) -> None:
        """Run a command in plain sight."""
        print(f"$ kubectl {' '.join(words)}", flush=True)
        for line in self(*words).splitlines():
            print(f"  {line}", flush=True)

    def apply(self, *documents: Object) -> None:
        """Apply objects."""
        self("apply", "-f", "-", text=yaml.safe_dump_all(documents))

    def get(self, *words: str) -> Object:
        """Read one object or a list."""
        return cast(Object, json.loads(self("get", *words, "-o", "json")))

    def items(self, *words: str) -> list[Object]:
        """Read a list."""
        return self.get(*words).get("items", [])

    def wait(self, what: str, condition: str, seconds: int = 60) -> None:
        """Wait for a condition as `kubectl wait --for` does."""
        self("wait", what, f"--for={condition}", f"--timeout={seconds}s")

    def watch(self, *words: str) -> Generator[Object]:
        """Yield every object and every change of it, until the caller has seen enough."""
        process = subprocess.Popen(
            [*self._command, "get", *words, "--watch", "-o", "json"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            yield from _objects(process.stdout.fileno())
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _objects(pipe: int) -> Generator[Object]:
    """Cut a stream of JSON documents into objects."""
    decoder, text = json.JSONDecoder(), ""
    while chunk := os.read(pipe, 1 << 16):
        text += chunk.decode()
        while text := text.lstrip():
            try:
                found, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:]
            if found.get("kind", "").endswith("List"):
                yield from found["items"]
            else:
                yield found
