"""A router's front over gRPC: unary calls and streams on one port, any back hop behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from google.protobuf.message import DecodeError
from grpc import aio

from protosocket.cache.auth import TokenPolicy
from protosocket.cache.commands import error_response, routing_key
from protosocket.cache.grpc_server import GrpcServer, cache_methods, check_token
from protosocket.cache.grpc_writer import MessageWriter
from protosocket.cache.interface import Backend
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT, CacheCommand
from protosocket.errors import CacheError

__all__ = ["serve_router_grpc"]

_EVERYBODY = TokenPolicy()

_STREAM_IN_FLIGHT = 1024
"""Commands of one client stream under way at once; the next is read when one of them is answered."""


async def serve_router_grpc(
    listen_url: str, backend: Backend, *, tokens: TokenPolicy = _EVERYBODY
) -> GrpcServer:
    """Carry commands that come in at ``grpc://host:port`` (port 0: any) to ``backend`` until closed.

    A storage that is down is told as ``CacheResponse.error`` 14, a missing token as the gRPC status
    UNAUTHENTICATED. ``backend`` stays open when the server is closed. Raises ``AddressError`` for a bad URL,
    ``OptionError`` when others than this machine could connect and there are no ``tokens``, and
    ``ConnectError`` when it cannot listen there.
    """
    service = _Router(backend, tokens)
    return await GrpcServer.listen(listen_url, cache_methods(service.unary, service.stream), tokens)


class _Router:
    def __init__(self, backend: Backend, tokens: TokenPolicy) -> None:
        self._call = backend.call
        self._tokens = tokens if tokens.required else None

    async def unary(self, command: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        if self._tokens is not None:
            await check_token(context, self._tokens)
        return await self._carry(command)

    async def stream(
        self, commands: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        if self._tokens is not None:
            await check_token(context, self._tokens)
        await context.send_initial_metadata(())
        room = asyncio.Semaphore(_STREAM_IN_FLIGHT)
        writer = MessageWriter(context.write)

        async def answer(command: bytes) -> None:
            writer.push(await self._carry(command))
            room.release()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run())
            answering: set[asyncio.Task[None]] = set()
            async for command in commands:
                await room.acquire()
                task = tasks.create_task(answer(command))
                answering.add(task)
                task.add_done_callback(answering.discard)
            if answering:
                await asyncio.wait(answering)
            writer.finish()

    async def _carry(self, encoded: bytes) -> bytes:
        try:
            command = CacheCommand.FromString(encoded)
        except DecodeError:
            error = CacheError("not a CacheCommand", code=INVALID_ARGUMENT)
            return error_response(0, error).SerializeToString()
        key = routing_key(command)
        if key is None:
            error = CacheError("there is no command with a key in the message", code=INVALID_ARGUMENT)
            return error_response(command.message_id, error).SerializeToString()
        try:
            return await self._call(key, command.message_id, encoded)
        except CacheError as error:
            return error_response(command.message_id, error).SerializeToString()
