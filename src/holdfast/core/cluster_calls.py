"""The arguments of movers that talk to the cluster itself: hooks in containers, over HTTP, to ports, and its objects.

Each try of a hook has a timeout of its own, `attempts` bounds the tries and `delay` is the pause between two, all in seconds.
A try whose connection is lost may have been carried out, so hooks are at-least-once: with `attempts` above 1 they must bear
that.
"""

from collections.abc import Mapping
from typing import ClassVar

from holdfast.core.call import Call, RepositoryTarget
from holdfast.core.manifests import Changes, Selection


class Exec(Call, frozen=True, omit_defaults=True):
    """Run a command in a container of a pod that runs, through the pod's exec API; done well when it ends with code 0.

    No `container` means the pod's default one. With `uid`, another pod of this name is refused. The Job needs an account with
    the rights of `core.access.exec_access`. What the command prints goes to the Job's log; the report's one item is the
    container with the exit code as its status and the last lines as its message. A command that runs past `timeout` is left by
    us; whether it is killed is the container runtime's choice, so a command that must end carries its own `timeout`.
    """

    MOVER: ClassVar[str] = "exec"

    namespace: str
    pod: str
    command: tuple[str, ...]
    container: str = ""
    uid: str = ""
    timeout: int = 300
    attempts: int = 1
    delay: int = 5


class HttpRequest(Call, frozen=True, omit_defaults=True):
    """Send a request; done well when the answer's status lies from `least` to `most`. Redirects are answers, not followed.

    `secret_headers` are headers whose values are files below `SECRETS`, `body_file` is a body that is one; `ca_file` holds the
    certificates to trust in the place of the system's. The report's one item is the URL's host with the status.
    """

    MOVER: ClassVar[str] = "http"

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    secret_headers: Mapping[str, str] = {}
    body: str = ""
    body_file: str = ""
    ca_file: str = ""
    insecure_tls: bool = False
    least: int = 200
    most: int = 399
    timeout: int = 30
    attempts: int = 1
    delay: int = 5


class TcpConnect(Call, frozen=True, omit_defaults=True):
    """Open a connection to a port and close it again; done well when that works."""

    MOVER: ClassVar[str] = "tcp"

    host: str
    port: int
    timeout: int = 30
    attempts: int = 1
    delay: int = 5


class ManifestsBackup(Call, frozen=True, omit_defaults=True):
    """Save the objects of a cluster as files `<resource.group>/{cluster|namespaces/<ns>}/<name>.yaml`, one snapshot of `root`.

    They go into `repository`, or into the directory `folder` of the pod, unencrypted: who names a folder answers for what
    happens to the Secrets in it; or as one compressed tar file `archive` to where the `datasafed` of the environment stores
    (see `movers.datasafed.settings`), sealed as all else there. With `objects` (`<resource.group>/<namespace>/<name>`, `//`
    without a namespace) only these are saved, with the service accounts of their pods and, if `rbac`, with the roles that
    these have. With `belongings`, what has no namespace and belongs to the named ones is saved as well (see
    `core.belongings`); the account then needs the ClusterRole `core.access.CLUSTER_READ_ROLE`, too. Kinds are read one
    after the other: the snapshot shows each as it was at some moment of the run. The report's result counts the files; an
    item for each kind says how many there are. What may not be read makes it a failure. The account needs
    `core.access.manifests_access`.
    """

    MOVER: ClassVar[str] = "manifests-backup"

    selection: Selection = Selection()
    repository: RepositoryTarget | None = None
    folder: str = ""
    archive: str = ""
    root: str = "/manifests"
    objects: tuple[str, ...] = ()
    rbac: bool = False
    belongings: bool = False
    host: str = ""
    tags: tuple[str, ...] = ()


class ManifestsRestore(Call, frozen=True, omit_defaults=True):
    """Make objects again from manifests: those of a snapshot of `repository` below `root`, in the directory `folder`, or
    in an `archive` as `ManifestsBackup` writes it. What any of `selection` and `also` means comes back.

    The order and what is left out are those of `core.manifests`. An object that exists is left alone, or with `override` gets
    the fields of the manifest. Missing namespaces are made. `skip` names resources that the caller never wants back. The
    report has an item for each kind (`12 created, 1 exists`) and one for each object that failed; the first failure is the
    report's.
    """

    MOVER: ClassVar[str] = "manifests-restore"

    selection: Selection = Selection(cluster_resources=True)
    also: tuple[Selection, ...] = ()
    changes: Changes = Changes()
    repository: RepositoryTarget | None = None
    snapshot_id: str = ""
    folder: str = ""
    archive: str = ""
    root: str = "/manifests"
    override: bool = False
    skip: tuple[str, ...] = ()
