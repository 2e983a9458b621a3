"""Making a repository where others may be at it in the same moment, in a store that may not know 'only if there is none'.

Each founder first writes its key file, then lists the keys, and goes on to write `config` only when a listing shows its own key
alone. Of two founders one lists after both keys are there, and waits: so never do two write a config. Whoever waits and has not
the smallest key takes its key back; a config that appears meanwhile makes it RepositoryExists, for which callers open what the
other made. A key whose founder died is adopted after `PATIENCE_SECONDS` by who knows its password, while nothing is stored yet.
"""

import contextlib
import random
import time
from collections.abc import Sequence

from holdfast.repo import config as config_module
from holdfast.repo import keys
from holdfast.repo.config import Config
from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged, NoRepository, ObjectExists, ObjectNotFound, RepositoryExists
from holdfast.repo.store import CONFIG, Store, path_of

PATIENCE_SECONDS = 15.0
"""How long a key without a config may belong to a founder that is still alive: it has one request left to make."""

_POLL_SECONDS = 0.1


class Founding:
    """One attempt: `run` once."""

    def __init__(self, store: Store, password: str, config: Config) -> None:
        self._store, self._password, self._config = store, password, config
        self._key, self._own = Key.generate(), ""
        self._deadline = time.monotonic() + PATIENCE_SECONDS

    def run(self) -> tuple[Key, str]:
        """Write key and config; returns the master key and the id of the key file that opens it.

        Raises RepositoryExists when there is a repository or somebody else makes one meanwhile, NoRepository when an attempt
        with another password was left unfinished, Damaged when snapshots show that config was lost, or a StoreError: then a
        key may be left, and the next attempt with the same password takes it up.
        """
        self._refuse_existing()
        self._own = keys.add(self._store, self._key, self._password)
        left = self._wait()
        if left:
            self._adopt(left)
        self._write_config()
        return self._key, self._own

    def _refuse_existing(self) -> None:
        if _exists(self._store):
            self._withdraw()
            raise RepositoryExists(f"{self._store.location}: there is a repository already: open it instead")

    def _wait(self) -> Sequence[str]:
        """Until our key is alone; returns the keys that are still there without a config when patience is at its end."""
        while True:
            names = sorted(entry.name for entry in self._store.list("keys"))
            self._refuse_existing()
            others = [name for name in names if name != self._own]
            if not others and self._own:
                return []
            if others and time.monotonic() > self._deadline:
                return others
            if others and others[0] < self._own:
                self._withdraw()
            elif not others:
                self._own = keys.add(self._store, self._key, self._password)
                continue
            time.sleep(_POLL_SECONDS * (0.5 + random.random()))

    def _withdraw(self) -> None:
        if self._own:
            with contextlib.suppress(ObjectNotFound):
                self._store.delete(path_of("keys", self._own))
            self._own = ""

    def _adopt(self, left: Sequence[str]) -> None:
        """Go on with the key of a founder that is gone."""
        self._withdraw()
        where = self._store.location
        if any(True for _ in self._store.list("snapshots")):
            raise Damaged(f"{where}: config is missing, and there are snapshots: restore it from a copy of the repository")
        for name in left:
            with contextlib.suppress(Damaged, ObjectNotFound):
                if (key := keys.try_open(self._store, name, self._password)) is not None:
                    self._key, self._own = key, name
                    return
        raise NoRepository(
            f"{where}: there is key file {left[0][:8]} and no config: somebody began to make a repository with another "
            f"password and did not finish; if nobody is at it any more, delete {path_of('keys', left[0])} and try again"
        )

    def _write_config(self) -> None:
        """Write it, and read it back: a store without conditional writes does not say who was faster."""
        sealed = config_module.encode(self._config, self._key)
        with contextlib.suppress(ObjectExists):
            self._store.put(CONFIG, sealed)
        if self._store.get(CONFIG) != sealed:
            if not opens(self._store.get(CONFIG), self._key):
                self._withdraw()
            raise RepositoryExists(f"{self._store.location}: somebody else made the repository meanwhile: open it instead")


def opens(sealed: bytes, key: Key) -> bool:
    """Whether a stored config is sealed with this master key."""
    try:
        key.open(sealed)
    except Damaged:
        return False
    return True


def _exists(store: Store) -> bool:
    try:
        store.size(CONFIG)
    except ObjectNotFound:
        return False
    return True
