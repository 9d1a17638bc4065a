"""One call of a servicer's method, from its first message to its last."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final, TypeAlias

import grpc

from protosocket._core import PLAIN_ASYNCIO
from protosocket.event_loops import is_dropped
from protosocket.grpc.server.connection import ServerConnection
from protosocket.grpc.server.context import ServicerContext
from protosocket.grpc.server.method import Method
from protosocket.grpc.server.pooled import PooledRequests, call_in_pool, iterate_in_pool
from protosocket.grpc.server.requests import RequestIterator, ServerRequests
from protosocket.grpc.server.responses import ServerResponses
from protosocket.grpc.server.server_call import Ending, too_long
from protosocket.grpc.server.settings import UNLIMITED
from protosocket.grpc.server.sync_context import SyncServicerContext
from protosocket.grpc.wire.status import failure

__all__ = ["serve_call", "serve_unary"]

# In quotes: grpcio's own class is not generic.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Serve: TypeAlias = Callable[[ServerConnection, int, bytes, Any], Any]

_NOT_FOUND: Final = failure(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
_FULL: Final = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
_TOO_MANY: Final = failure(
    grpc.StatusCode.INTERNAL, "The method streams its responses, and its caller takes just one"
)
_NO_RESPONSE: Final = failure(grpc.StatusCode.INTERNAL, "The method ended without the one response")
_NO_REQUEST: Final = failure(grpc.StatusCode.INTERNAL, "The client ended the call without its request")


def serve_unary(method: Method, handler: _Handler) -> _Serve:
    """What serves calls of an async unary-unary method; kept to what such a call needs."""
    behavior: Any = handler.unary_unary
    deserialize: Any = handler.request_deserializer or _as_it_is
    serialize = _serializer(handler, method.settings.max_send)
    max_receive = method.settings.max_receive

    async def serve(connection: ServerConnection, call: int, payload: bytes, first: Any) -> Any:
        context = ServicerContext(connection, call, first)
        try:
            if len(payload) > max_receive:
                raise Ending(too_long("Received", len(payload), max_receive))
            if first is not None and (first.timeout_ms or first.timeout_us):
                context.limit_time()
            response = await behavior(deserialize(payload), context)
            if context.changed:
                return context.end(None, serialize(response) if context.is_ok else None)
            answer = serialize(response)
        except BaseException as error:
            context.path = method.path
            return context.end(error)
        context.over = True
        if context.deadline is not None:
            context.unlimit_time()
        return answer

    return serve


async def serve_call(
    connection: ServerConnection,
    call: int,
    payload: bytes | None,
    first: Any,
    method: Method,
    send: Callable[[Any], bool],
) -> Any:
    """Serve a call of any kind; returns its last message.

    ``send`` takes the messages before that: false if the send queue is full now.
    """
    context = ServicerContext(connection, call, first)
    context.path = method.path
    limit = method.limit
    is_counted = False
    if method.may_stream_requests or payload is None:
        window = method.settings.window
        longest = method.settings.max_receive
        context.requests = ServerRequests(connection, call, payload, window, longest, context.takes)
    try:
        if PLAIN_ASYNCIO:
            # The connection took the step to here, so that it finds the call when more messages come at once.
            await asyncio.sleep(0)
        context.task = asyncio.current_task(connection.loop)
        if limit is not None:
            is_counted = limit.enter()
            if not is_counted:
                raise Ending(_FULL)
        if first is not None and (first.timeout_ms or first.timeout_us):
            context.limit_time()
        context.check()
        handler = method.handler or await method.find(context.invocation_metadata())
        if handler is None:
            raise Ending(_NOT_FOUND)
        if handler.response_streaming and not method.streams:
            single = SingleResponse()
            await _handle(connection, context, call, payload, handler, single.take)
            end = context.end(None, single.payload if context.is_ok else None)
        else:
            end = context.end(None, await _handle(connection, context, call, payload, handler, send))
    except BaseException as error:
        end = context.end(error)
    finally:
        if context.requests is not None:
            context.requests.close()
            # It knows the context in its turn.
            context.requests = None
        if context.responses is not None:
            context.responses.close()
        if limit is not None and is_counted:
            limit.leave()
    return end


class SingleResponse:
    """The responses of a method that streams them, for a caller who takes just one."""

    __slots__ = ("_payload",)

    def __init__(self) -> None:
        self._payload: bytes | None = None

    def take(self, payload: bytes) -> bool:
        """Keep the first; ends the call if there is another."""
        if self._payload is not None:
            raise Ending(_TOO_MANY)
        self._payload = payload
        return True

    @property
    def payload(self) -> bytes:
        """The one response; ends the call if there was none."""
        if self._payload is None:
            raise Ending(_NO_RESPONSE)
        return self._payload


async def _handle(
    connection: ServerConnection,
    context: ServicerContext,
    call: int,
    payload: bytes | None,
    handler: _Handler,
    send: Callable[[Any], bool],
) -> bytes | None:
    """Run the servicer's method; gives the payload of a single response that is to be sent."""
    serialize = _serializer(handler, connection.settings.max_send)
    behavior = _behavior(handler)
    is_sync = not (inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior))
    given = SyncServicerContext(context, connection.loop) if is_sync else context
    request = await _request(connection, context, payload, handler, is_sync)
    try:
        if not handler.response_streaming:
            response = await _outcome(connection, behavior, request, given)
            return serialize(response) if context.is_ok else None
        context.responses = responses = ServerResponses(connection, call, send, serialize)
        if inspect.isasyncgenfunction(behavior):
            await _send_all(responses, behavior(request, given), context)
            return None
        items = await _outcome(connection, behavior, request, given)
        if hasattr(items, "__aiter__"):
            await _send_all(responses, aiter(items), context)
        elif is_sync:
            await _send_all(responses, iterate_in_pool(connection, iter(items)), context)
        return None
    finally:
        if isinstance(request, RequestIterator):
            await request.close()


async def _request(
    connection: ServerConnection,
    context: ServicerContext,
    payload: bytes | None,
    handler: _Handler,
    is_sync: bool,
) -> Any:
    """What the servicer's method is given first: the request, or an iterator of them."""
    deserialize: Any = handler.request_deserializer or _as_it_is
    if handler.request_streaming:
        assert context.requests is not None
        context.deserialize = deserialize
        if is_sync:
            return PooledRequests(context.requests, deserialize, connection.loop)
        return RequestIterator(context.requests, deserialize)
    if context.requests is not None:
        payload = await context.requests.read()
    elif payload is not None:
        context.takes(len(payload))
        context.check()
    if payload is None:
        raise Ending(_NO_REQUEST)
    return deserialize(payload)


async def _outcome(connection: ServerConnection, behavior: Any, request: Any, given: Any) -> Any:
    """What a method that is no generator gives; one that is not async runs in the server's thread pool."""
    if inspect.iscoroutinefunction(behavior):
        return await behavior(request, given)
    result = await call_in_pool(connection, behavior, request, given)
    # Of a callable object, or behind a decorator.
    return await result if inspect.isawaitable(result) else result


async def _send_all(
    responses: ServerResponses, messages: AsyncIterator[Any], context: ServicerContext
) -> None:
    try:
        await responses.write_all(messages, context)
    finally:
        if isinstance(messages, AsyncGenerator) and not is_dropped():
            await messages.aclose()


def _behavior(handler: _Handler) -> Any:
    if handler.response_streaming:
        return handler.stream_stream if handler.request_streaming else handler.unary_stream
    return handler.stream_unary if handler.request_streaming else handler.unary_unary


def _serializer(handler: _Handler, limit: int) -> Callable[[Any], bytes]:
    """The handler's serializer, held to giving bytes and no more of them than ``limit``."""
    serialize: Any = handler.response_serializer or _as_it_is
    if limit >= UNLIMITED and getattr(serialize, "__name__", "") == "SerializeToString":
        # Protobuf's own, which can give nothing but bytes.
        return serialize  # type: ignore[no-any-return]

    def checked(message: Any) -> bytes:
        payload = serialize(message)
        if payload is None:
            return b""
        if not isinstance(payload, bytes):
            raise TypeError(f"Expected bytes, got {type(payload).__name__}")
        if len(payload) > limit:
            raise Ending(too_long("Sent", len(payload), limit))
        return bytes(payload)

    return checked


def _as_it_is(message: Any) -> Any:
    return message
