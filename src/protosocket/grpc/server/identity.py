"""Who is at the other end of a connection, in the words of gRPC's server contexts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

__all__ = ["PeerIdentity"]


class PeerIdentity:
    """The peer's address and what its TLS certificate says."""

    __slots__ = ("_url", "auth_context", "key")

    def __init__(self, url: str, transport: asyncio.BaseTransport) -> None:
        self._url = url
        self.auth_context: dict[str, list[bytes]] = {
            "transport_security_type": [b"insecure"],
            "security_level": [b"TSI_SECURITY_NONE"],
        }
        """Properties with their values, by gRPC's names."""
        self.key: str | None = None
        """Which of them names the peer."""
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._read_certificate(secured)

    @property
    def peer(self) -> str:
        """``ipv4:127.0.0.1:50312``, ``ipv6:%5B::1%5D:50312``; ``unix:`` for a client without a name."""
        scheme, _, rest = self._url.partition("://")
        if scheme in ("tcp", "tls"):
            return f"ipv6:{quote(rest, safe=':.')}" if rest.startswith("[") else f"ipv4:{rest}"
        return "unix:" if scheme == "unix" else f"{scheme}:{rest}"

    @property
    def identities(self) -> Iterable[bytes] | None:
        """The peer's names by its certificate; ``None`` if it has shown none."""
        return None if self.key is None else self.auth_context[self.key]

    def _read_certificate(self, secured: Any) -> None:
        names = self.auth_context = {
            "transport_security_type": [b"ssl"],
            "security_level": [b"TSI_PRIVACY_AND_INTEGRITY"],
            "ssl_session_reused": [b"true" if getattr(secured, "session_reused", False) else b"false"],
        }
        certificate = secured.getpeercert()
        if not certificate:
            return
        subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
        if "commonName" in subject:
            names["x509_common_name"] = [subject["commonName"].encode()]
            self.key = "x509_common_name"
        alternatives = [str(value).encode() for _, value in certificate.get("subjectAltName", ())]
        if alternatives:
            names["x509_subject_alternative_name"] = alternatives
            self.key = "x509_subject_alternative_name"
        names["x509_pem_cert"] = [ssl.DER_cert_to_PEM_cert(secured.getpeercert(True)).encode()]
