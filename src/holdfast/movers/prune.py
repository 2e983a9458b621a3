"""Runs `restic prune` on a repository, when restic is installed in the mover's image.

Password and keys reach it as files of a private folder, never as arguments. It waits for other holders of a lock, and
never breaks one.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from holdfast.core.calls import RepositoryTarget
from holdfast.movers.context import Context, MoverError, log, stopped
from holdfast.movers.stores import credentials, password

LOCK_PATIENCE = "10m"
_POLL = 0.5


def prune(target: RepositoryTarget, context: Context) -> None:
    """Prune. Raises MoverError with restic's last words when it fails."""
    restic = shutil.which("restic")
    if restic is None:
        log(f"repository {target.name} {target.component}: space is not given back, since restic is not installed here")
        return
    with tempfile.TemporaryDirectory(prefix="prune-") as folder:
        private = Path(folder)
        command = [restic, "prune", "--no-cache", "--retry-lock", LOCK_PATIENCE, *_options(target, private)]
        with (private / "output").open("w+") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=_environment(target, private)
            )
            code = _wait(process, context)
            output.seek(0)
            text = output.read()
    if code:
        last = text.strip().splitlines()[-1:] or ["it said nothing"]
        raise MoverError("PruneFailed", f"restic prune ended with exit code {code}: {last[0]}", "the next run tries again")
    log(text.strip())


def _wait(process: "subprocess.Popen[bytes]", context: Context) -> int:
    while True:
        try:
            return process.wait(_POLL)
        except subprocess.TimeoutExpired:
            if context.stop.is_set():
                process.terminate()
                process.wait()
                raise stopped() from None


def _options(target: RepositoryTarget, private: Path) -> list[str]:
    found: list[str] = []
    if authority := credentials(target.store).get("CA_CERT_DATA"):
        (private / "ca.crt").write_text(authority)
        found += ["--cacert", str(private / "ca.crt")]
    if target.store.options.get("insecure_tls") == "true":
        found.append("--insecure-tls")
    return found


def _environment(target: RepositoryTarget, private: Path) -> dict[str, str]:
    keys = credentials(target.store)
    _private(private / "password", password(target))
    found = {
        "HOME": str(private),
        "PATH": "/usr/bin:/bin",
        "RESTIC_REPOSITORY": target.store.url,
        "RESTIC_PASSWORD_FILE": str(private / "password"),
    }
    if region := target.store.options.get("region"):
        found["AWS_DEFAULT_REGION"] = region
    if keys:
        names = {key: name for key, name in _AWS.items() if keys.get(key)}
        _private(private / "aws", "\n".join(["[default]", *(f"{name} = {keys[key]}" for key, name in names.items())]) + "\n")
        found["AWS_SHARED_CREDENTIALS_FILE"] = str(private / "aws")
    return found


_AWS = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
}


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
