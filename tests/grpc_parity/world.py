"""grpc.aio or protosocket.grpc, which have the same interface, with what a test starts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import grpc

Handler = Callable[..., Any]
Options = Sequence[tuple[str, Any]]

SERVICE = "parity.Test"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def method(kind: str) -> str:
    """The full name of the method of this kind that ``World.join`` serves."""
    return f"/{SERVICE}/{kind}"


def method_handler(kind: str, handler: Handler, **serializers: Any) -> grpc.RpcMethodHandler[Any, Any]:
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    made: grpc.RpcMethodHandler[Any, Any] = make(handler, **serializers)
    return made


def generic_handler(**handlers: Handler | None) -> grpc.GenericRpcHandler:
    """A service with one method of each kind given, messages are bytes."""
    return grpc.method_handlers_generic_handler(
        SERVICE, {kind: method_handler(kind, each) for kind, each in handlers.items() if each is not None}
    )


@dataclass
class Joined:
    """A server and a channel to it; messages are bytes."""

    server: grpc.aio.Server
    target: str
    channel: Any
    unary_unary: Any
    unary_stream: Any
    stream_unary: Any
    stream_stream: Any


@dataclass
class World:
    """Makes servers and channels, and stops them when the test is over."""

    name: str
    module: Any
    """What has ``server``, ``insecure_channel`` and ``secure_channel``."""
    _servers: list[grpc.aio.Server] = field(default_factory=list)
    _channels: list[grpc.aio.Channel] = field(default_factory=list)

    def server(self, *arguments: Any, **options: Any) -> grpc.aio.Server:
        server: grpc.aio.Server = self.module.server(*arguments, **options)
        self._servers.append(server)
        return server

    def channel(self, target: str, credentials: grpc.ChannelCredentials | None = None, **options: Any) -> Any:
        """A channel; its methods take and give bytes, which the stubs of grpc.aio cannot say."""
        if credentials is None:
            channel = self.module.insecure_channel(target, **options)
        else:
            channel = self.module.secure_channel(target, credentials, **options)
        self._channels.append(channel)
        return channel

    async def serve(self, *handlers: grpc.GenericRpcHandler, **options: Any) -> tuple[grpc.aio.Server, str]:
        """A started server on a free port, and its address."""
        server = self.server(handlers=handlers, **options)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, f"127.0.0.1:{port}"

    async def join(
        self,
        *,
        unary_unary: Handler | None = None,
        unary_stream: Handler | None = None,
        stream_unary: Handler | None = None,
        stream_stream: Handler | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        options: Options = (),
        server_interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        server_options: Options = (),
        maximum_concurrent_rpcs: int | None = None,
        thread_pool: Executor | None = None,
    ) -> Joined:
        """A server with these handlers and a channel to it."""
        server, target = await self.serve(
            generic_handler(
                unary_unary=unary_unary,
                unary_stream=unary_stream,
                stream_unary=stream_unary,
                stream_stream=stream_stream,
            ),
            migration_thread_pool=thread_pool,
            interceptors=list(server_interceptors),
            options=list(server_options),
            maximum_concurrent_rpcs=maximum_concurrent_rpcs,
        )
        channel = self.channel(target, interceptors=list(interceptors), options=list(options))
        calls = {kind: getattr(channel, kind)(method(kind)) for kind in KINDS}
        return Joined(server, target, channel, **calls)

    async def end(self) -> None:
        for channel in self._channels:
            await channel.close()
        await asyncio.gather(*(server.stop(None) for server in self._servers))
