"""Which native ``BusyPoller`` keeps an event loop awake: one for all of its connections."""

from __future__ import annotations

import asyncio

from protosocket._core import BusyPoller
from protosocket.event_loops import OncePerLoop

__all__ = ["busy_poller"]

_pollers = OncePerLoop(lambda loop: BusyPoller(loop.call_soon))


def busy_poller(loop: asyncio.AbstractEventLoop) -> BusyPoller | None:
    """The poller of ``loop``, made if there is none; None for a loop that cannot be referenced weakly."""
    return _pollers.of(loop)
