"""Event loops of other threads when the interpreter ends: each stops with no native code on its stack.

A thread that wants to go on with Python while the interpreter finalizes is ended by ``pthread_exit`` (before
Python 3.14). That unwinds its stack, and aborts the process where it comes to a frame of native code that has
called Python: a handler, a callback, a task. Such frames are there only while an event loop handles
something. So before the interpreter finalizes, when all threads that are no daemons have ended, every event
loop that has had a connection is asked for a turn, and its thread never comes back from that.

What was registered with ``atexit`` before this module was imported runs later, and must not wait for such a
loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

__all__ = ["stops_with_the_interpreter"]

_PATIENCE: Final = 2.0
"""Seconds for all event loops; only one that a callback blocks needs any."""

_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[], None] | None] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.Lock()


def stops_with_the_interpreter(
    loop: asyncio.AbstractEventLoop, parked: Callable[[], None] | None = None
) -> None:
    """Have ``loop`` stop before the interpreter finalizes, if it runs in a thread that goes on until then.

    ``parked`` is called in that thread when it stops.
    """
    # One that cannot be referenced weakly is not known here.
    with contextlib.suppress(TypeError), _lock:
        if loop not in _loops or parked is not None:
            _loops[loop] = parked


def _park_all() -> None:
    here = threading.get_ident()
    arrived = threading.Semaphore(0)
    forever = threading.Lock()
    forever.acquire()

    def park(loop: asyncio.AbstractEventLoop, parked: Callable[[], None] | None) -> None:
        if threading.get_ident() == here:
            return
        # For ever, as this function does not return: one that was freed would be reported as pending.
        tasks = asyncio.all_tasks(loop)  # noqa: F841
        if parked is not None:
            parked()
        arrived.release()
        forever.acquire()

    with _lock:
        loops = [(loop, parked) for loop, parked in _loops.items() if loop.is_running()]
    awaited = 0
    for loop, parked in loops:
        # It may have been closed since.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(park, loop, parked)
            awaited += 1
    deadline = time.monotonic() + _PATIENCE
    while awaited and arrived.acquire(timeout=max(0.0, deadline - time.monotonic())):
        awaited -= 1


def _forget_all() -> None:
    # A forked process has the event loops of its parent, not their threads.
    global _loops, _lock
    _loops, _lock = weakref.WeakKeyDictionary(), threading.Lock()


atexit.register(_park_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
