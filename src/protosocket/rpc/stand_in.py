"""The task that stands for the handlers of an event loop among its tasks, and is cancelled in their place.

Handlers are no ``asyncio.Task`` each, so nobody who cancels all tasks reaches them: not ``asyncio.run``,
before it closes the event loop, after Ctrl-C, a return or an exception. This task cancels them then, and ends
when they have. It is there while handlers wait and for a moment after that, so that a program without calls
has no task that it did not make, and one that waits for all tasks waits for its calls.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Protocol

from protosocket.event_loops import OncePerLoop

__all__ = ["StandIn", "stand_in"]

_logger = logging.getLogger("protosocket")

# How often the task looks whether handlers still wait: the more connections there are, the more seldom.
_SHORTEST = 0.1
_LONGEST = 1.0
_CONNECTIONS_A_SECOND = 10_000


class _Connection(Protocol):
    @property
    def rests(self) -> bool: ...

    def abort(self) -> None: ...

    def handlers_rest(self) -> None: ...

    async def cancel_handlers_and_close(self) -> None: ...


class StandIn:
    """The connections of one event loop that have handlers that wait, and a task while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: set[_Connection] = set()
        self._task: asyncio.Task[None] | None = None
        self._pausing: asyncio.Future[None] | None = None
        self._is_ending = False

    def handlers_wait(self, connection: _Connection) -> None:
        """A handler of ``connection`` waits, and will be cancelled with the task."""
        if self._is_ending:
            # All tasks were cancelled, which new calls must not put off.
            self._loop.call_soon(connection.abort)
            return
        self._waiting.add(connection)
        if self._task is None:
            coroutine = self._stand()
            # Begun here: cancelling finds it ready, and nobody is warned of it if the loop never turns again.
            coroutine.send(None)
            # Not by the loop, whose tasks may be of the program's own kind, nor in the handler's context.
            self._task = asyncio.Task(
                coroutine, loop=self._loop, name="protosocket handlers", context=contextvars.Context()
            )
            # An event loop that is closed with handlers left was closed on purpose.
            self._task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001

    def forget(self, connection: _Connection) -> None:
        """``connection`` has ended, and its handlers have."""
        self._waiting.discard(connection)
        if not self._waiting:
            # Not cancelled: another connection's handler may begin to wait before it has ended.
            _go_on(self._pausing)

    async def _stand(self) -> None:
        try:
            await asyncio.sleep(0)
            while self._waiting:
                await self._pause()
                for connection in [each for each in self._waiting if each.rests]:
                    self._waiting.discard(connection)
                    connection.handlers_rest()
        except asyncio.CancelledError:
            self._is_ending = True
            await self._cancel_handlers()
            raise
        finally:
            self._is_ending = False
            self._task = None

    async def _pause(self) -> None:
        seconds = min(max(len(self._waiting) / _CONNECTIONS_A_SECOND, _SHORTEST), _LONGEST)
        self._pausing = self._loop.create_future()
        timer = self._loop.call_later(seconds, _go_on, self._pausing)
        try:
            await self._pausing
        finally:
            timer.cancel()

    async def _cancel_handlers(self) -> None:
        waiting, self._waiting = self._waiting, set()
        ends = (connection.cancel_handlers_and_close() for connection in waiting)
        for end in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(end, Exception):
                _logger.error("a connection could not be closed as the program ended", exc_info=end)


def _go_on(pausing: asyncio.Future[None] | None) -> None:
    if pausing is not None and not pausing.done():
        pausing.set_result(None)


_stand_ins = OncePerLoop(StandIn)


def stand_in(loop: asyncio.AbstractEventLoop) -> StandIn | None:
    """The one of ``loop``; None for a loop that cannot be referenced weakly."""
    return _stand_ins.of(loop)
