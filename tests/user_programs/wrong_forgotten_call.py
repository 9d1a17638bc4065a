"""Calls that nobody awaits are never sent; type checkers tell when they are asked to."""

# pyright: reportUnusedCallResult=true
# mypy: enable-error-code="unused-awaitable"

from __future__ import annotations

import protosocket
from protosocket import codecs, rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.cache.protosocket_client import ProtosocketCacheClient


async def main(client: rpc.Client[CacheCommand, CacheResponse], cache: ProtosocketCacheClient) -> None:
    client.unary(CacheCommand())  # error: unused-awaitable, reportUnusedCallResult
    cache.delete("default", b"key")  # error: unused-awaitable, reportUnusedCallResult
    protosocket.connect("tcp://a:1", codecs.Lines())  # error: unused-awaitable, reportUnusedCallResult
