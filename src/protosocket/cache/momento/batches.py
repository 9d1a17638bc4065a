"""Calls on many keys: each key's command goes to the storage that owns it, all at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")

_AT_ONCE = 1024
"""Commands of one batch under way; the next is sent when the first of them is answered."""


async def in_order(calls: Iterable[Coroutine[object, object, T]]) -> AsyncIterator[T]:
    """The results of ``calls`` in their order, many of them running at the same time.

    The first error ends it, and so does closing it; calls still running are cancelled then.
    """
    running: deque[asyncio.Task[T]] = deque()
    waiting = iter(calls)
    try:
        while True:
            for call in waiting:
                running.append(asyncio.create_task(call))
                if len(running) >= _AT_ONCE:
                    break
            if not running:
                return
            yield await running[0]
            running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
