"""The server's own certificate authority, its certificate, and the files that hold secrets.

Everything is made at the first start and kept under `<data_dir>/pki`, private keys readable by the owner only. EC P-256
keys take about a millisecond to make. The server certificate is renewed when it is about to expire or lacks a name.
"""

import datetime as dt
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_CA_DAYS, _SERVER_DAYS, _RENEW_DAYS = 3650, 365, 30


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(handle, 0o600)
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(draft, path)


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key at `path`, made when missing."""
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(
            path,
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )
    found = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise RuntimeError(f"{path} does not hold an EC key: move it away to have a new one made")
    return found


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _load_certificate(path: Path) -> x509.Certificate | None:
    return x509.load_pem_x509_certificate(path.read_bytes()) if path.exists() else None


def _save_certificate(path: Path, certificate: x509.Certificate) -> x509.Certificate:
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def _ensure_ca(folder: Path, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    path = folder / "ca.crt"
    if (found := _load_certificate(path)) is not None:
        return found
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    draft = _draft("holdfast-ca", _name("holdfast-ca"), key.public_key(), _CA_DAYS)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    draft = draft.add_extension(usage, critical=True)
    draft = draft.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _save_certificate(path, draft.sign(key, hashes.SHA256()))


def _alternatives(hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys((*_NAMES, "127.0.0.1", "::1", *hosts)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _still_good(found: x509.Certificate | None, ca: x509.Certificate, names: list[x509.GeneralName]) -> bool:
    if found is None or found.issuer != ca.subject:
        return False
    left = found.not_valid_after_utc - dt.datetime.now(dt.UTC)
    carried = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return left > dt.timedelta(days=_RENEW_DAYS) and set(names) <= set(carried)


def ensure_server_certificate(folder: Path, hosts: tuple[str, ...]) -> tuple[Path, Path, Path]:
    """Paths of (CA certificate, server certificate, server key), made or renewed as needed."""
    ca_key, key = load_key(folder / "ca.key"), load_key(folder / "server.key")
    ca, path = _ensure_ca(folder, ca_key), folder / "server.crt"
    names = _alternatives(hosts)
    if not _still_good(_load_certificate(path), ca, names):
        draft = _draft("holdfast-apiserver", ca.subject, key.public_key(), _SERVER_DAYS)
        draft = draft.add_extension(x509.SubjectAlternativeName(names), critical=False)
        draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        draft = draft.add_extension(authority, critical=False)
        _save_certificate(path, draft.sign(ca_key, hashes.SHA256()))
    return folder / "ca.crt", path, folder / "server.key"
