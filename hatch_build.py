"""The build hook: wheels and editable installs carry the native module where a compiler is at hand, and are pure where not."""

import importlib.util
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeBuildHook(BuildHookInterface[Any]):
    """Compiles before the wheel is packed and tags it accordingly."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling for each build; `version` is `standard` or `editable`."""
        script = Path(self.root, "scripts/build_native.py")
        spec = importlib.util.spec_from_file_location("build_native", script)
        assert spec is not None
        assert spec.loader is not None
        native = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(native)
        try:
            build_data["artifacts"].append(str(native.build_client().relative_to(self.root)))
        except native.NotBuilt as error:
            print(f"holdfast: the datasafed client is not built, KubeBlocks jobs can't run: {error}", file=sys.stderr)
        try:
            module = native.build()
        except native.NotBuilt as error:
            print(f"holdfast: the native module is not built, backups will be slower: {error}", file=sys.stderr)
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["artifacts"].append(str(module.relative_to(self.root)))
