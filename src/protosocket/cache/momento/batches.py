"""Calls on many keys: each key's command goes to the storage that owns it, all at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")

_AT_ONCE = 1024
"""Commands of one batch under way; the next is sent when the first of them is answered."""


async def in_order(
    calls: Iterable[Coroutine[object, object, T]], *, at_once: int = _AT_ONCE
) -> AsyncGenerator[T, None]:
    """The results of ``calls`` in their order, up to ``at_once`` of them running at the same time.

    The first error ends it, and so does closing it; calls still running are cancelled then.
    """
    running: deque[asyncio.Task[T]] = deque()
    waiting = iter(calls)
    try:
        while True:
            for call in waiting:
                running.append(asyncio.create_task(call))
                if len(running) >= at_once:
                    break
            if not running:
                return
            yield await running[0]
            running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
