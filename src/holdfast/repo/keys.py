"""Key files: each opens the repository's one master key with one password.

A key file is plain JSON: the scrypt parameters and the master key sealed with the derived key. Its name is the hash of its
content. Passwords come in as values from the caller, who read them from a file, a mounted Secret or a descriptor.
"""

import base64
import contextlib
import getpass
import hashlib
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from holdfast.repo.crypto import Key
from holdfast.repo.derivation import derive
from holdfast.repo.documents import MAX_SMALL_BYTES, decode, refuse_large
from holdfast.repo.errors import Damaged, NoKey, NoRepository, ObjectNotFound, WrongPassword
from holdfast.repo.store import Store, path_of
from holdfast.repo.times import format_time

SCRYPT_N, SCRYPT_R, SCRYPT_P = 16384, 8, 5
"""Cost of one guess: 16 MiB and about a quarter of a second by the usual libraries; what OWASP recommends for scrypt with this
N, as strong as fewer lanes of more memory each. Two lanes at once take 32 MiB."""

_MOST_TRIED = 20


class KeyFile(msgspec.Struct, frozen=True):
    """The JSON of a key file."""

    created: str
    username: str
    hostname: str
    kdf: str
    n: int = msgspec.field(name="N")
    r: int
    p: int
    salt: str
    data: str


class _Tag(msgspec.Struct, frozen=True):
    k: str
    r: str


class _Master(msgspec.Struct, frozen=True):
    mac: _Tag
    encrypt: str


_decoder = msgspec.json.Decoder(KeyFile)
_master_decoder = msgspec.json.Decoder(_Master)


def user_name() -> str:
    """The name of the user we run as; its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def add(store: Store, master: Key, password: str, *, host: str = "", user: str = "") -> str:
    """Write a key file that opens `master` with `password`; returns its id. `host` and `user` are shown in listings."""
    salt = os.urandom(64)
    clear = msgspec.json.encode(_Master(_Tag(_b64(master.k), _b64(master.r)), _b64(master.encrypt)))
    content = msgspec.json.encode(
        KeyFile(
            created=format_time(datetime.now(UTC)),
            username=user or user_name(),
            hostname=host or socket.gethostname(),
            kdf="scrypt",
            n=SCRYPT_N,
            r=SCRYPT_R,
            p=SCRYPT_P,
            salt=_b64(salt),
            data=_b64(derive(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P).seal(clear)),
        )
    )
    name = hashlib.sha256(content).hexdigest()
    store.put(path_of("keys", name), content)
    return name


def unlock(store: Store, password: str, fits: Callable[[Key], bool]) -> tuple[Key, str]:
    """Find the key file that the password opens; returns the master key and the file's id.

    `fits` tells whether a master key is that of the repository's config: an attempt to make the repository that was given up
    may have left another one, which is passed over. Where none fits, one is returned, and config is what doesn't.
    """
    sizes = {entry.name: entry.size for entry in store.list("keys")}
    names = sorted(sizes)
    if not names:
        raise NoRepository(f"{store.location}: there is no repository here: no key file was found; initialise it first")
    broken: list[str] = []
    other: tuple[Key, str] | None = None
    for name in names[:_MOST_TRIED]:
        try:
            refuse_large(sizes[name], MAX_SMALL_BYTES, f"key file {name[:8]}")
            key = try_open(store, name, password)
        except (Damaged, ObjectNotFound):
            broken.append(name[:8])
            continue
        if key is not None:
            if fits(key):
                return key, name
            other = key, name
    if other is not None:
        return other
    if not broken:
        raise WrongPassword(f"{store.location}: the password opens none of the {len(names)} keys: check the encryption secret")
    listed = ", ".join(broken)
    if len(broken) == len(names):
        raise Damaged(f"{store.location}: no key file can be read: {listed}: restore keys/ from a copy of the repository")
    raise WrongPassword(
        f"{store.location}: the password opens none of the {len(names)} keys: check the encryption secret; damaged and not "
        f"tried: {listed}: restore them from a copy of the repository"
    )


class KeyInfo(msgspec.Struct, frozen=True):
    """A key file as a listing shows it. `created` is RFC 3339."""

    id: str
    username: str
    hostname: str
    created: str


def listing(store: Store) -> list[KeyInfo]:
    """All key files, oldest first. Raises Damaged for one that can't be read."""
    found: list[KeyInfo] = []
    for entry in store.list("keys"):
        with contextlib.suppress(ObjectNotFound):
            file = _read(store, entry.name)
            found.append(KeyInfo(entry.name, file.username, file.hostname, file.created))
    return sorted(found, key=lambda key: (key.created, key.id))


def find(store: Store, ident: str) -> str:
    """The full id of the key that `ident` begins. Raises NoKey."""
    names = sorted(entry.name for entry in store.list("keys") if ident and entry.name.startswith(ident))
    if len(names) != 1:
        found = f"{len(names)} keys begin with" if names else "there is no key"
        raise NoKey(f"{store.location}: {found} {ident!r}; list them with `holdfast repo keys list`")
    return names[0]


def remove(store: Store, ident: str, current: str) -> None:
    """Remove the key file with this full id. Raises NoKey for the one in use, without which nothing could be opened."""
    if ident == current:
        raise NoKey(f"{store.location}: key {ident[:8]} is the one in use: open the repository with another password first")
    store.delete(path_of("keys", ident))


def change(store: Store, master: Key, current: str, password: str, *, host: str = "", user: str = "") -> str:
    """Replace the key in use by one with another password; returns the new id.

    The old one goes only after the new one was read back from the store and opened.
    """
    name = add_proven(store, master, password, host=host, user=user)
    store.delete(path_of("keys", current))
    return name


def add_proven(store: Store, master: Key, password: str, *, host: str = "", user: str = "") -> str:
    """Add a key and prove that it opens; one that does not is removed again. Raises Damaged."""
    name = add(store, master, password, host=host, user=user)
    opened = try_open(store, name, password)
    if opened is None or (opened.encrypt, opened.k, opened.r) != (master.encrypt, master.k, master.r):
        store.delete(path_of("keys", name))
        raise Damaged(f"{store.location}: the new key did not open again, nothing was changed: check this machine's memory")
    return name


def _is_whole(store: Store, name: str) -> bool:
    return hashlib.sha256(store.get(path_of("keys", name))).hexdigest() == name


def _read(store: Store, name: str) -> KeyFile:
    return decode(_decoder, store.get(path_of("keys", name)), f"{store.location}: key file {name[:8]}")


def try_open(store: Store, name: str, password: str) -> Key | None:
    """The master key in a key file; None when it was sealed with another password. Raises Damaged, ObjectNotFound."""
    file = _read(store, name)
    try:
        salt, data = base64.b64decode(file.salt), base64.b64decode(file.data)
    except ValueError as error:
        raise Damaged(f"{store.location}: key file {name[:8]} is not readable: {error}") from error
    if file.kdf != "scrypt":
        raise Damaged(f"{store.location}: key file {name[:8]} uses the unknown derivation {file.kdf!r}")
    derived = derive(password, salt, file.n, file.r, file.p)
    try:
        clear = derived.open(data)
    except Damaged:
        if _is_whole(store, name):
            return None
        raise
    master = decode(_master_decoder, clear, f"{store.location}: the key in key file {name[:8]}")
    return Key(base64.b64decode(master.encrypt), base64.b64decode(master.mac.k), base64.b64decode(master.mac.r))
