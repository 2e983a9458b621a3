"""Where things lie in a repository, from its root: `/<repo's prefix>/<namespace>/<policy's prefix>/<backup>`."""

from holdfast.core.objects import Object
from holdfast.core.read import text
from holdfast.dialects.kubeblocks.targets import Target


def folder(repo: Object, namespace: str, policy: Object) -> str:
    """Return the folder of a policy's backups."""
    parts = (text(repo, "spec", "pathPrefix"), namespace, text(policy, "spec", "pathPrefix"))
    return "".join(f"/{part.strip('/')}" for part in parts if part.strip("/"))


def relative(target: Target, pod: str) -> str:
    """Return where the data of one pod lies inside of its backup; empty when there is only one pod."""
    parts = [target.name, pod if target.takes_all else ""]
    return "/".join(part for part in parts if part)


def base(path: str, target: Target, pod: str) -> str:
    """Return the folder of one pod's data."""
    inside = relative(target, pod)
    return f"{path}/{inside}" if inside else path


def root(path: str) -> str:
    """Return the folder above a backup's, where its parents lie as well."""
    return path.rpartition("/")[0] or "/"
