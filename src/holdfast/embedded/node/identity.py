"""Who a container runs as: Kubernetes' securityContext turned into user, groups and capabilities.

Without a word the user is 65534 and there are no capabilities, whatever an image would say: on a laptop a pod must not
be root by accident. Root is given to whoever asks with `runAsUser: 0`, and then with the capabilities that container
runtimes give by default, less MKNOD.
"""

from collections.abc import Mapping
from typing import Any

from holdfast.core.objects import Object
from holdfast.embedded.node.sandbox import Identity
from holdfast.embedded.read import items, mapping

NOBODY = 65534

_DEFAULT = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
_FURTHER = (
    "AUDIT_CONTROL AUDIT_READ BLOCK_SUSPEND BPF CHECKPOINT_RESTORE DAC_READ_SEARCH IPC_LOCK IPC_OWNER LEASE"
    " LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BROADCAST PERFMON SYSLOG SYS_ADMIN SYS_BOOT"
    " SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
)

DEFAULT_CAPABILITIES = frozenset(_DEFAULT.split())
"""What root in a container has when it says nothing about capabilities."""

ALL_CAPABILITIES = DEFAULT_CAPABILITIES | frozenset(_FURTHER.split())


class IdentityError(ValueError):
    """A securityContext that this node can't or must not satisfy."""


def identity_of(pod: Object, container: Object, available: frozenset[str] = ALL_CAPABILITIES) -> Identity:
    """Return the identity of a container. `available` are the capabilities that the node itself has.

    Raises IdentityError for `runAsNonRoot` with user 0 and for an unknown capability.
    """
    outer: Mapping[str, Any] = mapping(pod["spec"], "securityContext")
    inner: Mapping[str, Any] = mapping(container, "securityContext")
    uid = int(_first(inner, outer, "runAsUser", NOBODY))
    gid = int(_first(inner, outer, "runAsGroup", 0 if uid == 0 else NOBODY))
    if uid == 0 and _first(inner, outer, "runAsNonRoot", False):
        raise IdentityError(
            f"container {container['name']!r} has runAsNonRoot and runAsUser: 0; give it another user or drop runAsNonRoot"
        )
    groups = [int(group) for group in items(outer, "supplementalGroups")]
    if outer.get("fsGroup") is not None:
        groups.append(int(outer["fsGroup"]))
    return Identity(
        uid=uid,
        gid=gid,
        groups=tuple(dict.fromkeys(group for group in groups if group != gid)),
        capabilities=tuple(sorted(_capabilities(container["name"], inner, uid) & available)),
    )


def _capabilities(name: str, context: Mapping[str, Any], uid: int) -> frozenset[str]:
    if context.get("privileged"):
        return ALL_CAPABILITIES
    asked: Mapping[str, list[str]] = mapping(context, "capabilities")
    added = {_plain(word) for word in items(asked, "add")}
    dropped = {_plain(word) for word in items(asked, "drop")}
    unknown = (added | dropped) - ALL_CAPABILITIES - {"ALL"}
    if unknown:
        raise IdentityError(f"container {name!r}: unknown capability {', '.join(sorted(unknown))}")
    base = DEFAULT_CAPABILITIES if uid == 0 else frozenset[str]()
    if "ALL" in dropped:
        base = frozenset[str]()
    if "ALL" in added:
        base, added = ALL_CAPABILITIES, set[str]()
    return (base - dropped) | added


def _plain(word: str) -> str:
    return word.upper().removeprefix("CAP_")


def _first(inner: Mapping[str, Any], outer: Mapping[str, Any], key: str, default: object) -> Any:
    for source in (inner, outer):
        if source.get(key) is not None:
            return source[key]
    return default
