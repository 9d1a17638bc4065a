"""The half of a call object whose answer is a stream: it can be iterated over or read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from grpc import aio

from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.callbacks import call_each
from protosocket.grpc.client.method import Method
from protosocket.grpc.client.responses import Responses
from protosocket.grpc.client.style import Style, mixed
from protosocket.grpc.wire.flow_control import ReceiveWindow
from protosocket.grpc.wire.status import CANCELLED_HERE, COLLECTED, EXPIRED, failure

__all__ = ["StreamResponse"]


class StreamResponse(ClientCall):
    """Takes messages out of ``_responses`` and gives the server credit for them.

    A call that nobody holds any more is cancelled.
    """

    _responses: Responses
    _window: ReceiveWindow
    _reading: Style
    _told_end: bool
    _callbacks: list[Callable[[Any], None]]

    def _prepare(self, method: Method, responses: Responses) -> None:
        self._method = method
        self._connection = self._starter = self.deadline = None
        self._handle = 0
        self._responses = responses
        self._window = ReceiveWindow(method.channel.options.window)
        self._reading = Style.UNKNOWN
        self._told_end = False
        self._callbacks = []

    @property
    def responses(self) -> Responses:
        """Where what arrives is put."""
        return self._responses

    def __aiter__(self) -> AsyncIterator[Any]:
        """The responses, each as soon as it is there; raises at their end what ``read`` raises."""
        if self._reading is Style.READ_WRITE:
            raise mixed()
        self._reading = Style.ITERATOR
        return self

    async def __anext__(self) -> Any:
        """The next response."""
        responses = self._responses
        items = responses.items
        while not items:
            if responses.end_message is not None:
                await self._at_end()
                raise StopAsyncIteration
            await self._changed()
        payload = items.popleft()
        if type(payload) is not bytes:
            payload = payload.payload or b""
        if not items and responses.end_message is not None:
            self._settle()
        credit = self._window.take(len(payload))
        if credit and self._connection is not None:
            self._connection.grant(self._handle, credit)
        try:
            return self._method.response(payload)
        except aio.AioRpcError as error:
            self._give_up(failure(error.code(), error.details() or ""))
            raise

    async def read(self) -> Any:
        """Wait for the next response; ``grpc.aio.EOF`` at the end of an answer whose status is OK.

        Raises ``grpc.aio.AioRpcError`` at the end of any other, ``asyncio.CancelledError`` if the call was
        cancelled here, and ``grpc.aio.UsageError`` for a call that is being iterated over. Cancelling
        the task that waits cancels the call.
        """
        if self.done():
            await self._raise_for_status()
            return aio.EOF
        if self._reading is Style.ITERATOR:
            raise mixed()
        self._reading = Style.READ_WRITE
        self._told_end = False
        try:
            return await StreamResponse.__anext__(self)
        except StopAsyncIteration:
            return aio.EOF

    async def _changed(self) -> None:
        loop = self._method.channel.require_loop()
        try:
            await self._responses.changed(loop)
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def _at_end(self) -> None:
        self._settle()
        if not self._told_end:
            # An iterator raises once and is exhausted then.
            self._told_end = True
            await self._raise_for_status()

    def done(self) -> bool:
        """Whether the answer has ended and was read."""
        return self._responses.end_message is not None and not self._responses.items

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` with this object once the answer has ended and was read; at once if it has.

        What it raises later is told to the event loop's exception handler.
        """
        if self.done():
            callback(self)
            return
        self._callbacks.append(callback)
        if self._responses.end_message is None:
            self._responses.on_end.append(self._settle)

    def _settle(self) -> None:
        if self.done():
            callbacks, self._callbacks = self._callbacks, []
            call_each(callbacks, self)

    def _end(self) -> Any:
        return self._responses.end_message

    async def _until_end(self) -> Any:
        while self._responses.end_message is None:
            await self._responses.changed(self._method.channel.require_loop())
        return self._responses.end_message

    async def _said_before(self) -> list[Any]:
        while self._responses.initial is None:
            await self._responses.changed(self._method.channel.require_loop())
        return self._responses.initial

    def finish(self, end: Any) -> None:
        """End the call here."""
        if end is CANCELLED_HERE or end is EXPIRED:
            # What has arrived is not wanted any more.
            self._responses.items.clear()
        self._responses.end(end)
        # It may have ended before, and only waited to be read.
        self._settle()

    def __del__(self) -> None:
        responses = getattr(self, "_responses", None)
        if responses is not None and responses.end_message is None:
            # The event loop may be closed, or run in another thread than the one that collects this.
            with contextlib.suppress(RuntimeError):
                self._give_up(COLLECTED)
