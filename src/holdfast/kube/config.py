"""Where the API server is and how we prove who we are: a kubeconfig, or the service account of our own pod.

What a kubeconfig says is either honoured or refused by name; nothing is ignored in silence. Tokens that live in files
stay file names here, since they rotate under us: `auth.py` reads them when they are needed. Nothing in `repr` is secret.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import yaml

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


_REACHES_OUT: Final = (
    ("clusters", "cluster", ("certificate-authority",)),
    ("users", "user", ("exec", "tokenFile", "client-certificate", "client-key")),
)
"""What a kubeconfig of somebody else may not have: section, field of an entry, names."""


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which file, what is wrong and what to do."""


class ExecPlugin(msgspec.Struct, frozen=True):
    """A program that prints an ExecCredential, as cloud providers use."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    provide_cluster_info: bool = False

    def __repr__(self) -> str:
        return f"ExecPlugin({self.command})"


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster and one user. Certificates and keys are PEM text; empty means absent."""

    server: str
    namespace: str = "default"
    ca_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    token: str = ""
    token_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    username: str = ""
    password: str = ""
    exec_plugin: ExecPlugin | None = None
    impersonate: str = ""
    impersonate_groups: tuple[str, ...] = ()
    proxy_url: str = ""

    def __repr__(self) -> str:
        return f"ClusterConfig(server={self.server!r}, namespace={self.namespace!r})"


def in_cluster(root: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] | None = None) -> ClusterConfig:
    """Read the service account that the kubelet mounted into our pod. Raises ConfigError outside a pod."""
    environ = os.environ if environ is None else environ
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = root / "token"
    if not host or not token.is_file():
        raise ConfigError(f"not in a cluster: KUBERNETES_SERVICE_HOST or {token} is missing; give a kubeconfig instead")
    namespace = _text(root / "namespace") if (root / "namespace").is_file() else "default"
    return ClusterConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace.strip() or "default",
        ca_data=_text(root / "ca.crt"),
        token_file=str(token),
    )


def load_kubeconfig(path: str | Path, context: str | None = None) -> ClusterConfig:
    """Read a kubeconfig file; `context` defaults to its current-context. Raises ConfigError naming the file and the fault."""
    path = Path(path)
    return _config(_document(_text(path), path), path, context)


def foreign_kubeconfig(text: str, source: str) -> ClusterConfig:
    """Read a kubeconfig that somebody else wrote, such as the entry of a Secret; `source` names it in messages.

    It may not start programs or name files here: all that it needs has to be in it. Raises ConfigError.
    """
    place = Path(source)
    document = _document(text, place)
    for section, field, forbidden in _REACHES_OUT:
        for entry in document.get(section) or ():
            fields: Any = cast("dict[str, Any]", entry).get(field) if isinstance(entry, dict) else None
            for name in forbidden:
                if isinstance(fields, dict) and name in fields:
                    raise ConfigError(f"kubeconfig {source}: {name} reaches into the machine that reads it: put the data in")
    return _config(document, place)


def _config(document: dict[str, Any], path: Path, context: str | None = None) -> ClusterConfig:
    name = context or document.get("current-context") or ""
    if not name:
        raise ConfigError(f"kubeconfig {path}: no current-context is set: name a context")
    chosen = _named(document, "contexts", "context", name, path)
    cluster = _named(document, "clusters", "cluster", chosen.get("cluster") or "", path)
    user = _named(document, "users", "user", chosen["user"], path) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError(f"kubeconfig {path}: cluster {chosen.get('cluster')!r} has no server")
    if "auth-provider" in user:
        raise ConfigError(f"kubeconfig {path}: user {chosen['user']!r}: auth-provider was removed from Kubernetes: use exec")
    if user.get("as-uid") or user.get("as-user-extra"):
        raise ConfigError(f"kubeconfig {path}: user {chosen['user']!r}: as-uid and as-user-extra are not supported")
    return _cluster_config(chosen, cluster, user, path)


def _cluster_config(chosen: dict[str, Any], cluster: dict[str, Any], user: dict[str, Any], path: Path) -> ClusterConfig:
    token_file = user.get("tokenFile") or ""
    return ClusterConfig(
        server=str(cluster["server"]).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ca_data=_pem(cluster, "certificate-authority", path),
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name") or "",
        token="" if token_file else user.get("token") or "",
        token_file=str(path.parent / token_file) if token_file else "",
        client_certificate=_pem(user, "client-certificate", path),
        client_key=_pem(user, "client-key", path),
        username=user.get("username") or "",
        password=user.get("password") or "",
        exec_plugin=_exec_plugin(user.get("exec"), path),
        impersonate=user.get("as") or "",
        impersonate_groups=tuple(user.get("as-groups") or ()),
        proxy_url=cluster.get("proxy-url") or "",
    )


def _exec_plugin(entry: dict[str, Any] | None, path: Path) -> ExecPlugin | None:
    if entry is None:
        return None
    if not entry.get("command"):
        raise ConfigError(f"kubeconfig {path}: exec has no command")
    if entry.get("interactiveMode") == "Always":
        raise ConfigError(f"kubeconfig {path}: exec {entry['command']}: interactiveMode Always needs a person; not supported")
    command = str(entry["command"])
    return ExecPlugin(
        command=str(path.parent / command) if "/" in command and not command.startswith("/") else command,
        args=tuple(entry.get("args") or ()),
        env=tuple((item["name"], item["value"]) for item in entry.get("env") or ()),
        api_version=entry.get("apiVersion") or "client.authentication.k8s.io/v1",
        provide_cluster_info=bool(entry.get("provideClusterInfo")),
    )


def _document(text: str, path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"kubeconfig {path}: not valid YAML{where}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"kubeconfig {path}: not a kubeconfig: the top level must be a mapping")
    return cast("dict[str, Any]", loaded)


def _named(document: dict[str, Any], section: str, field: str, name: str, path: Path) -> dict[str, Any]:
    entries: list[dict[str, Any]] = document.get(section) or []
    for entry in entries:
        if entry.get("name") == name:
            return entry.get(field) or {}
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise ConfigError(f"kubeconfig {path}: {section} has no entry {name!r} (there: {known})")


def _pem(entry: dict[str, Any], field: str, path: Path) -> str:
    """Read a PEM given inline as `<field>-data` in base64, which wins, or as a file beside the kubeconfig."""
    inline = entry.get(f"{field}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ConfigError(f"kubeconfig {path}: {field}-data is not base64 of a PEM") from None
    return _text(path.parent / entry[field]) if entry.get(field) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
