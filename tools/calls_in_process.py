"""Makes calls between a client and a server in one process, for ``measure_costs.py`` to count what one costs.

``python tools/calls_in_process.py KIND COUNT``: COUNT calls, 64 at a time, over one TCP connection to this
very process. KIND is ``upb`` (protoc's classes) or ``native``; ``stream`` is one call with COUNT items;
``grpc`` are calls through a generated stub to a servicer of grpc.aio's kind, ``grpc-stream`` is one such call
with COUNT items.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvloop

import protosocket.grpc
from protosocket import rpc
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.cache_service_pb2_grpc import (
    CacheServicer,
    CacheStub,
    add_CacheServicer_to_server,
)
from protosocket.codecs import NativeMessages

IN_FLIGHT = 64
KEY, VALUE = b"k" * 32, b"v" * 128


async def make_grpc_calls(kind: str, count: int) -> None:
    """Make them through protosocket.grpc and wait for all answers."""

    class Servicer(CacheServicer):
        """Answers with the value."""

        async def Get(self, request: Any, context: Any) -> Any:
            """The value of the key."""
            assert request.unary.get.key == KEY
            return pb.CacheResponse(get=pb.GetResponse(value=VALUE))

        Set = Delete = Get

        async def Stream(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
            """The value, often."""
            for _ in range(count):
                yield pb.CacheResponse(get=pb.GetResponse(value=VALUE))

    async def worker(stub: Any, calls: int) -> None:
        for _ in range(calls):
            get = pb.GetCommand(namespace="default", key=KEY)
            response = await stub.Get(pb.CacheCommand(unary=pb.Unary(get=get)))
            assert response.get.value == VALUE

    server = protosocket.grpc.server()
    add_CacheServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = CacheStub(channel)
        if kind == "grpc-stream":
            async for item in stub.Stream(iter(())):
                assert item.get.value == VALUE
        else:
            await asyncio.gather(*(worker(stub, count // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    await server.stop(None)


async def make_calls(kind: str, count: int) -> None:
    """Make them and wait for all answers."""
    messages: Any = pb if kind == "upb" else NativeMessages(pb)
    make_codec = rpc.ProtobufCodec if kind == "upb" else rpc.NativeCodec
    codec: rpc.Codec[Any, Any] = make_codec(
        send=messages.CacheCommand, receive=messages.CacheResponse, id="message_id", control="control_code"
    )

    class Answers(rpc.Service):
        """Answers a get with the value."""

        def select(self, request: Any) -> Any:
            """A stream where one is asked for."""
            return self.stream if kind == "stream" else self.unary

        async def unary(self, request: Any) -> Any:
            """The value of the key."""
            assert request.unary.get.key == KEY
            return messages.CacheResponse(get=messages.GetResponse(value=VALUE))

        async def stream(self, request: Any) -> AsyncIterator[Any]:
            """The value, often."""
            for _ in range(count):
                yield messages.CacheResponse(get=messages.GetResponse(value=VALUE))

    def request() -> Any:
        get = messages.GetCommand(namespace="default", key=KEY)
        return messages.CacheCommand(unary=messages.Unary(get=get))

    async def worker(client: rpc.Client[Any, Any], calls: int) -> None:
        for _ in range(calls):
            response = await client.unary(request())
            assert response.get.value == VALUE

    async with (
        rpc.serve("tcp://127.0.0.1:0", Answers, codec) as server,
        rpc.connect(str(server.addresses[0]), codec) as client,
    ):
        if kind == "stream":
            async for item in client.stream(request()):
                assert item.get.value == VALUE
        else:
            await asyncio.gather(*(worker(client, count // IN_FLIGHT) for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    # When it collects depends on how much the imports left behind.
    gc.disable()
    make = make_grpc_calls if sys.argv[1].startswith("grpc") else make_calls
    uvloop.run(make(sys.argv[1], int(sys.argv[2])))
