"""Sends messages on one gRPC stream in order: gRPC allows one write at a time, senders are many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

__all__ = ["MessageWriter"]


class MessageWriter:
    """A queue of encoded messages and the loop that writes them.

    The queue has no limit of its own: whoever pushes bounds the calls in flight.
    """

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write
        self._queue: deque[bytes] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._finished = False

    def push(self, message: bytes) -> None:
        """Have ``message`` written after those pushed before."""
        self._queue.append(message)
        self._notify()

    def finish(self) -> None:
        """Have ``run`` return when everything pushed is written."""
        self._finished = True
        self._notify()

    async def run(self) -> None:
        """Write until ``finish`` or cancelled; raises what a write raises."""
        queue = self._queue
        loop = asyncio.get_running_loop()
        while True:
            while queue:
                await self._write(queue.popleft())
            if self._finished:
                return
            self._wake = loop.create_future()
            await self._wake

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
