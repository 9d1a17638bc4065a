"""Drives a router (or a storage) of the cache over protosocket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from protosocket import rpc
from protosocket.bench.drivers.cache import CacheDriver
from protosocket.cache.protosocket_client import ProtosocketCacheClient

if TYPE_CHECKING:
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations
    from protosocket.cache.interface import CacheClient

__all__ = ["driver"]


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A driver with a client, which is one connection, for each connection of ``endpoint``."""

    async def connect() -> list[CacheClient]:
        asyncio.get_running_loop().set_task_factory(rpc.task_factory)
        return [ProtosocketCacheClient(url) for _ in range(endpoint.connections) for url in endpoint.urls]

    return CacheDriver(connect, endpoint, operations)
