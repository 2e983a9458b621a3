import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from holdfast.repo.blob import MAX_BLOB_BYTES, blob_id, decompress, open_blob, seal_blob
from holdfast.repo.config import is_irreducible, random_polynomial
from holdfast.repo.crypto import OVERHEAD, Key
from holdfast.repo.derivation import derive
from holdfast.repo.errors import Damaged, SelfCheckFailed

KEY = Key(bytes(range(32)), bytes(range(16)), bytes(range(16, 32)))


@given(some.binary(max_size=4096))
def test_what_is_sealed_opens_to_the_same(plain: bytes) -> None:
    sealed = KEY.seal(plain)

    assert len(sealed) == len(plain) + OVERHEAD
    assert KEY.open(sealed) == plain


def test_two_seals_of_the_same_text_share_no_nonce() -> None:
    assert len({KEY.seal(b"same")[:16] for _ in range(100)}) == 100


@pytest.mark.parametrize("at", [0, 15, 16, 20, -16, -1])
def test_one_changed_bit_anywhere_is_noticed(at: int) -> None:
    sealed = bytearray(KEY.seal(b"some content"))
    sealed[at] ^= 1

    with pytest.raises(Damaged, match="seal does not fit"):
        KEY.open(sealed)


def test_a_cut_text_and_a_foreign_key_are_noticed() -> None:
    with pytest.raises(Damaged, match="cut short"):
        KEY.open(KEY.seal(b"")[:-1])
    with pytest.raises(Damaged, match="another repository"):
        Key.generate().open(KEY.seal(b"text"))


def test_a_key_never_shows_itself() -> None:
    assert repr(KEY) == "Key(...)"
    assert "AAEC" not in f"{KEY}"


@pytest.mark.parametrize(
    ("n", "r", "p"), [(0, 8, 1), (1, 8, 1), (1000, 8, 1), (1 << 30, 8, 1), (1024, 1 << 20, 64), (1024, 8, 0)]
)
def test_key_files_that_ask_for_absurd_work_are_refused(n: int, r: int, p: int) -> None:
    with pytest.raises(Damaged, match="scrypt parameters"):
        derive("password", b"salt", n, r, p)


@pytest.mark.parametrize(("n", "r", "p"), [(2, 1, 1), (2, 3, 2), (16, 1, 1), (256, 8, 3), (1024, 8, 16), (32768, 8, 2)])
def test_derivation_is_that_of_the_standard_library(n: int, r: int, p: int) -> None:
    wanted = hashlib.scrypt("p\u00e4ss".encode(), salt=b"salt", n=n, r=r, p=p, maxmem=1 << 27, dklen=64)
    key = derive("p\u00e4ss", b"salt", n, r, p)
    assert key.encrypt + key.k + key.r == wanted


@given(some.binary(max_size=2000))
def test_a_blob_comes_back_whether_it_compresses_or_not(plain: bytes) -> None:
    sealed = seal_blob(KEY, plain, blob_id(plain))

    assert open_blob(KEY, sealed.data, sealed.raw_length) == plain
    assert len(sealed.data) <= len(plain) + OVERHEAD


def test_the_self_check_refuses_a_blob_that_is_not_what_its_id_says() -> None:
    with pytest.raises(SelfCheckFailed, match="memory"):
        seal_blob(KEY, b"other bytes" * 100, blob_id(b"these bytes"))


def test_a_frame_that_claims_too_much_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(Damaged, match="claims to hold"):
        decompress(b"", MAX_BLOB_BYTES + 1)


def test_polynomials_are_irreducible_of_degree_53() -> None:
    polynomial = random_polynomial()

    assert polynomial.bit_length() == 54
    assert is_irreducible(polynomial)
    assert is_irreducible(0x3DA3358B4DC173)
    assert not is_irreducible(0x3DA3358B4DC173 ^ 1)
