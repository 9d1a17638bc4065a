"""The cache's client, by itself and behind its interface."""

from __future__ import annotations

import asyncio
from typing import assert_type

from protosocket.cache import CacheClient, GetResult, Hit, Miss
from protosocket.cache.grpc_client import GrpcCacheClient
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.errors import CacheUnavailable


async def use(cache: CacheClient) -> bytes | None:
    await cache.set("default", b"key", b"value", ttl=60)
    match await cache.get("default", b"key", timeout=0.5):
        case Hit(value):
            assert_type(value, bytes)
            return value
        case Miss():
            return None


async def main(url: str) -> None:
    async with ProtosocketCacheClient(url, token="secret") as cache:
        await use(cache)
        started = cache.get("default", b"key").start()
        assert_type(await started, GetResult)
        results = await asyncio.gather(*(cache.get("default", bytes([key])) for key in range(3)))
        assert_type(results, list[GetResult])
        try:
            await cache.delete("default", b"key")
        except CacheUnavailable as error:
            print(error)
    async with GrpcCacheClient("grpc://127.0.0.1:7301") as other:
        await use(other)


if __name__ == "__main__":
    asyncio.run(main("tcp://127.0.0.1:7300"))
