"""A process that makes repositories: `python -m tests.soak.founder` reads one URL a line and answers `made` or `exists`."""

import os
import sys

from holdfast.repo import keys
from holdfast.repo.errors import RepositoryExists
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from tests.repo_trees import PASSWORD


def main() -> None:
    keys.SCRYPT_N = 256
    for line in sys.stdin:
        try:
            Repository.init(open_store(line.strip(), os.environ), PASSWORD).close()
            print("made", flush=True)
        except RepositoryExists:
            print("exists", flush=True)


if __name__ == "__main__":
    main()
