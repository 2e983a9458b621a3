"""What a node tells a fork server: one program to run, in which sandbox, and as whom.

Both sides know each other only through these structs. They travel over a connection of their own, which the server's child
reads and never the server itself: nothing of one pod is in the memory from which the next one is made.
"""

from collections.abc import Mapping

import msgspec


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One program. `target` is the pid of a process whose namespaces and output it shares.

    `groups_files` are the `cgroup.procs` of its limits; `capabilities` are the numbers of those that it
    may have, as capability.h counts them. A `uid` other than 0 has none of them at hand, only in its bounding set.
    """

    target: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    capabilities: tuple[int, ...] = ()
    groups_files: tuple[str, ...] = ()


class Forked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a fork server says: first the `pid` of the program, later the `code` it ended with (negative: a signal).

    `problem` says why the program could not be started; nothing follows then.
    """

    pid: int = 0
    code: int | None = None
    problem: str = ""
