"""The parts of the image as a CycloneDX document: Python packages with their licences, and Debian packages when dpkg is there.

Usage: python sbom.py <folder of the environment>. Prints JSON; the same parts give the same bytes.
"""

import json
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any


def main() -> None:
    """Print the document."""
    libraries = [str(path) for path in Path(sys.argv[1]).glob("lib/python3*/site-packages")]
    parts = [_python(item) for item in distributions(path=libraries)] + _debian()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "holdfast", "bom-ref": "holdfast"}},
        "components": sorted(parts, key=lambda part: part["bom-ref"]),
    }
    print(json.dumps(document, indent=1))


def _python(item: Distribution) -> dict[str, Any]:
    name, version = item.metadata["Name"].lower(), item.version
    reference = f"pkg:pypi/{name}@{version}"
    part: dict[str, Any] = {"type": "library", "name": name, "version": version, "purl": reference, "bom-ref": reference}
    licence = item.metadata.get("License-Expression") or item.metadata.get("License") or ""
    if licence and "\n" not in licence:
        part["licenses"] = [{"license": {"name": licence}}]
    return part


def _debian() -> list[dict[str, Any]]:
    if shutil.which("dpkg-query") is None:
        return []
    command = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    parts: list[dict[str, Any]] = []
    for name, version, architecture in (line.split() for line in lines):
        reference = f"pkg:deb/debian/{name}@{version}?arch={architecture}"
        parts.append({"type": "library", "name": name, "version": version, "purl": reference, "bom-ref": reference})
    return parts


main()
