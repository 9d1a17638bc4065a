"""A server's connection that runs handlers: their failures, draining and closing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from protosocket._core import ServerConnection, WireCodec
from protosocket.connection import ConnectionProtocol, native_limits
from protosocket.errors import ConnectionClosed, Rejected
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions
from protosocket.rpc.stand_in import StandIn, stand_in

__all__ = ["HandlingConnection"]

# Seconds for writing what is queued when handlers have used up the time to close.
_LAST_WRITE = 0.1


class HandlingConnection(ServerConnection, ConnectionProtocol):
    """The server's end of one connection, whose handlers can be waited for."""

    def __new__(
        cls, wire: WireCodec, options: ConnectionOptions, max_calls: int, exchanges: bool = False
    ) -> Self:
        """Make the native half."""
        return super().__new__(cls, wire, *native_limits(options), max_calls, exchanges)

    def _setup(self, options: ConnectionOptions) -> None:
        super()._setup(options)
        self._idle: asyncio.Future[None] | None = None
        self._last_ended: asyncio.Future[None] | None = None
        self._stand_in: StandIn | None = None

    def _ended(self) -> None:
        self._cancel_all()
        self._release()
        # So that the end of the last handler is told.
        self._drain()
        self._drained()

    # What the native half calls.

    def _failed(self, call_id: int, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if isinstance(error, asyncio.CancelledError | Rejected):
            return
        if isinstance(error, ConnectionClosed) and self._closing:
            return
        limited_log.error("the handler of call %d from %s failed", call_id, self.peer, exc_info=error)

    def _drained(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if self._in_flight:
            return
        if self._last_ended is not None and not self._last_ended.done():
            self._last_ended.set_result(None)
        if self._stand_in is not None and self._transport is None:
            self._stand_in.forget(self)

    def _handlers_wait(self) -> None:
        if self._stand_in is None:
            self._stand_in = stand_in(self._loop)
        if self._stand_in is not None:
            self._stand_in.handlers_wait(self)

    # What the task that stands for the handlers calls.

    @property
    def rests(self) -> bool:
        """Whether no call is in flight."""
        return not self._in_flight

    def handlers_rest(self) -> None:
        """No handler waits; tell of the next one that does."""
        self._rest()

    def cut_short(self) -> None:
        """Cancel the handlers; their callers hear of that."""
        for call in self._calls():
            call.stop()

    async def cancel_handlers_and_close(self) -> None:
        """Cancel the handlers at once, wait until they have ended, then close. Cancelling it cuts off."""
        try:
            if not self._drain():
                self._last_ended = self._loop.create_future()
                self.cut_short()
                await self._last_ended
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE):
                    await super().close()
        except asyncio.CancelledError:
            self.abort()
            raise

    # What servers call.

    async def drain(self, timeout: float | None = None) -> bool:
        """Refuse further requests and wait until no handler runs, or the connection has ended.

        False if some still run after ``timeout`` seconds (default: no limit). Cancelling it changes nothing.
        """
        if self._transport is None or self._drain():
            return True
        if self._idle is None or self._idle.done():
            self._idle = self._loop.create_future()
        done, _ = await asyncio.wait([self._idle], timeout=timeout)
        return bool(done)

    async def close(self) -> None:
        """Refuse further requests, let the handlers end, then close; both within ``close_timeout`` seconds.

        Handlers that run longer are cancelled. Cancelling it cuts the connection off.
        """
        if self._transport is None or self._closing or self._drain():
            await super().close()
            return
        deadline = self._loop.time() + self._options.close_timeout
        try:
            await self.drain(self._options.close_timeout)
        except asyncio.CancelledError:
            self.abort()
            raise
        self._cancel_all()
        try:
            # What is queued is handed over at once; only a peer that does not read uses the time up.
            async with asyncio.timeout_at(deadline + _LAST_WRITE):
                await super().close()
        except TimeoutError:
            await self.wait_closed()
