"""A process that does one thing to a repository and can be told where to die.

`python -m tests.soak.worker <json>`: the document names the operation, its folders, and the boundary (label and occurrence)
at which the process kills itself with SIGKILL. Without a boundary it prints how often it passed each one, as JSON.
Packs are small here and every pack is followed by an index, so that little data has many boundaries.
"""

import json
import os
import signal
import sys
from pathlib import Path

from holdfast.repo import writer
from holdfast.repo.backup import backup
from holdfast.repo.copy import copy
from holdfast.repo.maintain import forget
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore
from tests.repo_trees import PASSWORD
from tests.soak.boundaries import BoundaryStore, Visits

PACK_BYTES = 96 << 10


def main(job: dict[str, str]) -> None:
    """Do the job."""
    writer.PACK_BYTES = PACK_BYTES
    writer.INDEX_SECONDS = 0.0
    visits = Visits(job.get("label", ""), int(job.get("occurrence", "0")), lambda: os.kill(os.getpid(), signal.SIGKILL))
    # A killed writer must be able to tell its own life from the next one's even in this test, so locks are as usual.
    with Repository.open(BoundaryStore(LocalStore(Path(job["repository"])), visits), PASSWORD) as repo:
        if job["operation"] == "backup":
            done = backup(repo, [job["source"]], host="soak")
            assert not done.partial, done.errors
        elif job["operation"] == "copy":
            inner = BoundaryStore(LocalStore(Path(job["other"])), visits, "the target")
            with Repository.open(inner, PASSWORD) as target:
                assert not copy(repo, target).failures
        elif job["operation"] == "forget":
            forget(repo, [job["snapshot"]])
        else:
            restored = restore(repo, job["snapshot"], job["target"], subfolder=job["source"])
            assert not restored.partial, restored.errors
    print(json.dumps(visits.counts))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
