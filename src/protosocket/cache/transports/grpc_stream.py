"""gRPC from a router to its storages, all commands on long streams."""

from __future__ import annotations

from collections.abc import Sequence

from protosocket.cache.interface import Backend
from protosocket.cache.transports.grpc_front import GRPC_ANYWHERE, GRPC_SCHEMES, listen_grpc
from protosocket.cache.transports.transport import Column, StorageHop, Transport

__all__ = ["GRPC_STREAM"]


def _connect(storages: Sequence[str], hop: StorageHop) -> Backend:
    from protosocket.cache.grpc_backend import GrpcStreamBackend

    return GrpcStreamBackend(storages, connections=hop.connections, token=hop.token)


GRPC_STREAM = Transport(
    name="grpc-stream",
    schemes=GRPC_SCHEMES,
    listen_url=GRPC_ANYWHERE,
    connect=_connect,
    listen=listen_grpc,
    front="grpc",
    columns=(Column("grpc-stream", "gRPC streaming", "grpc"),),
)
