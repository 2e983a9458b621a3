"""The demo, told in order. Everything goes through kubectl; what judges the restore is find, sha256sum, getfattr and restic."""

import os
import secrets
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from holdfast.cli.demo import manifests as m
from holdfast.cli.demo.failure import DemoFailed
from holdfast.cli.demo.kubectl import Kubectl
from holdfast.cli.demo.screen import Live, Row, note, progress_text, row_of, size, step, table
from holdfast.cli.demo.servers import S3, control_plane, find, s3_server
from holdfast.core.objects import Object
from holdfast.embedded.read import items, mapping

FLIP = "HOLDFAST_DEMO_FLIP_BYTE"
"""Set to 1, one byte of the restored volume is flipped: the demo must notice."""

_PATIENCE = 300


def tell(folder: Path, files: int, size_wanted: int) -> int:
    """Run the whole demo in a folder; returns how many files came back identical. Raises DemoFailed."""
    began = time.monotonic()
    step("a control plane of its own, and an S3 server by rclone")
    with s3_server(folder / "s3") as s3, control_plane(folder / "data") as kubeconfig:
        kubectl = Kubectl(find("kubectl"), kubeconfig, folder)
        note(f"API server, operator and node run; {time.monotonic() - began:.1f} s")
        return Story(kubectl, folder, s3).tell(files, size_wanted, began)


class Story:
    """The acts. Each leaves objects behind that the next one builds on."""

    def __init__(self, kubectl: Kubectl, folder: Path, s3: S3) -> None:
        self._kubectl, self._folder, self._s3 = kubectl, folder, s3
        self._password = secrets.token_urlsafe(24)

    def tell(self, files: int, size_wanted: int, began: float) -> int:
        """Tell all of it."""
        self._workload(files, size_wanted)
        self._configuration()
        rows = self._backup(1)
        self._change()
        before = self._state()
        again = self._backup(2)
        self._check_incremental(rows, again)
        self._restore()
        if os.environ.get(FLIP) == "1":
            self._flip()
        identical = self._compare(before)
        self._check_repositories()
        step(f"the figures, after {time.monotonic() - began:.0f} s")
        print(table(rows + again))
        _go_on()
        return identical

    def _workload(self, files: int, size_wanted: int) -> None:
        for node in self._kubectl.items("nodes"):
            for each in items(node, "status", "conditions"):
                if each["type"] == "Ready" and each["status"] != "True":
                    raise DemoFailed(each["message"])
        step("a StatefulSet whose pod fills its volume with this machine's own files")
        apply = self._kubectl.apply
        apply(*m.example("namespace.yaml"))
        apply(m.scripts(), m.claim(m.STATE_CLAIM), *m.secrets(self._password, self._s3), *m.storages(self._s3))
        apply(*m.example("retention-policy.yaml"), *m.workload(files, size_wanted))
        if os.geteuid():
            note("without root every file belongs to you: owners are compared, but there is only one")
        self._filled()
        note(self._kubectl("logs", "sample-sts-0").strip().splitlines()[-1])

    def _filled(self) -> None:
        try:
            self._kubectl.wait("pod/sample-sts-0", "create")
            self._kubectl.wait("pod/sample-sts-0", "condition=Ready", _PATIENCE)
        except DemoFailed as error:
            pods = self._kubectl.items("pods", "--field-selector=metadata.name=sample-sts-0")
            said = [each["message"] for pod in pods for each in items(pod, "status", "conditions") if each.get("message")]
            raise DemoFailed(f"{error} ({'; '.join(dict.fromkeys(said)) or 'the pod gives no reason'})") from error

    def _configuration(self) -> None:
        step("KubeStash's own sample, with a local and an S3 backend")
        self._kubectl.apply(m.configuration(datetime.now()))
        self._kubectl.wait(f"backupconfiguration/{m.CONFIGURATION}", "jsonpath={.status.phase}=Ready", _PATIENCE)
        self._kubectl.show("get", "backupstorages,retentionpolicies,backupconfigurations,repositories,cronjobs")
        for condition in self._kubectl.get("backupconfiguration", m.CONFIGURATION)["status"]["conditions"]:
            note(f"{condition['type']} {condition['status']}: {condition['message']}")

    def _backup(self, number: int) -> list[Row]:
        step(f"backup {number}: one Job of the trigger's CronJob, two repositories")
        cronjob = f"trigger-{m.CONFIGURATION}-{m.SESSION}"
        known = {each["metadata"]["name"] for each in self._kubectl.items("backupsessions")}
        words = ("create", "job", f"backup-{number}", f"--from=cronjob/{cronjob}", "--dry-run=client", "-o", "yaml")
        print(f"$ kubectl {' '.join(words)} | kubectl create -f -", flush=True)
        self._kubectl("create", "-f", "-", text=self._kubectl(*words))
        session = self._new_session(known)
        self._follow(session)
        ended = self._kubectl.get("backupsession", session)
        phase = ended["status"].get("phase")
        snapshots = [each for each in self._kubectl.items("snapshots") if each["spec"]["backupSession"] == session]
        note(f"BackupSession {session}: {phase} after {ended['status'].get('duration', '?')}")
        if phase != "Succeeded":
            raise DemoFailed(f"BackupSession {session} is {phase}: {_why(ended, snapshots)}")
        rows = sorted((row_of(each) for each in snapshots), key=lambda row: row.snapshot)
        for row in rows:
            note(f"Snapshot {row.snapshot}: {row.files} files, {size(row.bytes)}, {size(row.added)} added, {row.seconds:.1f} s")
        return rows

    def _new_session(self, known: set[str]) -> str:
        for session in _bounded(self._kubectl.watch("backupsessions"), "no BackupSession appeared"):
            if session["metadata"]["name"] not in known:
                return session["metadata"]["name"]
        raise DemoFailed("no BackupSession appeared")

    def _follow(self, session: str) -> None:
        """Show the progress in the Snapshots until all of them and the session have ended."""
        live, phases = Live(), dict[str, str]()
        with ThreadPoolExecutor(1) as pool:
            over = pool.submit(self._ended, session)
            for snapshot in _bounded(self._kubectl.watch("snapshots"), f"BackupSession {session} did not end"):
                if snapshot["spec"]["backupSession"] != session:
                    continue
                phases[snapshot["metadata"]["name"]] = mapping(snapshot, "status").get("phase", "")
                for component in mapping(snapshot, "status", "components").values():
                    if component["phase"] == "Running" and (text := progress_text(component)):
                        live.show(f"{snapshot['spec']['repository']}: {text}")
                if over.done() or (phases and all(phase in ("Succeeded", "Failed") for phase in phases.values())):
                    break
            live.done()
            over.result()

    def _ended(self, session: str) -> None:
        for found in _bounded(self._kubectl.watch("backupsession", session), f"BackupSession {session} did not end"):
            if mapping(found, "status").get("phase") in ("Succeeded", "Failed", "Skipped"):
                return

    def _change(self) -> None:
        step("one file in fifty changes")
        note(self._run(m.job("change", ["/scripts/change.sh", m.VOLUME], {m.VOLUME: m.SOURCE_CLAIM})))

    def _state(self) -> str:
        step("the state to come back to, written down by find, sha256sum and getfattr")
        claims = {m.VOLUME: m.SOURCE_CLAIM, "/state": m.STATE_CLAIM}
        said = self._run(m.job("state", ["/scripts/state.sh", m.VOLUME, m.STATE], claims, read_only=[m.VOLUME]))
        note(said)
        return said

    def _check_incremental(self, first: list[Row], second: list[Row]) -> None:
        for before, after in zip(first, second, strict=True):
            note(f"{after.snapshot} added {after.added / max(before.added, 1):.1%} of what the first backup did")
            if after.added * 5 > before.added:
                raise DemoFailed(f"{after.snapshot} added {size(after.added)} for 2% of changed files: it was not incremental")

    def _restore(self) -> None:
        step("the latest Snapshot of the S3 repository, restored into a new volume")
        name, live = "sample-restore", Live()
        self._kubectl.apply(m.restore(name))
        found: Object = {}
        for found in _bounded(self._kubectl.watch("restoresession", name), f"RestoreSession {name} did not end"):
            for component in mapping(found, "status", "components").values():
                if component["phase"] == "Running":
                    live.show(progress_text(component))
            if mapping(found, "status").get("phase") in ("Succeeded", "Failed", "Invalid", "Unknown"):
                break
        live.done()
        status = mapping(found, "status")
        note(f"RestoreSession {name}: {status.get('phase')} after {status.get('duration', '?')}")
        if status.get("phase") != "Succeeded":
            raise DemoFailed(f"RestoreSession {name} is {status.get('phase')}: {_why(found, [])}")

    def _flip(self) -> None:
        step("one byte of the restored volume is flipped, because the test asks for it")
        note(self._run(m.job("flip", ["/scripts/flip.sh", m.VOLUME], {m.VOLUME: m.RESTORED_CLAIM})))

    def _compare(self, before: str) -> int:
        step("the restored volume against that state")
        claims = {m.VOLUME: m.RESTORED_CLAIM, "/state": m.STATE_CLAIM}
        said = self._run(m.job("compare", ["/scripts/compare.sh", m.VOLUME, m.STATE], claims, read_only=[m.VOLUME, "/state"]))
        note(said)
        now = _figures(said)
        if now["files"] != _figures(before)["files"] or not now["files"]:
            raise DemoFailed(f"{now['files']} files came back of {_figures(before)['files']}")
        if now["sparse"] < _figures(before)["sparse"]:
            raise DemoFailed("sparse files came back with their holes filled")
        return now["files"]

    def _run(self, job: Object) -> str:
        """Run a Job and return the last line it said; a failed Job fails the demo with its words."""
        name = job["metadata"]["name"]
        self._kubectl.apply(job)
        for found in _bounded(self._kubectl.watch("job", name), f"Job {name} did not end"):
            ended = {each["type"] for each in items(found, "status", "conditions") if each["status"] == "True"}
            if "Failed" in ended:
                said = self._kubectl("logs", f"job/{name}").strip().splitlines()
                raise DemoFailed(f"Job {name}: {'; '.join(line[:200] for line in said[:8]) or 'failed without a word'}")
            if "Complete" in ended:
                break
        return self._kubectl("logs", f"job/{name}").strip().splitlines()[-1]

    def _check_repositories(self) -> None:
        step("stock restic reads every byte of both repositories")
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        with ThreadPoolExecutor(2) as pool:
            for line in pool.map(self._check, self._repositories()):
                note(line)

    def _repositories(self) -> list[tuple[str, str]]:
        """Return name and URL of both repositories' only component."""
        snapshots = {each["spec"]["repository"]: each for each in self._kubectl.items("snapshots")}
        volume = self._kubectl.get("pvc", m.STORE_CLAIM)["spec"]["volumeName"]
        spec = self._kubectl.get("pv", volume)["spec"]
        places = {
            m.LOCAL_REPOSITORY: (spec.get("hostPath") or spec["local"])["path"],
            m.S3_REPOSITORY: f"s3:{self._s3.endpoint}/{m.BUCKET}/holdfast",
        }
        found: list[tuple[str, str]] = []
        for name, place in places.items():
            directory = self._kubectl.get("repository", name)["spec"]["path"].strip("/")
            component = next(iter(snapshots[name]["status"]["components"].values()))
            found.append((name, f"{place}/{directory}/{component['path']}"))
        return found

    def _check(self, repository: tuple[str, str]) -> str:
        name, url = repository
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "RESTIC_REPOSITORY": url,
            "RESTIC_PASSWORD_FILE": str(self._folder / "password"),
            "AWS_ACCESS_KEY_ID": self._s3.key,
            "AWS_SECRET_ACCESS_KEY": self._s3.secret,
        }
        command = [find("restic"), "check", "--read-data", "--no-cache"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoFailed(f"restic check of {name}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return f"{name}: {done.stdout.strip().splitlines()[-1]}"


def _bounded(objects: Generator[Object], failure: str) -> Generator[Object]:
    """Yield from a watch and fail when it goes on for too long without an end."""
    deadline = time.monotonic() + _PATIENCE
    for found in objects:
        yield found
        if time.monotonic() > deadline:
            break
    raise DemoFailed(failure)


def _figures(said: str) -> dict[str, int]:
    words = (word.partition("=") for word in said.split() if "=" in word)
    return {name: int(value) for name, _, value in words}


def _why(session: Object, snapshots: list[Object]) -> str:
    """Return the first reasons that the objects give for a failure."""
    found: list[str] = []
    for each in items(session, "status", "conditions"):
        if (each["status"] == "False") == (not each["type"].endswith(("Incomplete", "Skipped"))):
            found.append(each.get("message") or each.get("reason", ""))
    for holder in [*snapshots, session]:
        found += [each["error"] for each in mapping(holder, "status", "components").values() if each.get("error")]
    return "; ".join(dict.fromkeys(found)) or "no reason is given"


def _go_on() -> None:
    step("go on by hand")
    for line in (
        ".venv/bin/holdfast up --detach",
        "export KUBECONFIG=~/.holdfast/admin.kubeconfig PATH=$PWD/.tools/bin:$PATH",
        "kubectl apply -f examples/kubestash/namespace.yaml",
        "kubectl apply -f examples/kubestash/secrets.yaml -f examples/kubestash/sample-sts.yaml",
        "kubectl apply -f examples/kubestash/storage-local.yaml -f examples/kubestash/retention-policy.yaml",
        "kubectl apply -f examples/kubestash/backup-configuration.yaml",
        "kubectl get -n demo backupconfigurations,backupsessions,snapshots --watch",
        ".venv/bin/holdfast down",
    ):
        print(f"   {line}")
    print()
