"""Generated gRPC stubs and servicers over protosocket: both channels, interceptors' types, both servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias, assert_type

import grpc
from grpc import aio

import protosocket.grpc
from protosocket.cache.cache_service_pb2_grpc import (
    CacheServicer,
    CacheStub,
    add_CacheServicer_to_server,
)
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

Context: TypeAlias = "aio.ServicerContext[CacheCommand, CacheResponse]"


class Cache(CacheServicer):
    async def Get(self, request: CacheCommand, context: Context) -> CacheResponse:
        if not request.HasField("unary"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nothing to get")
        return CacheResponse()

    async def Set(self, request: CacheCommand, context: Context) -> CacheResponse:
        return CacheResponse(message_id=request.message_id)

    async def Delete(self, request: CacheCommand, context: Context) -> CacheResponse:
        return CacheResponse(message_id=request.message_id)

    async def Stream(
        self, request_iterator: AsyncIterator[CacheCommand], context: Context
    ) -> AsyncIterator[CacheResponse]:
        async for request in request_iterator:
            yield CacheResponse(message_id=request.message_id)


def blocking(target: str) -> CacheResponse:
    with protosocket.grpc.sync_insecure_channel(target) as channel:
        return CacheStub(channel).Get(CacheCommand(), timeout=1)


async def asynchronous(target: str) -> CacheResponse:
    async with protosocket.grpc.insecure_channel(target) as channel:
        stub = CacheStub(channel)
        response = await stub.Get(CacheCommand(), timeout=1, metadata=(("key", "value"),))
        assert_type(response, CacheResponse)
        return response


async def main() -> None:
    server = protosocket.grpc.server()
    add_CacheServicer_to_server(Cache(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asynchronous(f"127.0.0.1:{port}")
    options: dict[str, Any] = {"options": [("grpc.max_receive_message_length", 1024)]}
    channel = protosocket.grpc.fallback_channel(f"127.0.0.1:{port}", **options)
    await channel.close()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
