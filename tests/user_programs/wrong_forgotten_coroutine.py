"""What is an ordinary coroutine, and nobody awaits: type checkers always tell."""

from __future__ import annotations

import protosocket
from protosocket import rpc
from protosocket.cache import CacheClient
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse


async def main(
    client: rpc.Client[CacheCommand, CacheResponse],
    connection: protosocket.Connection[CacheCommand, CacheResponse],
    cache: CacheClient,
) -> None:
    connection.send(CacheCommand())  # error: unused-coroutine, reportUnusedCoroutine
    cache.delete("default", b"key")  # error: unused-coroutine, reportUnusedCoroutine
    client.close()  # error: unused-coroutine, reportUnusedCoroutine
