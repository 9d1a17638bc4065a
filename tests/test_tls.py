"""TLS settings: contexts made from real files, and errors that name the file at fault."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from protosocket.connection.tls import TLS, client_context, server_context
from protosocket.errors import OptionError

if TYPE_CHECKING:
    from tests.conftest import Certificates


NO_NAMES = ["a b", "[::1]", "a..b", "x" * 64, "straße.example", "a\0", "%eth0", "é" * 64, "."]
"""What the ssl module would refuse when a connection is made, or what is something else there."""


def server_files(certificates: Certificates, **more: Any) -> dict[str, Any]:
    return {"certificate": certificates.server_certificate, "key": certificates.server_key} | more


def test_a_client_checks_the_server_by_default(certificates: Certificates) -> None:
    for tls in (None, TLS(), TLS(ca=certificates.ca), TLS(ca=str(certificates.ca))):
        context = client_context(tls)
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_ca_replaces_the_systems_roots(certificates: Certificates) -> None:
    assert len(client_context(TLS(ca=certificates.ca)).get_ca_certs()) == 1


def test_a_ca_may_be_a_directory(certificates: Certificates) -> None:
    assert client_context(TLS(ca=certificates.ca.parent)).verify_mode == ssl.CERT_REQUIRED


def test_checking_can_be_switched_off() -> None:
    context = client_context(TLS(verify=False))
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname


def test_a_server_asks_for_client_certificates_only_when_told(certificates: Certificates) -> None:
    files = server_files(certificates)
    context = server_context(TLS(**files, ca=certificates.ca))
    assert context.verify_mode == ssl.CERT_NONE
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    context = server_context(TLS(**files, ca=certificates.ca, require_client_certificate=True))
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_certificate_and_key_may_share_a_file(certificates: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.server_key.read_bytes() + certificates.server_certificate.read_bytes())
    server_context(TLS(certificate=both))


def test_a_context_of_your_own_is_taken_as_it_is() -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert client_context(client) is client
    assert server_context(server) is server
    with pytest.raises(OptionError, match="is for servers"):
        client_context(server)
    with pytest.raises(OptionError, match="is for clients"):
        server_context(client)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"key": "k.pem"}, "'k.pem' is given without its certificate"),
        ({"require_client_certificate": True}, "needs ca"),
        ({"server_hostname": ""}, "server_hostname"),
        ({"server_hostname": ".example.com"}, "server_hostname"),
        *(({"server_hostname": name}, "server_hostname") for name in NO_NAMES),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        TLS(**settings)


@pytest.mark.parametrize("tls", [None, TLS()])
def test_a_server_needs_a_certificate(tls: TLS | None) -> None:
    with pytest.raises(OptionError, match="needs a certificate"):
        server_context(tls)


@pytest.mark.parametrize("name", ["certificate", "key", "ca"])
def test_a_missing_file_is_named(certificates: Certificates, tmp_path: Path, name: str) -> None:
    tls = TLS(**server_files(certificates, **{name: tmp_path / "absent.pem"}))
    with pytest.raises(OptionError, match=rf"TLS {name} '.*absent\.pem' cannot be read: No such file"):
        tls.client_context()


@pytest.mark.parametrize("name", ["certificate", "key", "ca"])
def test_a_file_of_something_else_is_named(certificates: Certificates, tmp_path: Path, name: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not PEM")
    with pytest.raises(OptionError, match=r"wrong\.pem"):
        TLS(**server_files(certificates, **{name: wrong})).client_context()


def test_a_key_of_another_certificate_is_named(certificates: Certificates) -> None:
    tls = TLS(certificate=certificates.server_certificate, key=certificates.client_key)
    with pytest.raises(OptionError, match=r"client\.key' is not that of certificate '.*server\.pem"):
        tls.server_context()


def test_an_encrypted_key_needs_its_password(certificates: Certificates, tmp_path: Path) -> None:
    key = load_pem_private_key(certificates.server_key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encryption = BestAvailableEncryption(b"secret")
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    files = server_files(certificates, key=encrypted)
    TLS(**files, key_password="secret").server_context()
    with pytest.raises(OptionError, match=r"encrypted\.key.*wrong password"):
        TLS(**files, key_password="guess").server_context()
    with pytest.raises(OptionError, match=r"encrypted\.key.*does it need key_password"):
        TLS(**files).server_context()
    assert "secret" not in repr(TLS(**files, key_password="secret"))
