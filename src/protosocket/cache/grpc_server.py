"""A listening gRPC server, of the service ``protosocket.cache.Cache`` or of any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from grpc import aio

from protosocket.cache.auth import TokenPolicy, require_tokens
from protosocket.cache.commands import TABLE
from protosocket.cache.grpc_address import GrpcAddress, parse_grpc_address
from protosocket.cache.grpc_channel import SERVER_OPTIONS
from protosocket.errors import ConnectError

__all__ = ["SERVICE", "GrpcServer", "cache_methods", "check_token"]

SERVICE = "protosocket.cache.Cache"


class GrpcServer:
    """The server behind :class:`protosocket.cache.interface.Listening`; made by ``listen``."""

    def __init__(self, server: aio.Server, address: GrpcAddress) -> None:
        self._server = server
        self._address = address

    @classmethod
    async def listen(
        cls, url: str, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]], tokens: TokenPolicy
    ) -> GrpcServer:
        """A started server at ``grpc://host:port`` (port 0: any) for ``methods`` by their names.

        Raises ``AddressError`` for a bad URL, ``OptionError`` when others could connect without a token, and
        ``ConnectError`` when it cannot listen there.
        """
        handler = grpc.method_handlers_generic_handler(SERVICE, dict(methods))
        return await cls.listen_with(url, handler, tokens)

    @classmethod
    async def listen_with(
        cls,
        url: str,
        handler: grpc.GenericRpcHandler,
        tokens: TokenPolicy,
        options: Sequence[tuple[str, int]] = (),
    ) -> GrpcServer:
        """As ``listen``, for whatever ``handler`` serves; ``options`` are gRPC's, beside our own."""
        address = parse_grpc_address(url)
        require_tokens(url, tokens)
        server = aio.server(options=(*SERVER_OPTIONS, *options), compression=grpc.Compression.NoCompression)
        server.add_generic_rpc_handlers((handler,))
        try:
            port = server.add_insecure_port(address.target)
        except RuntimeError as error:
            raise ConnectError(f"cannot listen on {url}: {error}", address=url) from error
        await server.start()
        return cls(server, GrpcAddress(address.host, port))

    @property
    def url(self) -> str:
        """Where it listens, with the real port."""
        return str(self._address)

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, give calls under way ``grace`` seconds, then cancel them. Again does nothing."""
        await self._server.stop(grace)


def cache_methods(
    unary: Callable[..., Any], stream: Callable[..., Any]
) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """The methods of the cache's service; both functions take encoded commands of any kind."""
    each: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(unary)
    many: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(stream)
    return {**{command.method: each for command in TABLE if command.method}, "Stream": many}


async def check_token(context: aio.ServicerContext[Any, Any], tokens: TokenPolicy) -> None:
    """End the call with UNAUTHENTICATED unless its metadata ``authorization`` shows an accepted token."""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and tokens.accepts(value):
            return
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no accepted token in the metadata authorization")
