"""What the tests of Momento's Rust SDK share: the cache's programs as processes, tokens, the steered SDK."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.interop.processes import Serving, Steered, serving, steered

PROTOSOCKET = (sys.executable, "-m", "protosocket")


def _json64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def first_version(secret: str) -> str:
    """What Momento hands out for ``secret`` as a key of the first version; the SDK shows the secret alone."""
    return _json64({"api_key": secret, "endpoint": "localhost"})


SECRET = "of the first version"
SECOND_VERSION = ".".join(
    part.rstrip("=") for part in (_json64({"alg": "none"}), _json64({"t": "g"}), "c2ln")
)
"""A key of the second version: a JWT, shown to the server as it is."""


def self_signed(path: Path) -> Path:
    """Write a certificate that nobody but itself signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cache.localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


@dataclass(frozen=True)
class Cache:
    """A router and its storage, each a process."""

    storage: Serving
    router: Serving
    certificate: Path

    @property
    def security(self) -> str:
        """``tcp`` or ``tls``."""
        return self.router.url.partition("://")[0]


def write_tokens(folder: Path) -> None:
    """Write the file of tokens that a router takes."""
    (folder / "tokens").write_text(f"{SECRET}\n{SECOND_VERSION}\n")


@contextmanager
def cache(folder: Path, scheme: str = "tcp", *, memory: str = "64MiB") -> Iterator[Cache]:
    """The cache's programs; the router takes ``SECRET`` and ``SECOND_VERSION``."""
    write_tokens(folder)
    certificate = self_signed(folder / "router.pem")
    with storage(memory=memory) as stored, router(folder, scheme, stored) as routed:
        yield Cache(stored, routed, certificate)


@contextmanager
def storage(
    url: str = "tcp://127.0.0.1:0", *, memory: str = "64MiB", listen: str = "--listen"
) -> Iterator[Serving]:
    """A storage that holds this much; it serves gRPC with ``listen`` ``--grpc-listen``."""
    with serving(*PROTOSOCKET, "storage", listen, url, "--max-memory", memory) as serving_storage:
        yield serving_storage


@contextmanager
def router(
    folder: Path, scheme: str, *storages: Serving, place: str = "127.0.0.1:0", transport: str = "protosocket"
) -> Iterator[Serving]:
    """A router in front of ``storages``, with the files that ``cache`` wrote."""
    options: list[str | Path] = ["--listen", f"{scheme}://{place}", "--token-file", folder / "tokens"]
    options += ["--storage", ",".join(each.url for each in storages), "--transport", transport]
    if scheme == "tls":
        options += ["--tls-cert", folder / "router.pem"]
    with serving(*PROTOSOCKET, "router", *options) as serving_router:
        yield serving_router


@asynccontextmanager
async def sdk(
    programs: Path,
    url: str,
    *,
    token: str = first_version(SECRET),
    timeout: float = 15,
    connections: int = 1,
) -> AsyncIterator[Steered]:
    """The SDK's client; every command may take ``timeout`` seconds."""
    security, _, place = url.partition("://")
    options = (token, str(int(timeout * 1000)), str(connections))
    async with steered(programs / "momento-client", security, place, *options) as program:
        yield program


def get(key: bytes, *, cache: str = "cache") -> dict[str, Any]:
    return {"command": "get", "cache": cache, "key": key.hex()}


def put(key: bytes, value: bytes, *, cache: str = "cache", ttl: int | None = None) -> dict[str, Any]:
    """A set; ``ttl`` is in milliseconds, and a minute without it."""
    return {"command": "set", "cache": cache, "key": key.hex(), "value": value.hex(), "ttl": ttl}


def delete(key: bytes, *, cache: str = "cache") -> dict[str, Any]:
    return {"command": "delete", "cache": cache, "key": key.hex()}


def hit(value: bytes) -> dict[str, str]:
    return {"hit": value.hex()}
