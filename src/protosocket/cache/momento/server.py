"""The gateway's gRPC server: the function of every method, and UNIMPLEMENTED where there is none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from momento_wire_types import cacheclient_pb2, controlclient_pb2

from protosocket.cache.auth import TokenPolicy
from protosocket.cache.grpc_server import GrpcServer
from protosocket.cache.momento.caches import Caches
from protosocket.cache.momento.control import CONTROL_METHODS
from protosocket.cache.momento.dictionaries import DICTIONARY_METHODS
from protosocket.cache.momento.errors import abort
from protosocket.cache.momento.hashes import HASH_METHODS
from protosocket.cache.momento.lists import LIST_METHODS
from protosocket.cache.momento.metadata import admit, cache_name
from protosocket.cache.momento.scalars import SCALAR_METHODS, SCALAR_STREAMS
from protosocket.cache.momento.sets import SET_METHODS
from protosocket.cache.momento.sorted_sets import SORTED_SET_METHODS
from protosocket.cache.momento.storages import Storages
from protosocket.cache.protosocket_backend import ProtosocketBackend
from protosocket.errors import CacheError

__all__ = ["serve_momento"]

_SCS: ServiceDescriptor = cacheclient_pb2.DESCRIPTOR.services_by_name["Scs"]
_CONTROL: ServiceDescriptor = controlclient_pb2.DESCRIPTOR.services_by_name["ScsControl"]

_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    **SCALAR_METHODS,
    **HASH_METHODS,
    **DICTIONARY_METHODS,
    **SET_METHODS,
    **LIST_METHODS,
    **SORTED_SET_METHODS,
}
_STREAMS: dict[str, Callable[..., AsyncGenerator[Any, None]]] = {**SCALAR_STREAMS}


# The SDKs ping idle connections every few seconds, which gRPC takes for an attack by default.
_OPTIONS = (("grpc.http2.max_ping_strikes", 0),)


async def serve_momento(
    listen_url: str,
    backend: ProtosocketBackend,
    *,
    tokens: TokenPolicy,
    caches: Iterable[str] = (),
) -> GrpcServer:
    """Serve Momento's ``cache_client.Scs`` and ``control_client.ScsControl`` at ``grpc://host:port``.

    Port 0 is any. ``caches`` are names of caches that are always there; others are created and deleted by
    calls. ``backend`` stays open when the server is closed. Raises ``AddressError`` for a bad URL,
    ``OptionError`` when others than this machine could connect and there are no ``tokens``, and
    ``ConnectError`` when it cannot listen there.
    """
    gateway = _Gateway(backend, tokens, caches)
    return await GrpcServer.listen_with(listen_url, gateway, tokens, _OPTIONS)


class _Gateway(grpc.GenericRpcHandler):
    def __init__(self, backend: ProtosocketBackend, tokens: TokenPolicy, caches: Iterable[str]) -> None:
        self._tokens = tokens
        self._storages = Storages(backend)
        self._caches = Caches(self._storages, caches)
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            **_handlers(_SCS, _METHODS, self._unary, grpc.unary_unary_rpc_method_handler),
            **_handlers(_SCS, _STREAMS, self._stream, grpc.unary_stream_rpc_method_handler),
            **_handlers(_CONTROL, CONTROL_METHODS, self._control, grpc.unary_unary_rpc_method_handler),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of a method; one that says UNIMPLEMENTED if there is no other."""
        method = handler_call_details.method
        return self._handlers.get(method) or _unimplemented(method)

    def _unary(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            try:
                cache = await self._cache(context)
                return await function(self._storages, cache, request)
            except CacheError as error:
                await abort(context, error)

        return call

    def _stream(self, function: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., Any]:
        async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncGenerator[Any, None]:
            try:
                cache = await self._cache(context)
                async with aclosing(function(self._storages, cache, request)) as responses:
                    async for response in responses:
                        yield response
            except CacheError as error:
                await abort(context, error)

        return call

    def _control(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            try:
                admit(context, self._tokens)
                return await function(self._caches, request)
            except CacheError as error:
                await abort(context, error)

        return call

    async def _cache(self, context: aio.ServicerContext[Any, Any]) -> str:
        admit(context, self._tokens)
        name = cache_name(context)
        await self._caches.require(name)
        return name


def _handlers(
    service: ServiceDescriptor,
    functions: Mapping[str, Callable[..., Any]],
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]],
    make: Callable[..., grpc.RpcMethodHandler[Any, Any]],
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    handlers = {}
    for name, function in functions.items():
        method: MethodDescriptor = service.methods_by_name[name]
        handlers[f"/{service.full_name}/{name}"] = make(
            wrap(function),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return handlers


def _unimplemented(method: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: object, context: aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"this gateway does not serve {method}")

    # Streams both ways: so it answers before it has read anything, whatever kind of call it is.
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(refuse)
    return handler
