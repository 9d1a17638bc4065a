"""A timer for event loops that is precise to microseconds: Linux's timerfd; the loops' own timers round to 1
ms.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PreciseTimer"]

TIMER_ABSTIME = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class TimerSpec(ctypes.Structure):
    """C's ``struct itimerspec``."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class PreciseTimer:
    """Calls ``callback`` on the running loop at a time of ``time.monotonic()``; set it again after each call.

    ``time.perf_counter()`` is the same clock on Linux. Close it when done. Raises OSError if there is no
    timerfd.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._spec = TimerSpec()
        self._loop = asyncio.get_running_loop()
        self._descriptor = LIBC.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._loop.add_reader(self._descriptor, self._expired)

    def at(self, when: float) -> None:
        """Call back at ``when`` (seconds), at once if that has passed; replaces what was set before."""
        nanoseconds = max(1, int(when * 1e9))
        self._spec.seconds, self._spec.nanoseconds = divmod(nanoseconds, 1_000_000_000)
        self._set()

    def close(self) -> None:
        """Never call back again."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _expired(self) -> None:
        # An expired timerfd stays readable until it is read or set; setting saves the read when `at` follows.
        self._spec.seconds = self._spec.nanoseconds = 0
        self._callback()
        if self._descriptor >= 0 and self._spec.seconds == self._spec.nanoseconds == 0:
            self._set()

    def _set(self) -> None:
        if LIBC.timerfd_settime(self._descriptor, TIMER_ABSTIME, ctypes.byref(self._spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
