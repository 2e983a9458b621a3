"""From a container's spec to a sandbox: what it runs, where its volumes are, and who it is."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.node import images, layout
from holdfast.embedded.node.environment import expand, expand_all
from holdfast.embedded.node.failure import NotReady, config_error
from holdfast.embedded.node.identity import ALL_CAPABILITIES, IdentityError, identity_of
from holdfast.embedded.node.images import Image
from holdfast.embedded.node.sandbox import Identity, Kind, Mount, Sandbox
from holdfast.embedded.node.volumes import ACCOUNT_PATH, ACCOUNT_VOLUME, Volume
from holdfast.embedded.read import items, mapping

TERMINATION_PATH = "/dev/termination-log"


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What was gathered for one container before it starts. `termination` is the host file of its last words,
    `files` are small files of the pod by their place in the container.
    """

    image: Image | None
    environment: Mapping[str, str]
    volumes: Mapping[str, Volume]
    termination: Path
    files: Mapping[str, str] = {}
    capabilities: frozenset[str] = ALL_CAPABILITIES


def base_environment(pod: Object, container: Object, image: Image | None, cluster: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a container has before its own: the image's, and those of the cluster."""
    known = image or Image()
    root = identity(pod, container).uid == 0
    return {
        "PATH": ":".join([*known.path, images.DEFAULT_PATH]),
        "HOSTNAME": hostname(pod),
        "HOME": "/root" if root else "/",
        **({"TERM": "xterm"} if container.get("tty") else {}),
        **known.environment,
        **cluster,
    }


def sandbox_of(pod: Object, container: Object, parts: Parts) -> Sandbox:
    """Return the sandbox of a container. Raises NotReady when its spec can't be carried out here."""
    mounts = [_mount(each, container, parts) for each in items(container, "volumeMounts")]
    if ACCOUNT_VOLUME in parts.volumes and not any(mount.target == ACCOUNT_PATH for mount in mounts):
        mounts.append(Mount(Kind.READ_ONLY, ACCOUNT_PATH, parts.volumes[ACCOUNT_VOLUME].path))
    mounts.append(Mount(Kind.BIND, container.get("terminationMessagePath") or TERMINATION_PATH, str(parts.termination)))
    directory = container.get("workingDir") or "/"
    placed = layout.arrange(images.root_mounts(), mounts, [*images.own_mounts(parts.image), *_files(parts.files)])
    if directory != "/":
        placed = layout.with_directory(placed, directory)
    context: Mapping[str, Any] = mapping(container, "securityContext")
    return Sandbox(
        command=command_of(container, parts.image, parts.environment),
        environment=parts.environment,
        mounts=tuple(placed),
        identity=identity(pod, container, parts.capabilities),
        hostname=hostname(pod),
        directory=directory,
        read_only_root=bool(context.get("readOnlyRootFilesystem")),
        stdin=bool(container.get("stdin")),
        terminal=bool(container.get("tty")),
    )


def command_of(container: Object, image: Image | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return command and arguments. Raises NotReady for an image whose own command nobody here knows.

    Arguments alone are a command when they begin with a program of this machine: as with images without an entry point of
    their own (busybox, debian), or with one that runs its arguments (postgres).
    """
    arguments: Sequence[str] = items(container, "args")
    command: Sequence[str] = container.get("command") or (image.command if image else ())
    if not command and not (arguments and shutil.which(arguments[0], path=environment.get("PATH"))):
        raise NotReady(
            "ImageNeverRuns",
            f"container {container['name']!r}: this node has no images, so it does not know what {container.get('image')!r}"
            " runs by itself; give the container a command, or args that begin with a program of this machine",
        )
    return tuple(expand_all([*command, *arguments], environment))


def identity(pod: Object, container: Object, available: frozenset[str] = ALL_CAPABILITIES) -> Identity:
    """Return the identity of a container, a bad one as NotReady."""
    try:
        return identity_of(pod, container, available)
    except IdentityError as problem:
        raise config_error(str(problem)) from None


def hostname(pod: Object) -> str:
    """Return the pod's host name: its own, or the pod's name cut to what a host name may be."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def refuse_unsupported(pod: Object) -> None:
    """Raise NotReady for what a pod asks of its sandbox and can't get on this node."""
    spec: Mapping[str, Any] = pod["spec"]
    for name in ("hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(name):
            raise NotReady("UnsupportedPod", f"spec.{name} is not possible on a sandbox node; leave it out", fatal=True)
    for container in [*items(spec, "initContainers"), *spec["containers"]]:
        if container.get("volumeDevices"):
            raise NotReady(
                "UnsupportedPod", f"container {container['name']!r}: block volumes are not possible here", fatal=True
            )


def shares_network(pod: Object, table: images.ImageTable) -> bool:
    """Whether a pod is in the machine's own network: it asks for that, or all its images are of that kind."""
    spec: Mapping[str, Any] = pod["spec"]
    found = [table.find(each.get("image") or "") for each in [*items(spec, "initContainers"), *spec["containers"]]]
    return bool(spec.get("hostNetwork")) or all(image is not None and image.shares_network for image in found)


def _files(files: Mapping[str, str]) -> list[Mount]:
    return [Mount(Kind.READ_ONLY, target, source) for target, source in files.items()]


def _mount(each: Mapping[str, Any], container: Object, parts: Parts) -> Mount:
    volume = parts.volumes.get(each["name"])
    if volume is None:
        raise config_error(f"container {container['name']!r} mounts volume {each['name']!r}, which the pod does not have")
    path = volume.path
    inside = each.get("subPath") or expand(each.get("subPathExpr") or "", parts.environment)
    if inside:
        path = _inside(path, inside, make=not volume.read_only)
    read_only = volume.read_only or bool(each.get("readOnly"))
    target = os.path.normpath("/" + each["mountPath"].lstrip("/"))
    return Mount(Kind.READ_ONLY if read_only else Kind.BIND, target, path)


def _inside(volume: str, inside: str, *, make: bool) -> str:
    """Return a place in a volume, made when it is missing. A link or `..` that leads out of the volume is refused."""
    top = os.path.realpath(volume)
    path = os.path.realpath(os.path.join(top, inside.lstrip("/")))
    if path != top and not path.startswith(top + os.sep):
        raise config_error(f"subPath {inside!r} leads out of its volume")
    if not os.path.lexists(path):
        if not make:
            raise config_error(f"subPath {inside!r} does not exist in its read-only volume")
        _make_like(top, path)
    return path


def _make_like(top: str, path: str) -> None:
    """Make directories with the owner and the mode of the volume's root."""
    model = os.stat(top)
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        os.mkdir(each)
        os.chmod(each, model.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(each, model.st_uid, model.st_gid)
