"""How late a process wakes that does nothing but wake: what the machine itself adds to every latency."""

from __future__ import annotations

import asyncio
from array import array
from time import perf_counter

import numpy as np

from protosocket.bench.latency import Percentiles, histogram_of, percentiles
from protosocket.bench.loops import TICK_SECONDS
from protosocket.bench.timer import PreciseTimer

__all__ = ["idle_lateness"]


async def idle_lateness(seconds: float) -> Percentiles:
    """Wake as often as an open loop does for ``seconds``; how long after each moment that was.

    No open loop can see smaller latencies on this machine than these: its calls are made by such a timer.
    """
    due = perf_counter() + TICK_SECONDS
    end = due + seconds
    late = array("d")
    done = asyncio.Event()

    def wake() -> None:
        nonlocal due
        now = perf_counter()
        late.append(max(0.0, now - due))
        if now >= end:
            done.set()
            return
        # Moments that have passed meanwhile are not waited for, but they were missed, and by that much.
        while (due := due + TICK_SECONDS) <= now:
            late.append(now - due)
        timer.at(due)

    timer = PreciseTimer(wake)
    try:
        timer.at(due)
        await done.wait()
    finally:
        timer.close()
    return percentiles(histogram_of(np.frombuffer(late)))
