"""A storage server over gRPC: unary calls and streams on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator

from grpc import aio

from protosocket.cache.auth import TokenPolicy
from protosocket.cache.grpc_server import GrpcServer, cache_methods, check_token
from protosocket.cache.storage import StorageHandler

__all__ = ["serve_storage_grpc"]

_EVERYBODY = TokenPolicy()


async def serve_storage_grpc(
    listen_url: str, handler: StorageHandler, *, tokens: TokenPolicy = _EVERYBODY
) -> GrpcServer:
    """Serve ``handler`` at ``grpc://host:port`` (port 0: any) until closed.

    Raises ``AddressError`` for a bad URL, ``OptionError`` when others than this machine could connect and
    there are no ``tokens``, and ``ConnectError`` when it cannot listen there.
    """
    service = _Storage(handler, tokens)
    return await GrpcServer.listen(listen_url, cache_methods(service.unary, service.stream), tokens)


class _Storage:
    def __init__(self, handler: StorageHandler, tokens: TokenPolicy) -> None:
        self._handle = handler.handle_bytes
        self._tokens = tokens if tokens.required else None

    async def unary(self, command: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        if self._tokens is not None:
            await check_token(context, self._tokens)
        return self._handle(command)

    async def stream(
        self, commands: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        if self._tokens is not None:
            await check_token(context, self._tokens)
        # At once: the router takes it as the sign that commands are taken.
        await context.send_initial_metadata(())
        handle, write = self._handle, context.write
        async for command in commands:
            await write(handle(command))
