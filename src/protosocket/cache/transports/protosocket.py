"""Protosocket on both hops: over TCP, TLS and Unix sockets."""

from __future__ import annotations

from collections.abc import Sequence

from protosocket import rpc
from protosocket.cache.client import CacheClient
from protosocket.cache.interface import Backend, Listening
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.cache.protosocket_router import ProtosocketBackend, serve_router
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.cache.storage import StorageHandler
from protosocket.cache.transports.transport import (
    ClientHop,
    Column,
    Front,
    ServedHop,
    StorageHop,
    Transport,
)

__all__ = ["PROTOSOCKET", "PROTOSOCKET_FRONT"]

_SCHEMES = ("tcp", "tls", "unix")
_ANYWHERE = "tcp://127.0.0.1:0"


def _connect(storages: Sequence[str], hop: StorageHop) -> Backend:
    return ProtosocketBackend(
        storages, connections=hop.connections, token=hop.token, options=hop.options, tls=hop.tls
    )


async def _listen(url: str, handler: StorageHandler, hop: ServedHop) -> Listening:
    return await serve_storage(url, handler, tokens=hop.tokens, options=hop.options, tls=hop.tls)


def _client(url: str, hop: ClientHop) -> CacheClient:
    return ProtosocketCacheClient(url, token=hop.token, tls=hop.tls)


async def _listen_for_clients(url: str, backend: Backend, hop: ServedHop) -> Listening:
    return await serve_router(
        url, backend, tokens=hop.tokens, options=hop.options, tls=hop.tls, reuse_port=hop.reuse_port
    )


PROTOSOCKET = Transport(
    name="protosocket",
    schemes=_SCHEMES,
    listen_url=_ANYWHERE,
    connect=_connect,
    listen=_listen,
    front="protosocket",
    columns=(
        Column("protosocket-backend", "protosocket\nrouter → storage", "grpc"),
        Column("protosocket", "protosocket\nclient → router → storage", "protosocket"),
    ),
)

PROTOSOCKET_FRONT = Front(
    name="protosocket",
    schemes=_SCHEMES,
    listen_url=_ANYWHERE,
    client=_client,
    listen=_listen_for_clients,
    is_shareable=True,
    task_factory=rpc.task_factory,
)
