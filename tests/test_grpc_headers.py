"""ext.grpc_headers: timeouts, status texts, metadata."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.grpc_headers import decode_text, decode_timeout_ns, encode_status_text

UNITS_NS = {"n": 1, "u": 1_000, "m": 1_000_000, "S": 10**9, "M": 60 * 10**9, "H": 3_600 * 10**9}
CENTURY_NS = 95 * 365 * 24 * 3_600 * 10**9  # 832,200 hours


@given(st.integers(0, 99_999_999), st.sampled_from(sorted(UNITS_NS)))
def test_timeouts(amount: int, unit: str) -> None:
    expected = amount * UNITS_NS[unit]
    found = decode_timeout_ns(f"{amount}{unit}".encode())
    assert found == expected or (expected > CENTURY_NS and CENTURY_NS <= found <= expected)


@given(st.binary(max_size=12))
def test_malformed_timeouts(octets: bytes) -> None:
    wellformed = 2 <= len(octets) <= 9 and octets[:-1].isdigit() and chr(octets[-1]) in UNITS_NS
    assert (decode_timeout_ns(octets) >= 0) == wellformed


@given(st.text(max_size=200))
def test_status_texts_come_back(text: str) -> None:
    encoded = encode_status_text(text)
    assert all(0x20 <= octet <= 0x7E for octet in encoded)
    assert decode_text(encoded) == text.encode("utf-8", "replace").decode()


@given(st.binary(max_size=60))
def test_any_octets_decode_to_some_text(octets: bytes) -> None:
    assert isinstance(decode_text(octets), str)


@pytest.mark.parametrize(
    ("text", "encoded"), [("a b~", b"a b~"), ("100%", b"100%25"), ("\n", b"%0A"), ("没", b"%E6%B2%A1"), ("", b"")]
)
def test_status_texts_as_the_protocol_spells_them(text: str, encoded: bytes) -> None:
    assert encode_status_text(text) == encoded


def test_a_long_status_text_is_cut() -> None:
    assert len(encode_status_text("x" * 100_000)) == 1024
