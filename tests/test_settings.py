"""Flags of `tidegate serve`: what is accepted, and the one line each wrong value gets."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ext.codes import VENUES
from gateway.settings import (
    SettingError,
    VenueAddress,
    check_cpu,
    check_journal,
    check_tls,
    trading_day,
    venue_address,
    venue_addresses,
)


@pytest.mark.parametrize(("text", "host", "port", "market_data_port"), [
    ("XSHG=127.0.0.1:9001", "127.0.0.1", 9001, 0),
    ("XSHG=exchange.local:9001,9002", "exchange.local", 9001, 9002),
    ("XSHG=[::1]:9001,9002", "::1", 9001, 9002),
])
def test_venue_address(text, host, port, market_data_port):
    assert venue_address(text) == VenueAddress(VENUES["XSHG"], host, port, market_data_port)


@pytest.mark.parametrize("text", [
    "", "XSHG", "XSHG=", "XSHG=host", "XSHG=host:", "XSHG=host:0", "XSHG=host:65536", "XSHX=host:1", "XSHG=host:1,x",
    "XSHG=:1", "XSHG=host:-1", "XSHG=host:1,2,3", "XSHG=host:\u0663",
])
def test_wrong_venue_address(text):
    with pytest.raises(SettingError, match=r"^--venue: got .*, expected XSHG=host:port"):
        venue_address(text)


def test_venues_are_told_apart():
    assert len(venue_addresses(["XSHG=h:1", "XSHE=h:2"])) == 2
    with pytest.raises(SettingError, match="each exchange once"):
        venue_addresses(["XSHG=h:1", "XSHG=h:2"])
    with pytest.raises(SettingError, match="got none"):
        venue_addresses([])


def test_trading_day():
    assert trading_day("2026-11-23") == 20261123
    assert trading_day("") >= 20260101
    with pytest.raises(SettingError, match=r"--date: got '23\.11\.2026', expected YYYY-MM-DD"):
        trading_day("23.11.2026")


def test_cpu_must_be_ours():
    check_cpu(None)
    with pytest.raises(SettingError, match="--cpu: got 4096, expected one of 0"):
        check_cpu(4096)


def test_journal_directory_is_made(tmp_path):
    check_journal(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"--journal: got '.*file', expected a directory"):
        check_journal(tmp_path / "file")


def pem_pair(directory, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                   .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
                   .sign(key, hashes.SHA256()))
    cert_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    return cert_path, key_path


def test_tls_files_go_together(tmp_path):
    cert, key = pem_pair(tmp_path, "one")
    _, other_key = pem_pair(tmp_path, "two")
    check_tls(None, None)
    check_tls(cert, key)
    with pytest.raises(SettingError, match="--tls-key: got nothing"):
        check_tls(cert, None)
    with pytest.raises(SettingError, match="--tls-cert: got nothing"):
        check_tls(None, key)
    with pytest.raises(SettingError, match="expected a PEM pair"):
        check_tls(cert, other_key)
    with pytest.raises(SettingError, match="expected a file that exists"):
        check_tls(cert, tmp_path / "none")
