"""Which BackupRepo a Backup goes to, and how its jobs reach it.

The label on a Backup beats its policy, which beats the default: the one repository that is marked as such and Ready.
"""

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.ports import Refs
from holdfast.core.read import deleting, name_of, phase_of, text
from holdfast.dialects.kubeblocks import access, names
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.kinds import BACKUP_REPO, STORAGE_PROVIDER
from holdfast.dialects.kubeblocks.refusal import Refusal

not_ready = access.not_ready


class Reached(msgspec.Struct, frozen=True):
    """A repository, and how to reach it."""

    repo: Object
    access: Access


def choose(obj: Object, policy: Object, refs: Refs) -> Object | Refusal:
    """Return the repository of a new Backup."""
    name = text(obj, "metadata", "labels", names.BACKUP_REPO) or text(policy, "spec", "backupRepoName")
    if not name:
        return default(refs)
    found = refs.get(BACKUP_REPO, "", name)
    if found is None or deleting(found):
        return Refusal("RepoNotFound", f"BackupRepo {name} does not exist: create it, then a new Backup")
    return found


def default(refs: Refs) -> Object | Refusal:
    """Return the one default repository that is Ready; while none is, one that may become it."""
    every = [repo for repo in refs.list(BACKUP_REPO) if names.is_true(repo, names.DEFAULT_REPO) and not deleting(repo)]
    marked = [repo for repo in every if phase_of(repo) == "Ready"]
    if len(marked) == 1 or (every and not marked):
        return [*marked, *every][0]
    if not every:
        said = f"no BackupRepo is named, and none is the default: set backupRepoName, or annotate one {names.DEFAULT_REPO}=true"
        return Refusal("NoDefaultRepo", said)
    several = ", ".join(sorted(name_of(repo) for repo in marked))
    return Refusal("SeveralDefaultRepos", f"BackupRepos {several} are all marked as default: leave the mark on one of them")


def reach(name: str, namespace: str, refs: Refs, home: str, *, kopia: bool = False) -> Reached | Refusal:
    """Return a repository by name, and how jobs of a namespace reach it."""
    repo = refs.get(BACKUP_REPO, "", name)
    if repo is None:
        return Refusal("RepoNotFound", f"BackupRepo {name} does not exist any more: create it again")
    provider = refs.get(STORAGE_PROVIDER, "", text(repo, "spec", "storageProviderRef"))
    if provider is None:
        wanted = text(repo, "spec", "storageProviderRef")
        return Refusal("ProviderNotFound", f"StorageProvider {wanted} of BackupRepo {name} does not exist: create it again")
    found = access.access(repo, provider, namespace, home)
    if isinstance(found, Problem):
        return Refusal(found.reason, f"BackupRepo {name}: {found}")
    if kopia:
        found = msgspec.structs.replace(found, copies=(*found.copies, *access.kopia_password(repo, namespace, home)))
    return Reached(repo, found)
