"""The pass phrases by which records of encrypted backups are found again in a fresh cluster.

They are those that BackupPolicies of this cluster name: whoever brings policies and Secrets back has his encrypted backups
back too. The Secrets are copied into the namespace of the controller only for a search after one that met such records; the
copies go with the BackupRepo.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from holdfast.core.call import SECRETS
from holdfast.core.calls import PassPhrase
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import SecretCopy, SecretFiles
from holdfast.core.ports import Refs
from holdfast.core.read import mapping, name_of, namespace_of, text
from holdfast.dialects.kubeblocks import names
from holdfast.dialects.kubeblocks.kinds import BACKUP_POLICY, SECRET


class Phrase(msgspec.Struct, frozen=True, order=True):
    """One pass phrase: an algorithm, and the entry `key` of a Secret that may not exist (yet)."""

    namespace: str
    secret: str
    key: str
    algorithm: str

    @property
    def mount(self) -> str:
        """Name the folder in which the search finds it."""
        return f"phrase-{_digest(self.namespace, self.secret, self.key)[:12]}"

    def call(self) -> PassPhrase:
        """Return it as the search is told of it."""
        return PassPhrase(self.algorithm, f"{SECRETS}/{self.mount}/{self.key}")

    def files(self, repo: Object) -> SecretFiles:
        """Return what is mounted for it."""
        return SecretFiles(self.mount, self._copy(repo), optional=True, keys=(self.key,))

    def copy(self, repo: Object, home: str) -> SecretCopy:
        """Return how its Secret comes into the controller's namespace."""
        source, target = Ref(SECRET, self.namespace, self.secret), Ref(SECRET, home, self._copy(repo))
        return SecretCopy(source, target, repo, optional=True)

    def _copy(self, repo: Object) -> str:
        return bounded_name(f"{names.discovery(repo)}-{_digest(self.namespace, self.secret)[:8]}")


def phrases(refs: Refs) -> Sequence[Phrase]:
    """Return every pass phrase that a policy of this cluster names."""
    found: set[Phrase] = set()
    for policy in refs.list(BACKUP_POLICY):
        config = mapping(policy, "spec", "encryptionConfig")
        secret, key = (text(config, "passPhraseSecretKeyRef", part) for part in ("name", "key"))
        if secret and key:
            found.add(Phrase(namespace_of(policy), secret, key, text(config, "algorithm", default="AES-256-CFB")))
    return sorted(found)


def digest(known: Sequence[Phrase], refs: Refs) -> str:
    """Return what tells one set of pass phrases from another, by the versions of their Secrets; empty for none."""
    parts: list[str] = []
    for phrase in known:
        secret = refs.get(SECRET, phrase.namespace, phrase.secret)
        if secret is not None:
            parts += [*msgspec.structs.astuple(phrase), text(secret, "metadata", "resourceVersion"), name_of(secret)]
    return _digest(*parts)[:16] if parts else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
