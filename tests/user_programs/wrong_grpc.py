"""A stub gets the wrong request, and a channel of the other kind."""

from __future__ import annotations

import protosocket.grpc
from protosocket.cache.cache_service_pb2_grpc import CacheAsyncStub, CacheStub
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse


async def main() -> None:
    stub: CacheAsyncStub = CacheStub(protosocket.grpc.insecure_channel("127.0.0.1:7301"))
    await stub.Get(CacheResponse())  # error: arg-type, reportArgumentType
    response = stub.Get(CacheCommand())
    print(response.get.value)  # error: attr-defined, reportAttributeAccessIssue
    protosocket.grpc.insecure_channel(7301)  # error: arg-type, reportArgumentType
    blocking = protosocket.grpc.sync_insecure_channel("127.0.0.1:7301")
    other: CacheAsyncStub = CacheStub(blocking)  # error: assignment, reportAssignmentType
    print(other)
