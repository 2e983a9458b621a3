"""What an image is on a node without an image store: a set of host paths, seen read-only.

Every image runs on the machine's own programs: a container that names `busybox` and gives the command `sh -c ...` gets
this machine's shell. Images of Holdfast itself get, in addition, the very interpreter and package that run now, at
their real paths. An image can't bring its own entry point, so a container of a foreign image must give its command.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

import holdfast
from holdfast.embedded.node.sandbox import Kind, Mount

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ETC = (
    "alternatives bindresvport.blacklist ca-certificates ca-certificates.conf default/locale group host.conf hosts"
    " inputrc ld.so.cache ld.so.conf ld.so.conf.d locale.alias localtime magic magic.mime mime.types nsswitch.conf"
    " os-release passwd pki profile protocols resolv.conf rpc services ssl terminfo timezone"
)
ETC = tuple(_ETC.split())
"""What of /etc a program needs to find names, certificates and libraries. Never shadow files, keys or configuration."""

EMPTY = ("/home", "/mnt", "/root", "/run", "/srv", "/var/cache", "/var/lib", "/var/log", "/var/spool")
"""Directories that programs expect; each container has its own, empty ones."""


class Image(msgspec.Struct, frozen=True):
    """What a container of an image sees beside the machine's programs, and what it runs when it gives no command.

    `shares_network`: a pod of such containers only is in the machine's own network. So are Holdfast's own steps: a store that
    a user names as 127.0.0.1 must be the same for them as for the user (docs/adr/0013).
    `server` is the command line of a fork server which can be the command `served` (see `forks`).
    """

    paths: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    shares_network: bool = False
    server: tuple[str, ...] = ()
    served: tuple[str, ...] = ()


class ImageTable(msgspec.Struct, frozen=True):
    """Images by the last part of their name, without registry, tag and digest: `ghcr.io/x/holdfast:1` is `holdfast`."""

    images: Mapping[str, Image]

    def find(self, image: str) -> Image | None:
        """Return what is known about an image; None for a foreign one."""
        name = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]
        return self.images.get(name)


def own_image() -> Image:
    """Describe the interpreter and the package that run now."""
    package = Path(holdfast.__file__).resolve().parent
    places = [Path(sys.prefix), package, Path(sys.base_prefix), *_chain(Path(sys.executable))]
    return Image(
        paths=tuple(_outermost(places)),
        path=(str(Path(sys.prefix) / "bin"),),
        command=(str(Path(sys.prefix) / "bin" / "holdfast"),),
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        shares_network=True,
        server=(str(Path(sys.prefix) / "bin" / "python"), "-m", "holdfast.movers.forkserver"),
        served=("holdfast-mover", "run"),
    )


def default_images() -> ImageTable:
    """Return the table that `holdfast node` starts with."""
    return ImageTable({"holdfast": own_image()})


def own_mounts(image: Image | None) -> list[Mount]:
    """Return the mounts of what an image has beside the machine's programs."""
    return [Mount(Kind.READ_ONLY, path, path) for path in (image.paths if image else ())]


def root_mounts() -> list[Mount]:
    """Return the mounts of any container's root, parents first: the machine's programs."""
    found = [Mount(Kind.READ_ONLY, "/usr", "/usr")]
    for top in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt"):
        found += _like_host(top)
    found.append(Mount(Kind.DIRECTORY, "/etc"))
    for name in ETC:
        found += _like_host(f"/etc/{name}")
    found += [Mount(Kind.DIRECTORY, path) for path in EMPTY]
    found.append(Mount(Kind.SYMLINK, "/var/run", "../run"))
    found.append(Mount(Kind.DIRECTORY, "/var/tmp", mode=0o1777))
    return found


def _like_host(path: str) -> list[Mount]:
    """Show a host path as it is: a link into /usr stays one, the rest is bound read-only, the missing left out."""
    if os.path.islink(path) and os.path.realpath(path).startswith(("/usr/", "/opt/")):
        return [Mount(Kind.SYMLINK, path, os.readlink(path))]
    if not os.path.exists(path):
        return []
    return [*_parents(path, ("/", "/etc")), Mount(Kind.READ_ONLY, path, os.path.realpath(path))]


def _parents(path: str, known: tuple[str, ...] = ("/",)) -> list[Mount]:
    missing: list[Mount] = []
    parent = os.path.dirname(path)
    while parent not in known and parent != "/":
        missing.append(Mount(Kind.DIRECTORY, parent))
        parent = os.path.dirname(parent)
    return missing[::-1]


def _chain(link: Path) -> list[Path]:
    """Return the installation prefix at each step of the symlinks from the virtual environment to the interpreter."""
    found: list[Path] = []
    while link.is_symlink():
        target = link.readlink()
        link = target if target.is_absolute() else link.parent / target
        found.append(Path(os.path.normpath(link)).parent.parent)
    return [*found, link.resolve().parent.parent]


def _outermost(places: Iterable[Path]) -> list[str]:
    """Return the places that the machine's own programs don't cover, without those that lie in another."""
    paths = sorted({str(place) for place in places if place.exists()})
    found: list[str] = []
    for path in paths:
        if not any(path == top or path.startswith(f"{top}/") for top in ["/usr", "/opt", *found]) and path != "/":
            found.append(path)
    return found
