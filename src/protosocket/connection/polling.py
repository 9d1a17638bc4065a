"""Which native ``BusyPoller`` keeps an event loop awake: one for all of its connections."""

from __future__ import annotations

import asyncio
import weakref

from protosocket._core import BusyPoller

__all__ = ["busy_poller"]

# Weak on both sides: a poller knows its event loop, and lives as long as a connection that uses it.
_pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[BusyPoller]] = (
    weakref.WeakKeyDictionary()
)


def busy_poller(loop: asyncio.AbstractEventLoop) -> BusyPoller | None:
    """The poller of ``loop``, made if there is none; None for a loop that cannot be referenced weakly."""
    try:
        known = _pollers.get(loop)
    except TypeError:
        return None
    poller = None if known is None else known()
    if poller is None:
        poller = BusyPoller(loop.call_soon)
        _pollers[loop] = weakref.ref(poller)
    return poller
