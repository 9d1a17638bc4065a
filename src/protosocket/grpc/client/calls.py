"""The call objects of the four kinds."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import aio

from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.client.method import Method
from protosocket.grpc.client.requests import Requests
from protosocket.grpc.client.responses import Responses
from protosocket.grpc.client.stream_request import StreamRequest
from protosocket.grpc.client.stream_response import StreamResponse
from protosocket.grpc.client.unary_response import UnaryResponse

__all__ = ["StreamStreamCall", "StreamUnaryCall", "UnaryStreamCall", "UnaryUnaryCall"]


class UnaryUnaryCall(UnaryResponse, aio.UnaryUnaryCall[Any, Any]):
    """One request, one response."""

    __slots__ = ("_connection", "_future", "_handle", "_method", "_starter", "deadline")

    def __init__(
        self,
        method: Method,
        future: asyncio.Future[Any],
        connection: ClientConnection | None = None,
        handle: int = 0,
        deadline: float | None = None,
    ) -> None:
        self._method = method
        self._future = future
        self._connection = connection
        self._handle = handle
        self.deadline = deadline
        self._starter = None

    def begin(self, connection: ClientConnection, request: Any, timeout: float | None) -> int:
        """Send the request."""
        return connection.call(request, self._future, timeout, connection.loop)


class UnaryStreamCall(StreamResponse, aio.UnaryStreamCall[Any, Any]):
    """One request, many responses."""

    def __init__(self, method: Method, responses: Responses) -> None:
        self._prepare(method, responses)

    def begin(self, connection: ClientConnection, request: Any, timeout: float | None) -> int:
        """Send the request."""
        return connection.open_stream(request, self._responses, timeout)


class StreamUnaryCall(StreamRequest, UnaryResponse, aio.StreamUnaryCall[Any, Any]):
    """Many requests, one response."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._future = asyncio.get_running_loop().create_future()
        self._connection = self._starter = self.deadline = None
        self._handle = 0
        self._requests = requests = Requests()
        self._future.add_done_callback(lambda _: requests.over())

    def begin(self, connection: ClientConnection, request: Any, timeout: float | None) -> int:
        """Send the first message, without a request."""
        return connection.call(request, self._future, timeout, connection.loop)

    def begun(self, connection: ClientConnection, handle: int) -> None:
        """The first message was sent: requests may follow."""
        super().begun(connection, handle)
        self._requests.bind(connection, handle)


class StreamStreamCall(StreamRequest, StreamResponse, aio.StreamStreamCall[Any, Any]):
    """Many requests, many responses."""

    def __init__(self, method: Method) -> None:
        self._prepare(method, Responses())
        self._requests = requests = Requests()
        self._responses.on_end.append(requests.over)

    def begin(self, connection: ClientConnection, request: Any, timeout: float | None) -> int:
        """Send the first message, without a request."""
        return connection.open_stream(request, self._responses, timeout)

    def begun(self, connection: ClientConnection, handle: int) -> None:
        """The first message was sent: requests may follow."""
        super().begun(connection, handle)
        self._requests.bind(connection, handle)
