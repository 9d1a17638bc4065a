"""gRPC from clients to a router, one call a command, and the listener that both of gRPC's back hops have.

What it needs of the extra ``grpc`` is imported when it is used.
"""

from __future__ import annotations

from protosocket.cache.client import CacheClient
from protosocket.cache.interface import Backend, Listening
from protosocket.cache.storage import StorageHandler
from protosocket.cache.transports.transport import ClientHop, Front, ServedHop

__all__ = ["GRPC_ANYWHERE", "GRPC_FRONT", "GRPC_SCHEMES", "listen_grpc"]

GRPC_SCHEMES = ("grpc",)
GRPC_ANYWHERE = "grpc://127.0.0.1:0"


async def listen_grpc(url: str, handler: StorageHandler, hop: ServedHop) -> Listening:
    """A storage that serves calls and streams."""
    from protosocket.cache.grpc_storage import serve_storage_grpc

    return await serve_storage_grpc(url, handler, tokens=hop.tokens)


def _client(url: str, hop: ClientHop) -> CacheClient:
    from protosocket.cache.grpc_client import GrpcCacheClient

    return GrpcCacheClient(url, token=hop.token)


async def _listen_for_clients(url: str, backend: Backend, hop: ServedHop) -> Listening:
    from protosocket.cache.grpc_router import serve_router_grpc

    return await serve_router_grpc(url, backend, tokens=hop.tokens)


GRPC_FRONT = Front(
    name="grpc",
    schemes=GRPC_SCHEMES,
    listen_url=GRPC_ANYWHERE,
    client=_client,
    listen=_listen_for_clients,
)
