"""grpc.aio with one unary call per operation.

uvloop, one channel kept for good, no compression, retries, service config, proxy look-up or channelz, and the
older I/O engine in the environment: each was measured, see docs/decisions/0003-grpc-peer-tuning.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from benchmarks.client import CacheDriver, host_and_port, in_batches, in_turns
from benchmarks.protobuf_messages import answer, calls, get_command, read_set, set_command, verdicts
from protosocket.cache.cache_service_pb2_grpc import CacheStub
from protosocket.cache.grpc_channel import CHANNEL_OPTIONS, SERVER_OPTIONS
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["UnaryDriver", "driver", "make_server", "open_channel", "serve", "serve_calls", "serve_methods"]

SERVICE = "protosocket.cache.Cache"


def make_server() -> aio.Server:
    """The server, tuned."""
    return aio.server(options=SERVER_OPTIONS, compression=grpc.Compression.NoCompression)


async def serve_methods(
    methods: Mapping[str, Any], announce: Callable[[str], None], server: aio.Server
) -> None:
    """Serve ``methods``, gRPC's method handlers by name, until cancelled."""
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, dict(methods)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce(f"grpc://127.0.0.1:{port}")
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop(0)


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    await serve_calls(announce, make_server())


async def serve_calls(announce: Callable[[str], None], server: aio.Server) -> None:
    """Serve the unary calls on ``server`` until cancelled."""
    store: Store = {}

    async def handle(request: CacheCommand, _: Any) -> CacheResponse:
        return answer(store, request)

    handler = grpc.unary_unary_rpc_method_handler(
        handle, CacheCommand.FromString, CacheResponse.SerializeToString
    )
    await serve_methods({"Get": handler, "Set": handler}, announce, server)


def open_channel(url: str) -> aio.Channel:
    """A channel, which is one connection."""
    host, port = host_and_port(url)
    return aio.insecure_channel(
        f"{host}:{port}", options=CHANNEL_OPTIONS, compression=grpc.Compression.NoCompression
    )


class UnaryDriver(CacheDriver):
    """Calls through the generated stub, one channel after the other."""

    open_channel = staticmethod(open_channel)
    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Make every connection."""
        self._channels = [self.open_channel(self.endpoint.urls[0]) for _ in range(self.endpoint.connections)]
        await in_batches([channel.channel_ready() for channel in self._channels])
        stubs: list[Any] = [CacheStub(channel) for channel in self._channels]
        self._get = in_turns([stub.Get for stub in stubs])
        self._set = in_turns([stub.Set for stub in stubs])
        self.call = calls(self.operations, self._get, self._set)

    def get(self, key: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._get(get_command(key))

    def set(self, key: bytes, value: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._set(set_command(key, value))

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            await channel.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return UnaryDriver(endpoint, operations)
