"""What has arrived of one streamed answer and was not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from protosocket.grpc.client.callbacks import call_each

__all__ = ["Responses"]


class Responses:
    """The native half puts messages in, the call object takes them out; it does not know the call object.

    So a call that nobody holds any more can be collected, and cancelled, while the server still sends.
    """

    __slots__ = ("_item", "_waiters", "end_message", "initial", "items", "on_end")

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        """Messages, or their payloads if those are all there is."""
        self.initial: list[Any] | None = None
        """The server's initial metadata; ``None`` until it began to answer."""
        self.end_message: Any = None
        """The answer's last message; ``None`` while it goes on."""
        self.on_end: list[Callable[[], None]] = []
        """Called once nothing more will arrive."""
        self._waiters: list[asyncio.Future[None]] = []
        # Called for each message: most of the time nobody waits, and it is the queue's own append.
        self._item: Callable[[Any], None] = self._first

    def _first(self, message: Any) -> None:
        self._item = self.items.append
        if self.initial is None:
            self.initial = [] if isinstance(message, bytes) else message.metadata
        if isinstance(message, bytes) or message.payload is not None:
            self.items.append(message)
        self._wake()

    def _awaited(self, message: Any) -> None:
        self._item = self.items.append
        self.items.append(message)
        self._wake()

    def begin(self, metadata: list[Any]) -> None:
        """The server sent its initial metadata."""
        if self.initial is None:
            self.initial = metadata
            self._wake()

    def end(self, message: Any) -> None:
        """Nothing more will arrive; ``message`` has the status. What arrived before can still be taken."""
        if self.end_message is not None:
            return
        self.end_message = message
        if message.payload is not None:
            # The answer of a method whose answers do not stream.
            self.items.append(message)
        if self.initial is None:
            self.initial = message.metadata
        self._item = self.items.append
        self._wake()
        call_each(self.on_end)
        self.on_end.clear()

    async def changed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the next message, the initial metadata or the end; ``loop`` is the running one."""
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        if self.initial is not None:
            self._item = self._awaited
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
