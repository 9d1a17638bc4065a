"""What a connection and its event loop are doing, in numbers: counters of a connection, lag of a loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from protosocket.errors import OptionError

__all__ = ["ConnectionStatistics", "LoopLag"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionStatistics:
    """The counters of one connection at one moment; they start at 0 when the connection is made."""

    messages_sent: int = 0
    """Messages handed to the transport."""

    messages_received: int = 0
    """Whole messages taken from the peer."""

    bytes_sent: int = 0
    """Bytes handed to the transport, framing included, TLS not."""

    bytes_received: int = 0
    """Bytes taken from the transport, framing included, TLS not."""

    reads: int = 0
    """Times the transport delivered bytes."""

    writes: int = 0
    """Times bytes were handed to the transport; each may carry many messages."""

    send_queue_messages: int = 0
    """Messages that wait to be written now."""

    send_queue_bytes: int = 0
    """Encoded bytes that wait to be written now."""

    in_flight: int = 0
    """RPCs without an end now; 0 on a connection that carries plain messages."""

    read_pauses: int = 0
    """Times reading was stopped because received messages were not taken fast enough."""

    write_stalls: int = 0
    """Times writing was stopped because the peer did not take bytes fast enough."""

    @property
    def messages_per_read(self) -> float:
        """Messages received per read: how the peer's writes arrive; 0.0 before the first read."""
        return self.messages_received / self.reads if self.reads else 0.0

    @property
    def messages_per_write(self) -> float:
        """Messages sent per write: the batch size of our writes; 0.0 before the first write."""
        return self.messages_sent / self.writes if self.writes else 0.0


class LoopLag:
    """Measures how late the running event loop is: the time a due callback waits for its turn.

    Every ``interval`` seconds (default 0.1) a timer is set, and how much later than asked it fires is one
    sample. A callback that holds the loop for a second shows as a ``maximum`` of up to a second. uvloop's
    timers are whole milliseconds, so lags under that are noise there.

    ``start`` and ``stop`` belong on the loop's own thread; the numbers may be read from anywhere.
    Raises ``OptionError`` for an ``interval`` that is not above 0.
    """

    __slots__ = ("_due", "_interval", "_last", "_loop", "_maximum", "_samples", "_timer", "_total")

    def __init__(self, interval: float = 0.1) -> None:
        if not interval > 0:
            raise OptionError(f"interval is a number of seconds above 0, not {interval!r}")
        self._interval = interval
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._last = self._maximum = self._total = 0.0
        self._samples = 0

    def start(self) -> None:
        """Start to sample the running loop with all numbers at 0; does nothing while it is sampling.

        Raises ``RuntimeError`` when no event loop is running.
        """
        if self._timer is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._last = self._maximum = self._total = 0.0
        self._samples = 0
        self._schedule(self._loop)

    def stop(self) -> None:
        """Stop sampling; the numbers stay. May be called at any time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop = None

    @property
    def samples(self) -> int:
        """How many samples were taken since ``start``."""
        return self._samples

    @property
    def last(self) -> float:
        """The lag of the newest sample, seconds; 0.0 before the first."""
        return self._last

    @property
    def maximum(self) -> float:
        """The largest lag since ``start``, seconds."""
        return self._maximum

    @property
    def mean(self) -> float:
        """The average lag since ``start``, seconds."""
        return self._total / self._samples if self._samples else 0.0

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not loop.time(): uvloop's is a value cached once a turn, which hides the very delay we measure.
        self._due = time.monotonic() + self._interval
        self._timer = loop.call_later(self._interval, self._sample)

    def _sample(self) -> None:
        self._last = max(0.0, time.monotonic() - self._due)
        self._maximum = max(self._maximum, self._last)
        self._total += self._last
        self._samples += 1
        if self._loop is not None:
            self._schedule(self._loop)
