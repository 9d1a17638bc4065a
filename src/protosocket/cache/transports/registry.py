"""The registry of transports and fronts: by their names, and by the schemes of URLs."""

from __future__ import annotations

from protosocket.cache.transports.grpc_front import GRPC_FRONT
from protosocket.cache.transports.grpc_stream import GRPC_STREAM
from protosocket.cache.transports.grpc_unary import GRPC_UNARY
from protosocket.cache.transports.protosocket import PROTOSOCKET, PROTOSOCKET_FRONT
from protosocket.cache.transports.transport import Front, Transport

__all__ = ["FRONTS", "TRANSPORTS", "front_of", "transport_of"]

TRANSPORTS: dict[str, Transport] = {each.name: each for each in (GRPC_UNARY, GRPC_STREAM, PROTOSOCKET)}
"""In the order of the talk's columns."""

FRONTS: dict[str, Front] = {each.name: each for each in (PROTOSOCKET_FRONT, GRPC_FRONT)}


def transport_of(url: str) -> Transport:
    """The transport that the URL of a storage says; protosocket, which will say so, for one that none has."""
    return next((each for each in TRANSPORTS.values() if _scheme(url) in each.schemes), PROTOSOCKET)


def front_of(url: str) -> Front:
    """The front that the URL of a router says; protosocket's, which will say so, for one that none has."""
    return next((each for each in FRONTS.values() if _scheme(url) in each.schemes), PROTOSOCKET_FRONT)


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()
