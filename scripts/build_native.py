"""Compile what is written in C: `src/holdfast/repo/native/*.c` becomes `holdfast/repo/_native.abi3.so`, and
`src/holdfast/movers/datasafed/client.c` the static program `datasafed-client` beside it.

Used by the build hook (`hatch_build.py`) for wheels and editable installs, and by hand: `python scripts/build_native.py`.
It needs a C compiler and the headers of Python, nothing else: libraries are looked up when the module is loaded. Set CC and
CFLAGS to use others, for instance `CFLAGS=-fsanitize=address`.
"""

import functools
import os
import shlex
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src/holdfast/repo/native"
TARGET = ROOT / "src/holdfast/repo/_native.abi3.so"
CLIENT_SOURCE = ROOT / "src/holdfast/movers/datasafed/client.c"
CLIENT = CLIENT_SOURCE.with_name("datasafed-client")

_FLAGS = (
    "-std=c11",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror=implicit-function-declaration",
)
_DEFINES = ("-D_GNU_SOURCE", "-DPy_LIMITED_API=0x030B0000")


class NotBuilt(Exception):
    """There is no compiler, no Python.h, or the compiler refused: the message says which."""


def build() -> Path:
    """Compile if a source is newer than the module; returns its path. Raises NotBuilt."""
    sources = sorted(SOURCES.glob("*.c"))
    inputs = [*sources, *SOURCES.glob("*.h"), Path(__file__)]
    if TARGET.exists() and TARGET.stat().st_mtime >= max(path.stat().st_mtime for path in inputs):
        return TARGET
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise NotBuilt(f"{header} is missing: install the development files of this Python (Debian: python3-dev)")
    files = sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h")))
    fingerprint = functools.reduce(lambda total, path: zlib.crc32(path.read_bytes(), total), files, 0)
    flags = [*_FLAGS, *_DEFINES, f"-DHOLDFAST_SOURCES={fingerprint}u", f"-I{header.parent}", *map(str, sources)]
    return _compile(TARGET, flags, ["-ldl", *shlex.split(os.environ.get("CFLAGS", ""))])


def build_client() -> Path:
    """Compile what stands for `datasafed` in foreign images, unless it is there; returns its path. Raises NotBuilt."""
    if CLIENT.exists() and CLIENT.stat().st_mtime >= CLIENT_SOURCE.stat().st_mtime:
        return CLIENT
    return _compile(CLIENT, ["-std=c11", "-Os", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-static", "-s", str(CLIENT_SOURCE)], [])


def _compile(target: Path, words: list[str], last: list[str]) -> Path:
    """Run the compiler and put its product in place in one step."""
    fresh = target.with_name(f".{os.getpid()}{target.name}")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    try:
        subprocess.run([*compiler, *words, "-o", str(fresh), *last], check=True, stdout=sys.stderr)
        fresh.replace(target)
    except FileNotFoundError as error:
        raise NotBuilt(f"there is no compiler {compiler[0]!r}: install one (Debian: gcc)") from error
    except subprocess.CalledProcessError as error:
        raise NotBuilt(f"the compiler ended with {error.returncode}; its words are above") from error
    finally:
        fresh.unlink(missing_ok=True)
    return target


def main() -> int:
    """Build, and say what came of it. Ends with 0 either way: the pure path is complete, only slower."""
    try:
        print(f"built {build().relative_to(ROOT)}")
    except NotBuilt as error:
        print(f"holdfast: the native module is not built, backups will be slower: {error}", file=sys.stderr)
    try:
        print(f"built {build_client().relative_to(ROOT)}")
    except NotBuilt as error:
        print(f"holdfast: the datasafed client is not built, KubeBlocks jobs can't run: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
