"""What the call objects of all four kinds have in common: status, metadata, deadline, cancellation."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import grpc
from msgspec import structs

from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.client.method import Method
from protosocket.grpc.client.reraised import Repeated
from protosocket.grpc.wire.status import (
    CANCELLED_HERE,
    COLLECTED,
    code_of,
    debug_text,
    details_of,
    failure,
    metadata_of,
    rpc_error,
)

__all__ = ["ClientCall"]


class ClientCall:
    """The methods of ``grpc.aio.Call``; what they do is described there.

    Two halves are mixed in: how the answer arrives (``UnaryResponse``, ``StreamResponse``), and for calls
    whose requests stream, ``StreamRequest``.
    """

    # Set by the classes that have slots for them.
    _method: Method
    _connection: ClientConnection | None
    _handle: int
    _starter: asyncio.Task[None] | None
    _error: Repeated[Exception] | None = None
    """What was wrong with the call itself, so that it was not sent: raised where its outcome is asked for."""
    deadline: float | None
    """The loop's time at which the call expires; ``None`` if it never does."""

    # What differs with how the answer arrives.

    @abstractmethod
    def _end(self) -> Any:
        """The message that ended the call, or ``None``."""

    @abstractmethod
    async def _until_end(self) -> Any:
        """Wait for the message that ends the call."""

    @abstractmethod
    async def _said_before(self) -> list[Any]:
        """Wait for the server's initial metadata."""

    @abstractmethod
    def begin(self, connection: ClientConnection, request: Any, timeout: float | None) -> int:
        """Send the first message; the call's handle, or 0 if the connection cannot take it now."""

    @abstractmethod
    def finish(self, end: Any) -> None:
        """End the call here, with ``end``; nothing happens if it has ended."""

    async def ended(self) -> Any:
        """Wait for the message that ends the call; the server's initial metadata is in it."""
        initial = await self._said_before()
        end = await self._until_end()
        return end if end.metadata or not initial else structs.replace(end, metadata=initial)

    # What sends the first message uses ``begin``, ``finish``, and these.

    def begun(self, connection: ClientConnection, handle: int) -> None:
        """The first message was sent."""
        self._connection, self._handle = connection, handle

    def set_deadline(self, timeout: float) -> None:
        """The call expires in ``timeout`` seconds."""
        self.deadline = self._method.now() + timeout

    def fail(self, error: Exception) -> None:
        """The call cannot be made: ``error`` is raised where its outcome is asked for."""
        if isinstance(error, grpc.aio.AioRpcError):
            self.finish(failure(error.code(), error.details() or ""))
        else:
            self._error = Repeated(error)
            self.finish(failure(grpc.StatusCode.INTERNAL, str(error)))

    def start_later(self, task: asyncio.Task[None]) -> None:
        """``task`` sends the first message."""
        self._starter = task

    # What the caller sees.

    @abstractmethod
    def done(self) -> bool:
        """Whether the call has ended and nothing is left to read."""

    @abstractmethod
    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` with this object when it is done; at once if it is."""

    def cancelled(self) -> bool:
        """Whether it ended with the status CANCELLED."""
        return self.done() and code_of(self._end()) is grpc.StatusCode.CANCELLED

    def cancel(self) -> bool:
        """End the call and tell the server to stop; false if it had ended."""
        if self.done():
            return False
        self._method.channel.require_loop()
        self._give_up(CANCELLED_HERE)
        return True

    def _give_up(self, end: Any) -> None:
        if self._starter is not None:
            self._starter.cancel()
        if self._connection is not None:
            self._connection.cancel(self._handle)
        self.finish(end)

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; ``None`` without one."""
        if self.deadline is None:
            return None
        # To the nanosecond, or a sum of floats could be more than the timeout was.
        return max(0.0, round(self.deadline - self._method.now(), 9))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Wait for the server's initial metadata, or for the call's end."""
        return metadata_of(await self._said_before())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """Wait for the call's end; the server's trailing metadata."""
        return metadata_of((await self._until_end()).trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        """Wait for the call's end; its status."""
        return code_of(await self._until_end())

    async def details(self) -> str:
        """Wait for the call's end; its status's text."""
        return details_of(await self._until_end())

    async def debug_error_string(self) -> str:
        """Wait for the call's end; its status in one line."""
        return debug_text(await self._until_end())

    async def wait_for_connection(self) -> None:
        """Wait until the call was sent; raises ``grpc.aio.AioRpcError`` if it failed."""
        self._method.channel.require_loop()
        if self._starter is not None:
            await asyncio.wait((self._starter,))
        if self.done():
            await self._raise_for_status()

    async def _raise_for_status(self) -> None:
        end = self._end()
        if self._error is not None:
            raise self._error.error
        if end is CANCELLED_HERE or end is COLLECTED:
            raise asyncio.CancelledError
        if end.status is not None and end.status.code:
            raise rpc_error(end, metadata_of(await self._said_before()))

    def __repr__(self) -> str:
        end = self._end()
        if end is None:
            return f"<{type(self).__name__} of {self._method.path}>"
        return (
            f"<{type(self).__name__} of {self._method.path} that terminated with:\n"
            f"\tstatus = {code_of(end)}\n\tdetails = {details_of(end)!r}\n>"
        )
