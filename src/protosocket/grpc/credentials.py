"""TLS credentials in gRPC's shape whose keys can be read, for protosocket as for gRPC itself."""

from __future__ import annotations

import gc
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

__all__ = [
    "client_context",
    "server_context",
    "ssl_channel_credentials",
    "ssl_server_credentials",
]

_OWN_SERVER = "use protosocket.grpc.ssl_server_credentials, which takes the same arguments"
_OWN_CHANNEL = "use protosocket.grpc.ssl_channel_credentials, which takes the same arguments"


@dataclass(frozen=True, slots=True)
class _Keys:
    """PEM, as gRPC's functions take it."""

    pairs: tuple[tuple[bytes, bytes], ...]
    """Private keys with their certificate chains."""
    roots: bytes | None
    require_client_auth: bool = False


class _ServerCredentials(grpc.ServerCredentials):
    def __init__(self, credentials: Any, keys: _Keys) -> None:
        super().__init__(credentials)
        self.keys = keys


class _ChannelCredentials(grpc.ChannelCredentials):
    def __init__(self, credentials: Any, keys: _Keys) -> None:
        super().__init__(credentials)
        self.keys = keys


def ssl_server_credentials(
    private_key_certificate_chain_pairs: Sequence[tuple[bytes, bytes]],
    root_certificates: bytes | None = None,
    require_client_auth: bool = False,
) -> grpc.ServerCredentials:
    """What ``grpc.ssl_server_credentials`` gives, for protosocket and gRPC ports alike.

    ``private_key_certificate_chain_pairs`` are PEM bytes; ``root_certificates`` say whose client certificates
    are trusted, and ``require_client_auth`` refuses clients without one. Raises ``ValueError`` as gRPC does.
    """
    pairs = list(private_key_certificate_chain_pairs)
    made = grpc.ssl_server_credentials(pairs, root_certificates, require_client_auth)
    keys = _Keys(tuple(pairs), root_certificates, require_client_auth)
    return _ServerCredentials(_inner(made), keys)


def ssl_channel_credentials(
    root_certificates: bytes | None = None,
    private_key: bytes | None = None,
    certificate_chain: bytes | None = None,
) -> grpc.ChannelCredentials:
    """What ``grpc.ssl_channel_credentials`` gives, for protosocket and gRPC channels alike.

    All are PEM bytes. Without ``root_certificates`` the server is checked against the system's;
    ``private_key`` and ``certificate_chain`` are shown to a server that asks.
    """
    made = grpc.ssl_channel_credentials(root_certificates, private_key, certificate_chain)
    pairs = ((private_key, certificate_chain),) if private_key and certificate_chain else ()
    return _ChannelCredentials(_inner(made), _Keys(pairs, root_certificates))


def server_context(credentials: grpc.ServerCredentials) -> ssl.SSLContext:
    """The TLS context that these credentials mean for a server.

    In those of gRPC's own function it cannot be seen whether clients must have a certificate: they must where
    root certificates are given, which are of no use otherwise. Raises ``ValueError`` for credentials that
    cannot be read, and for keys that are none.
    """
    if isinstance(credentials, _ServerCredentials):
        keys = credentials.keys
    else:
        pairs, others = _pem_of(credentials)
        if len(others) > 1 or not pairs:
            raise ValueError(f"gRPC keeps to itself what these credentials say: {_OWN_SERVER}")
        keys = _Keys(tuple(pairs), others[0] if others else None, bool(others))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, keys, "server credentials")
    if keys.require_client_auth:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(credentials: grpc.ChannelCredentials) -> ssl.SSLContext:
    """The TLS context that these credentials mean for a channel.

    Those of gRPC's own function will do. Raises ``ValueError`` for others, such as composite ones, and for
    keys that are none.
    """
    if isinstance(credentials, _ChannelCredentials):
        keys = credentials.keys
    elif type(_inner(credentials)).__name__ == "SSLChannelCredentials":
        pairs, others = _pem_of(credentials)
        if len(pairs) > 1 or len(others) > 1:
            raise ValueError(f"gRPC keeps to itself what these credentials say: {_OWN_CHANNEL}")
        keys = _Keys(tuple(pairs), others[0] if others else None)
    else:
        raise ValueError(f"these credentials are for gRPC's own channels only: {_OWN_CHANNEL}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if keys.roots is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    _load(context, keys, "channel credentials")
    return context


def _load(context: ssl.SSLContext, keys: _Keys, what: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if keys.roots is not None:
            context.load_verify_locations(cadata=keys.roots.decode("ascii"))
        for key, chain in keys.pairs:
            _load_pair(context, key, chain)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"the {what} are not PEM, or do not belong together ({error})") from error


def _load_pair(context: ssl.SSLContext, key: bytes, chain: bytes) -> None:
    # OpenSSL reads a key from a file only; nobody else can read this one, and it is gone at once.
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with open(descriptor, "wb") as file:
            file.write(key.rstrip() + b"\n" + chain)
        # Without a callback OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(path, password=lambda: "")
    finally:
        os.unlink(path)


def _inner(credentials: Any) -> Any:
    return vars(credentials)["_credentials"]


def _pem_of(credentials: Any) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Keys with their chains, and the certificates without a key, that grpcio's object holds on to.

    It has no attribute for them. It keeps them alive, though, which the garbage collector can see, and PEM
    says what it is.
    """
    pairs: list[tuple[bytes, bytes]] = []
    others: list[bytes] = []
    for texts in _held_together(_inner(credentials), 3):
        pem = [text for text in texts if b"-----BEGIN " in text]
        found = [text for text in pem if b" PRIVATE KEY-----" in text]
        certificates = [text for text in pem if b" PRIVATE KEY-----" not in text]
        if found and certificates:
            pairs.append((found[0], certificates.pop()))
        others.extend(certificates)
    return pairs, others


def _held_together(holder: object, depth: int) -> Iterator[list[bytes]]:
    held = gc.get_referents(holder)
    yield [each for each in held if isinstance(each, bytes)]
    if depth:
        for each in held:
            if not isinstance(each, type | bytes | str):
                yield from _held_together(each, depth - 1)
