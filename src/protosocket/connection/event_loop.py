"""Which event loop a program of its own runs on, and what there is once for each event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["OncePerLoop", "new_event_loop"]

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, asyncio's own elsewhere."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class OncePerLoop(Generic[T]):
    """An object for each event loop, made by ``make(loop)`` when there is none.

    It is known weakly on both sides: such an object knows its event loop, and lives as long as a connection
    that uses it.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        self._known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[T]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """The one of ``loop``; None for a loop that cannot be referenced weakly."""
        try:
            known = self._known.get(loop)
        except TypeError:
            return None
        one = None if known is None else known()
        if one is None:
            one = self._make(loop)
            self._known[loop] = weakref.ref(one)
        return one
