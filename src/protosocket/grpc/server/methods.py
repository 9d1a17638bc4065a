"""A server's methods: what a call of each path starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protosocket.grpc.server.interceptors import Handlers
from protosocket.grpc.server.servicing import serve_call, serve_unary
from protosocket.grpc.server.settings import ServerSettings

if TYPE_CHECKING:
    from protosocket.grpc.server.connection import ServerConnection
    from protosocket.grpc.server.context import ServicerContext

__all__ = ["CallLimit", "Exchange", "Method", "Start", "starter"]

Start = Callable[["ServerConnection", int, bytes | None, Any], Any]
"""Takes a connection, a call's id, its first payload, and its first message if that says more; gives a
coroutine for the one message of its answer, or an ``Exchange``, whose last message is an End."""


class CallLimit:
    """How many calls a server serves at a time, over all its connections."""

    __slots__ = ("_left",)

    def __init__(self, most: int) -> None:
        if most <= 0:
            raise ValueError("maximum_concurrent_rpcs should be a positive integer")
        self._left = most

    def enter(self) -> bool:
        """Count a call; false if there are as many as there may be."""
        if self._left == 0:
            return False
        self._left -= 1
        return True

    def leave(self) -> None:
        """A call that was counted has ended."""
        self._left += 1


@dataclass(frozen=True, slots=True)
class Method:
    """One path, and what is known of its calls before they come."""

    path: str
    streams: bool
    """Whether its caller takes a stream of responses."""
    handlers: Handlers
    handler: Any
    """The handler of every call; ``None`` if it has to be found for each."""
    may_stream_requests: bool
    settings: ServerSettings
    limit: CallLimit | None

    async def find(self, context: ServicerContext) -> Any:
        """The handler of one call; ``None`` if there is none."""
        return await self.handlers.find(self.path, context.invocation_metadata())


class Exchange:
    """A call whose answer may have more messages than one; its connection adopts it."""

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

    def __await__(self) -> Generator[Any, None, Any]:
        # What is awaitable and no coroutine is handed to the connection to adopt.
        raise TypeError("an exchange is adopted by its connection")


def starter(
    path: str, streams: bool, handlers: Handlers, settings: ServerSettings, limit: CallLimit | None
) -> Start:
    """What a call of ``path`` starts, by a caller who takes a stream of responses or just one."""
    is_fixed, handler = handlers.fixed(path)
    may_stream_requests = handler is None or handler.request_streaming
    method = Method(path, streams, handlers, handler, may_stream_requests, settings, limit)

    def exchange(connection: ServerConnection, call: int, payload: bytes | None, first: Any) -> Any:
        return Exchange(connection, call, payload, first, method)

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
