"""Pings on a quiet connection: sent where the peer asked for them, missed where we asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Keepalive"]


class Keepalive:
    """Watches one connection's counters; a timer for each direction that somebody asked about.

    Every ``send_after`` seconds in which nothing was sent ``ping`` is called; ``lost`` is called when nothing
    has come for ``expect_within`` seconds. 0: nobody asked. ``counts`` gives the messages sent and received.
    """

    __slots__ = ("_counts", "_expect_within", "_loop", "_lost", "_ping", "_send_after", "_timers")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        counts: Callable[[], tuple[int, int]],
        *,
        send_after: float,
        ping: Callable[[], None],
        expect_within: float,
        lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._counts = counts
        self._send_after, self._ping = send_after, ping
        self._expect_within, self._lost = expect_within, lost
        self._timers: list[asyncio.TimerHandle | None] = [None, None]
        sent, received = counts()
        if send_after:
            self._timers[0] = loop.call_later(send_after, self._look_at_sent, sent)
        if expect_within:
            self._timers[1] = loop.call_later(expect_within, self._look_at_received, received)

    def stop(self) -> None:
        """The connection has ended."""
        for timer in self._timers:
            if timer is not None:
                timer.cancel()

    def _look_at_sent(self, before: int) -> None:
        if self._counts()[0] == before:
            self._ping()
        self._timers[0] = self._loop.call_later(self._send_after, self._look_at_sent, self._counts()[0])

    def _look_at_received(self, before: int) -> None:
        now = self._counts()[1]
        if now == before:
            self._lost()
        else:
            self._timers[1] = self._loop.call_later(self._expect_within, self._look_at_received, now)
