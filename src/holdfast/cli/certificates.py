"""The webhook's certificates: an authority of ten years, a server certificate of ninety days, renewed a month before its end.

Pure but for the keys that it draws: from what there is and the time to what there shall be.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=90)
RENEW_BEFORE: Final = timedelta(days=30)

_FIELDS: Final = {"authority": "ca.crt", "authority_key": "ca.key", "certificate": "tls.crt", "key": "tls.key"}


class Bundle(msgspec.Struct, frozen=True):
    """All as PEM."""

    authority: bytes
    authority_key: bytes
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Show no key."""
        return "Bundle(...)"


def encode(bundle: Bundle) -> dict[str, str]:
    """Return the `data` of a Secret."""
    return {name: base64.b64encode(getattr(bundle, field)).decode() for field, name in _FIELDS.items()}


def decode(data: Mapping[str, str]) -> Bundle | None:
    """Return what a Secret holds; None when a part is missing."""
    if not all(data.get(name) for name in _FIELDS.values()):
        return None
    return Bundle(**{field: base64.b64decode(data[name]) for field, name in _FIELDS.items()})


def renewed(bundle: Bundle | None, names: Sequence[str], now: datetime) -> Bundle:
    """Return the bundle itself while it serves these names for another month, else a new one; the authority stays if it can."""
    if bundle is None or _ends(bundle.authority) - now < LIFE:
        key = ec.generate_private_key(ec.SECP256R1())
        return _issued(_authority(key, now), key, names, now)
    certificate = x509.load_pem_x509_certificate(bundle.certificate)
    carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if certificate.not_valid_after_utc - now >= RENEW_BEFORE and set(names) <= set(carried.get_values_for_type(x509.DNSName)):
        return bundle
    key = serialization.load_pem_private_key(bundle.authority_key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return _issued(x509.load_pem_x509_certificate(bundle.authority), key, names, now)


def _ends(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("holdfast-webhook-ca")
    draft = _draft(name, name, key, now, AUTHORITY_LIFE)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    draft = draft.add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
    draft = draft.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return draft.sign(key, hashes.SHA256())


def _issued(authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime) -> Bundle:
    key = ec.generate_private_key(ec.SECP256R1())
    draft = _draft(_name(names[0]), authority.subject, key, now, LIFE)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    draft = draft.add_extension(alternatives, critical=False)
    draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    draft = draft.add_extension(issuer, critical=False)
    certificate = draft.sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    return Bundle(authority.public_bytes(pem), _key(signer), certificate.public_bytes(pem), _key(key))


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + life)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
