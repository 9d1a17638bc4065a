"""A server's connection that runs handlers: their failures, draining and closing."""

from __future__ import annotations

import asyncio
import logging
from typing import Self

from protosocket._core import ServerReactor, WireCodec
from protosocket.connection import ConnectionProtocol, native_limits
from protosocket.errors import ConnectionClosed, Rejected
from protosocket.options import ConnectionOptions

__all__ = ["HandlingConnection"]

_logger = logging.getLogger("protosocket")


# Seconds for writing what is queued when handlers have used up the time to close.
_LAST_WRITE = 0.1


class HandlingConnection(ServerReactor, ConnectionProtocol):
    """The server's end of one connection, whose handlers can be waited for."""

    def __new__(
        cls, wire: WireCodec, options: ConnectionOptions, max_calls: int, exchanges: bool = False
    ) -> Self:
        """Make the native half."""
        return super().__new__(cls, wire, *native_limits(options), max_calls, exchanges)

    def _setup(self, options: ConnectionOptions) -> None:
        super()._setup(options)
        self._idle: asyncio.Future[None] | None = None

    def _ended(self) -> None:
        self._cancel_all()
        self._release()
        self._drained()

    # What the native half calls.

    def _failed(self, call_id: int, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if isinstance(error, asyncio.CancelledError | Rejected):
            return
        if isinstance(error, ConnectionClosed) and self._closing:
            return
        _logger.error("the handler of call %d from %s failed", call_id, self.peer, exc_info=error)

    def _drained(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

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
