"""The requests of one served call: what has arrived and was not read yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

import grpc

from protosocket.grpc.wire.envelope import Envelope
from protosocket.grpc.wire.flow_control import MESSAGE_COST, ReceiveWindow

__all__ = ["RequestIterator", "ServerRequests"]


class _Connection(Protocol):
    loop: asyncio.AbstractEventLoop
    requests: dict[int, ServerRequests]

    def tell(self, message: object) -> None: ...


class ServerRequests:
    """The messages of one call from its client, which grants the client credit as they are read.

    It belongs to its connection's table from its making to ``close``.
    """

    __slots__ = (
        "_connection",
        "_half",
        "_is_over",
        "_least",
        "_limit",
        "_messages",
        "_owed",
        "_takes",
        "_waiter",
        "_window",
        "call",
    )

    def __init__(
        self,
        connection: _Connection,
        call: int,
        first: bytes | None,
        window: int,
        limit: int,
        takes: Callable[[int], bool],
    ) -> None:
        self._connection = connection
        self._messages: deque[bytes] = deque()
        self._is_over = False
        self._waiter: asyncio.Future[None] | None = None
        self._window = ReceiveWindow(window)
        self._owed = window
        # Once more than it was given: the client may count by a little otherwise.
        self._least = -window
        self._half = (window + 1) // 2
        self._limit = limit
        self.call = call
        self._takes = takes
        connection.requests[self.call] = self
        if first is not None:
            # A client that has just one request sends it with the call.
            self.arrived(first)
            self.over()

    def arrived(self, payload: bytes) -> bool:
        """Take a further message of the call; false if the client was not allowed to send it."""
        size = len(payload)
        if self._owed <= self._least:
            return False
        self._owed -= size + MESSAGE_COST
        if size <= self._limit or self._takes(size):
            self._messages.append(payload)
            if self._waiter is not None:
                self._wake()
        return True

    def over(self) -> None:
        """There will be no further message."""
        self._is_over = True
        self._wake()

    async def read(self) -> bytes | None:
        """The next message; ``None`` after the last. Cancelling it loses no message."""
        while not self._messages:
            if self._is_over:
                return None
            await self._wait()
        payload = self._messages.popleft()
        if credit := self._window.take(len(payload)):
            self._grant(credit)
        return payload

    async def messages(self, deserialize: Callable[[bytes], Any]) -> AsyncGenerator[Any, None]:
        """All messages that follow."""
        messages, half = self._messages, self._half
        popleft = messages.popleft
        taken = 0
        while True:
            while messages:
                payload = popleft()
                # What `ReceiveWindow.take` does, without a call for each message.
                taken += len(payload) + MESSAGE_COST
                if taken >= half:
                    self._grant(taken)
                    taken = 0
                yield deserialize(payload)
            if self._is_over:
                return
            await self._wait()

    def close(self) -> None:
        """Nobody reads any further."""
        if self._connection.requests.get(self.call) is self:
            del self._connection.requests[self.call]
        self._messages.clear()
        self._is_over = True
        self._wake()

    def _grant(self, credit: int) -> None:
        # The id of a call that was given up may be another call's already.
        if not self._is_over and self._connection.requests.get(self.call) is self:
            self._owed += credit
            self._connection.tell(Envelope(call=self.call, credit=credit))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise grpc.aio.UsageError("only one read at a time")
        self._waiter = waiter = self._connection.loop.create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None


class RequestIterator:
    """What a servicer's async method is given for a stream of requests."""

    __slots__ = ("_messages",)

    def __init__(self, requests: ServerRequests, deserialize: Callable[[bytes], Any]) -> None:
        self._messages = requests.messages(deserialize)

    def __aiter__(self) -> AsyncGenerator[Any, None]:
        return self._messages

    async def __anext__(self) -> Any:
        return await anext(self._messages)

    async def close(self) -> None:
        """The method has ended."""
        # It may have left a task behind that reads, which ends with the call.
        with contextlib.suppress(RuntimeError):
            await self._messages.aclose()
