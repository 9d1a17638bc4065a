"""What a measured window cost: CPU time of every process and bytes on every hop, read at its start and its
end.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING

import msgspec
import psutil

from protosocket.bench.wire import WireBytes, WireMeter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cost", "Watch"]

LIBC = ctypes.CDLL(None, use_errno=True)


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """CPU seconds (user and system) by process name, TCP payload bytes by hop name."""

    cpu_seconds: dict[str, float]
    wire: dict[str, WireBytes]

    def __sub__(self, earlier: Cost) -> Cost:
        """What came since ``earlier``."""
        return Cost(
            cpu_seconds={
                name: seconds - earlier.cpu_seconds[name] for name, seconds in self.cpu_seconds.items()
            },
            wire={name: count - earlier.wire[name] for name, count in self.wire.items()},
        )


class Watch:
    """Reads the cost of this process (``client``), of ``pids`` with their children, and of the ``hops``'
    connections.

    The children are those alive when the watch is made. Raises psutil.NoSuchProcess if a process is gone.
    """

    def __init__(self, pids: Mapping[str, int], hops: Mapping[str, str]) -> None:
        families = {"client": [os.getpid()]}
        for name, pid in pids.items():
            process = psutil.Process(pid)
            families[name] = [pid, *(child.pid for child in process.children(recursive=True))]
        self._clocks = {name: [_cpu_clock(pid) for pid in family] for name, family in families.items()}
        self._meter = WireMeter(hops)

    def read(self) -> Cost:
        """The cost since each process and connection began."""
        wire = self._meter.read()
        cpu = {name: sum(map(time.clock_gettime, clocks)) for name, clocks in self._clocks.items()}
        return Cost(cpu_seconds=cpu, wire=wire)


def _cpu_clock(pid: int) -> int:
    """The clock that counts a process's CPU time in nanoseconds; /proc counts in hundredths of a second."""
    clock = ctypes.c_int()
    code = LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))
    if code != 0:
        raise psutil.NoSuchProcess(pid, msg=os.strerror(code))
    return clock.value
