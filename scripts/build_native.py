"""Compile the native part of the repository: `src/holdfast/repo/native/*.c` becomes `holdfast/repo/_native.abi3.so`.

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
    fresh = TARGET.with_name(f".{os.getpid()}{TARGET.name}")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    files = sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h")))
    fingerprint = functools.reduce(lambda total, path: zlib.crc32(path.read_bytes(), total), files, 0)
    command = [*compiler, *_FLAGS, *_DEFINES, f"-DHOLDFAST_SOURCES={fingerprint}u", f"-I{header.parent}", *map(str, sources)]
    command += ["-o", str(fresh), "-ldl"]
    command += shlex.split(os.environ.get("CFLAGS", ""))
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
        fresh.replace(TARGET)
    except FileNotFoundError as error:
        raise NotBuilt(f"there is no compiler {compiler[0]!r}: install one (Debian: gcc)") from error
    except subprocess.CalledProcessError as error:
        raise NotBuilt(f"the compiler ended with {error.returncode}; its words are above") from error
    finally:
        fresh.unlink(missing_ok=True)
    return TARGET


def main() -> int:
    """Build, and say what came of it. Ends with 0 either way: the pure path is complete, only slower."""
    try:
        print(f"built {build().relative_to(ROOT)}")
    except NotBuilt as error:
        print(f"holdfast: the native module is not built, backups will be slower: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
