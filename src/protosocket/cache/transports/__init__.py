"""How the cache's hops travel: one registry, a file a transport, found by the schemes of URLs."""

from __future__ import annotations

from protosocket.cache.transports.registry import FRONTS, TRANSPORTS, front_of, transport_of
from protosocket.cache.transports.transport import ClientHop, Column, Front, ServedHop, StorageHop, Transport

__all__ = [
    "FRONTS",
    "TRANSPORTS",
    "ClientHop",
    "Column",
    "Front",
    "ServedHop",
    "StorageHop",
    "Transport",
    "front_of",
    "transport_of",
]
