"""Repository URLs of places that rclone reaches, and the settings with which it does.

Written as restic writes them: `sftp:user@host:/path`, `sftp://user@host:22//path`, `gs:bucket:/path`,
`b2:bucket:path`, `swift:container:/path`, and `rclone:remote:path` for a remote of the user's own rclone config. Settings
are handed over as environment variables of the rclone process only. An SSH server is never trusted unseen: without known
hosts there is no connection.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from holdfast.repo.errors import BadCredentials, BadLocation, StoreError
from holdfast.repo.stores.http import is_on, read_ca

_NAME = "holdfast"
_FLAGS = ("--retries", "1", "--low-level-retries", "3", "--contimeout", "10s", "--timeout", "60s")
_SSH_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


class Remote(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A remote and how to reach it. `name` goes on rclone's command line, `location` into messages; neither is secret.

    `plain` are settings of the remote by rclone's names, `hidden` those that rclone wants obscured.
    """

    name: str
    location: str
    kind: str = ""
    plain: Mapping[str, str] = {}
    hidden: Mapping[str, str] = {}
    flags: tuple[str, ...] = _FLAGS

    def __repr__(self) -> str:
        return f"Remote({self.location!r})"

    def settings(self, program: str) -> dict[str, str]:
        """The environment that describes the remote. Raises StoreError when rclone can't obscure a password."""
        if not self.kind:
            return {}
        found = {"type": self.kind, **self.plain}
        found |= {key: _obscure(program, value) for key, value in self.hidden.items()}
        prefix = f"RCLONE_CONFIG_{_NAME.upper()}_"
        return {"RCLONE_CONFIG": "/notfound", **{prefix + key.upper(): value for key, value in found.items()}}


def _obscure(program: str, secret: str) -> str:
    """Rclone wants passwords in a reversible disguise. It is handed over by a pipe."""
    done = subprocess.run([program, "obscure", "-"], input=secret.encode(), capture_output=True, check=False)
    if done.returncode:
        raise StoreError(f"{program} obscure failed: {done.stderr.decode(errors='replace').strip()[:200]}")
    return done.stdout.decode().strip()


def find_remote(url: str, env: Mapping[str, str]) -> Remote:
    """The remote of a URL. Raises BadLocation for one that makes no sense, BadCredentials for missing settings."""
    scheme = url.partition(":")[0]
    remote = _REMOTES[scheme](url, env)
    extra = ["--no-check-certificate"] if is_on(env, "RESTIC_INSECURE_TLS") else []
    if read_ca(env):
        extra += ["--ca-cert", env.get("RESTIC_CACERT") or env.get("AWS_CA_BUNDLE") or ""]
    return msgspec.structs.replace(remote, flags=(*remote.flags, *extra))


def _rclone(url: str, env: Mapping[str, str]) -> Remote:
    name = url.removeprefix("rclone:")
    remote, colon, _ = name.partition(":")
    if "," in remote or name.startswith(":") or remote.startswith("-"):
        raise BadLocation(
            "rclone:...: settings don't belong into the URL: name a remote of rclone's config, or set "
            "RCLONE_CONFIG_<REMOTE>_TYPE and so on in the environment"
        )
    if not remote or not colon:
        raise BadLocation(f"{url!r} names no remote: write rclone:<remote>:<path>, with a remote of rclone's config")
    return Remote(name, url)


def _sftp(url: str, env: Mapping[str, str]) -> Remote:
    if url.startswith("sftp://"):
        parts = urlsplit(url)
        user, host, port, path = parts.username or "", parts.hostname or "", parts.port or 22, parts.path[1:]
        if parts.password is not None:
            raise BadLocation("sftp://...: a password does not belong into the URL: set SFTP_PASSWORD")
    else:
        where, _, path = url.removeprefix("sftp:").partition(":")
        user, _, host = where.rpartition("@")
        port = 22
    if not host or not path:
        raise BadLocation(
            f"{url!r} is not an SFTP repository: write sftp:<user>@<host>:/<path> or sftp://<user>@<host>:<port>//<path>"
        )
    if command := env.get("SFTP_SSH_COMMAND"):
        target = f"{user}@{host}" if user else host
        return Remote(f"{_NAME}:{path}", url, "sftp", {"ssh": f"{command} -p {port} {target}", "shell_type": "unix"})
    plain = {"host": host, "port": str(port), "known_hosts_file": _known_hosts(url, env)}
    plain |= {"user": user} if user else {}
    if password := env.get("SFTP_PASSWORD"):
        return Remote(f"{_NAME}:{path}", url, "sftp", plain, {"pass": password})
    if key := _ssh_key(env):
        plain["key_file"] = key
    elif not env.get("SSH_AUTH_SOCK"):
        raise BadCredentials(f"{url}: no key to log in with: set SFTP_KEY_FILE, SFTP_PASSWORD or start an SSH agent")
    return Remote(f"{_NAME}:{path}", url, "sftp", plain)


def _known_hosts(url: str, env: Mapping[str, str]) -> str:
    path = env.get("SFTP_KNOWN_HOSTS_FILE") or str(_home(env) / ".ssh" / "known_hosts")
    if not Path(path).is_file():
        raise BadCredentials(f"{url}: no known hosts in {path}: put the server's host key there, or set SFTP_KNOWN_HOSTS_FILE")
    return path


def _ssh_key(env: Mapping[str, str]) -> str:
    if named := env.get("SFTP_KEY_FILE"):
        return named
    if env.get("SSH_AUTH_SOCK"):
        return ""
    every = (_home(env) / ".ssh" / name for name in _SSH_KEYS)
    return next((str(path) for path in every if path.is_file()), "")


def _home(env: Mapping[str, str]) -> Path:
    return Path(env["HOME"]) if env.get("HOME") else Path.home()


def _container(url: str) -> tuple[str, str]:
    container, _, path = url.partition(":")[2].partition(":")
    if not container or "/" in container:
        scheme = url.partition(":")[0]
        raise BadLocation(f"{url!r} is not a repository of the kind {scheme}: write {scheme}:<bucket or container>:/<path>")
    return container, path.strip("/")


def _bucket_remote(url: str, kind: str, plain: Mapping[str, str]) -> Remote:
    container, path = _container(url)
    return Remote(f"{_NAME}:{container}" + (f"/{path}" if path else ""), url, kind, plain)


def _needs(url: str, env: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not env.get(name):
            raise BadCredentials(f"{url}: {name} is not set: check the storage secret")


def _google(url: str, env: Mapping[str, str]) -> Remote:
    plain = {"bucket_policy_only": "true"}
    if token := env.get("GOOGLE_ACCESS_TOKEN"):
        plain["access_token"] = token
    elif path := env.get("GOOGLE_APPLICATION_CREDENTIALS"):
        plain["service_account_file"] = path
    else:
        plain["env_auth"] = "true"
    if project := env.get("GOOGLE_PROJECT_ID"):
        plain["project_number"] = project
    return _bucket_remote(url, "google cloud storage", plain)


def _backblaze(url: str, env: Mapping[str, str]) -> Remote:
    _needs(url, env, "B2_ACCOUNT_ID", "B2_ACCOUNT_KEY")
    plain = {"account": env["B2_ACCOUNT_ID"], "key": env["B2_ACCOUNT_KEY"], "hard_delete": "true"}
    return _bucket_remote(url, "b2", plain)


def _swift(url: str, env: Mapping[str, str]) -> Remote:
    return _bucket_remote(url, "swift", {"env_auth": "true"})


_REMOTES = {"rclone": _rclone, "sftp": _sftp, "gs": _google, "b2": _backblaze, "swift": _swift}
