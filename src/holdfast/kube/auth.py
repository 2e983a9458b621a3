"""The Authorization header, always fresh: tokens in files rotate, exec plugins hand out short-lived ones.

A credential is asked for before each request and answers from memory while it is young. After a 401 it is told to
forget, once; a static token cannot change, so it says that asking again is pointless.
"""

import asyncio
import base64
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from holdfast.kube.config import ClusterConfig, ConfigError, ExecPlugin

FILE_MAX_AGE: Final = 60.0
EXEC_TIMEOUT: Final = 60.0
_EARLY: Final = 30.0


class Credentials(Protocol):
    """Where the Authorization header comes from."""

    async def header(self) -> str | None:
        """Return the header's value, or None when the client certificate alone speaks for us."""
        ...

    def forget(self) -> bool:
        """Drop what is remembered. Return whether a new answer may differ."""
        ...


class Static:
    """A token or password that never changes."""

    def __init__(self, value: str | None):
        self._value = value

    async def header(self) -> str | None:
        """Return the fixed value."""
        return self._value

    def forget(self) -> bool:
        """A static credential has no other answer."""
        return False


class TokenFile:
    """A token that another process, such as the kubelet, keeps fresh in a file."""

    def __init__(self, path: Path, max_age: float = FILE_MAX_AGE):
        self._path = path
        self._max_age = max_age
        self._value = ""
        self._read_at = float("-inf")

    async def header(self) -> str | None:
        """Return the token, read again when the last reading is older than a minute."""
        if time.monotonic() - self._read_at > self._max_age:
            try:
                self._value = self._path.read_text().strip()
            except OSError as error:
                if not self._value:
                    raise ConfigError(f"cannot read the token file {self._path}: {error.strerror}") from None
            self._read_at = time.monotonic()
        return f"Bearer {self._value}"

    def forget(self) -> bool:
        """Read the file before the next request."""
        self._read_at = float("-inf")
        return True


class ExecToken:
    """A token printed by a plugin as an ExecCredential, kept until shortly before it expires."""

    def __init__(self, plugin: ExecPlugin, server: str = ""):
        self._plugin = plugin
        self._server = server
        self._value = ""
        self._until = float("-inf")
        self._lock = asyncio.Lock()

    async def header(self) -> str | None:
        """Return the token, running the plugin when there is none that is still good."""
        async with self._lock:
            if time.time() >= self._until:
                self._value, self._until = self._parse(await self._run())
        return f"Bearer {self._value}"

    def forget(self) -> bool:
        """Run the plugin before the next request."""
        self._until = float("-inf")
        return True

    async def _run(self) -> bytes:
        plugin = self._plugin
        spec: dict[str, object] = {"interactive": False}
        if plugin.provide_cluster_info:
            spec["cluster"] = {"server": self._server}
        info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
        environ = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command, *plugin.args, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise ConfigError(f"credential plugin {plugin.command}: {error.strerror}") from None
        try:
            async with asyncio.timeout(EXEC_TIMEOUT):
                output, _ = await process.communicate()
        except TimeoutError:
            raise ConfigError(f"credential plugin {plugin.command}: no answer within {EXEC_TIMEOUT:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise ConfigError(f"credential plugin {plugin.command}: exit status {process.returncode}")
        return output

    def _parse(self, output: bytes) -> tuple[str, float]:
        try:
            status = json.loads(output)["status"]
            token = str(status["token"])
            expires = status.get("expirationTimestamp")
            until = datetime.fromisoformat(expires).astimezone(UTC).timestamp() - _EARLY if expires else float("inf")
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"credential plugin {self._plugin.command}: it printed no ExecCredential with a token") from None
        return token, until


def credentials_of(config: ClusterConfig) -> Credentials:
    """Choose how this configuration authenticates."""
    if config.exec_plugin is not None:
        return ExecToken(config.exec_plugin, config.server)
    if config.token_file:
        return TokenFile(Path(config.token_file))
    if config.token:
        return Static(f"Bearer {config.token}")
    if config.username:
        return Static("Basic " + base64.b64encode(f"{config.username}:{config.password}".encode()).decode())
    return Static(None)
