"""What every mover call is made of: the stores and repositories it names, and the way it travels.

No argument is ever a secret: it names a folder or a file below `SECRETS` into which the pod mounts one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from holdfast.core.plan import MoverCall, SecretFiles

SECRETS = "/holdfast/secrets"
"""Where the Secrets of a call are mounted: `<SECRETS>/<mount>/<KEY>`."""


class StorageTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place in a store.

    `url` is a path in the pod (local), or as restic writes it `s3:<scheme>://<endpoint>/<bucket>/<path>` (AWS's own endpoint is
    spelled out too), `gs:<bucket>:/<path>` or `azure:<container>:/<path>`. `options`: `connections` (transfers side by side),
    `upload_rate` and `download_rate` (bytes a second), for S3 `region`, `insecure_tls` (`true`) and `lock_days` (what is
    written is kept by the bucket's object lock, in mode COMPLIANCE, for so many days), for Azure `account`.
    `credentials_dir` holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and optionally AWS_SESSION_TOKEN, CA_CERT_DATA; or
    GOOGLE_SERVICE_ACCOUNT_JSON_KEY and optionally GOOGLE_PROJECT_ID; or AZURE_ACCOUNT_KEY and optionally AZURE_ENDPOINT, or
    AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET. Empty: ambient credentials.
    """

    url: str
    options: Mapping[str, str] = {}
    credentials_dir: str = ""


class RepositoryTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """One restic repository: that of one component of one session. `name` and `snapshot` name the custom resources.

    An empty `password_file` is refused by the mover: restic knows no repository without a password.
    """

    name: str
    store: StorageTarget
    password_file: str
    component: str = ""
    snapshot: str = ""


class Call(msgspec.Struct, frozen=True):
    """The arguments of one mover, which the class names."""

    MOVER: ClassVar[str] = ""

    def call(self, secrets: Sequence[SecretFiles] = ()) -> MoverCall:
        """Return the call as a step carries it."""
        arguments: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return MoverCall(self.MOVER, arguments, tuple(secrets))
