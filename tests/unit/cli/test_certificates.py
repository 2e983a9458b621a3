"""The webhook's certificates over time: kept while they are good, renewed before they end, by an authority that stays."""

from datetime import UTC, datetime, timedelta

from cryptography import x509

from holdfast.cli.certificates import AUTHORITY_LIFE, LIFE, RENEW_BEFORE, Bundle, decode, encode, renewed

NOW = datetime(2026, 3, 4, tzinfo=UTC)
NAMES = ("hook.holdfast.svc", "hook.holdfast.svc.cluster.local")


def ends(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def test_a_certificate_stays_until_a_month_before_its_end() -> None:
    first = renewed(None, NAMES, NOW)
    assert ends(first.certificate) == NOW + LIFE
    assert renewed(first, NAMES, NOW + LIFE - RENEW_BEFORE) is first
    later = renewed(first, NAMES, NOW + LIFE - RENEW_BEFORE + timedelta(seconds=1))
    assert later.certificate != first.certificate
    assert later.authority == first.authority
    x509.load_pem_x509_certificate(later.certificate).verify_directly_issued_by(x509.load_pem_x509_certificate(later.authority))


def test_other_names_and_an_old_authority_need_new_ones() -> None:
    first = renewed(None, NAMES, NOW)
    assert renewed(first, ("hook.other.svc",), NOW).certificate != first.certificate
    assert renewed(first, NAMES, NOW + AUTHORITY_LIFE - LIFE + timedelta(days=1)).authority != first.authority


def test_it_travels_through_a_secret_and_shows_no_key() -> None:
    first = renewed(None, NAMES, NOW)
    assert decode(encode(first)) == first
    assert decode({**encode(first), "tls.key": ""}) is None
    assert "PRIVATE" not in repr(first)
    assert isinstance(first, Bundle)
