"""What a call of each path starts, by what is known of its method before it comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from protosocket.grpc.server.connection import ServerConnection, Start
from protosocket.grpc.server.exchange import Exchange
from protosocket.grpc.server.interceptors import Handlers
from protosocket.grpc.server.method import CallLimit, Method
from protosocket.grpc.server.servicing import serve_call, serve_unary
from protosocket.grpc.server.settings import ServerSettings

__all__ = ["starter"]


class _MethodExchange(Exchange):
    """A call of ``method``."""

    __slots__ = ("_call", "_connection", "_first", "_method", "_payload")

    def __init__(
        self, connection: ServerConnection, call: int, payload: bytes | None, first: Any, method: Method
    ) -> None:
        self._connection = connection
        self._call = call
        self._payload = payload
        self._first = first
        self._method = method

    async def run(self, send: Callable[[Any], bool]) -> Any:
        """Serve it: ``send`` takes the messages of the answer, and what this returns is its end."""
        return await serve_call(self._connection, self._call, self._payload, self._first, self._method, send)


def starter(
    path: str, streams: bool, handlers: Handlers, settings: ServerSettings, limit: CallLimit | None
) -> Start:
    """What a call of ``path`` starts, by a caller who takes a stream of responses or just one."""
    is_fixed, handler = handlers.fixed(path)
    may_stream_requests = handler is None or handler.request_streaming
    method = Method(path, streams, handlers, handler, may_stream_requests, settings, limit)

    def exchange(connection: ServerConnection, call: int, payload: bytes | None, first: Any) -> Any:
        return _MethodExchange(connection, call, payload, first, method)

    # A caller who takes a stream waits for an End.
    if streams or not is_fixed or limit is not None or handler is None or handler.request_streaming:
        return exchange
    if not inspect.iscoroutinefunction(handler.unary_unary):
        return exchange
    serve = serve_unary(method, handler)

    def start(connection: ServerConnection, call: int, payload: bytes | None, first: Any) -> Any:
        if payload is None:
            # A client that streams its one request.
            return exchange(connection, call, payload, first)
        return serve(connection, call, payload, first)

    return start
