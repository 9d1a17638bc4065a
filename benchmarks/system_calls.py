"""System calls of two processes, counted by the kernel: ``perf stat`` on one tracepoint.

It counts without stopping the processes; tracing each call (``strace``, ``perf trace``) would change what is
counted. A run of its own, all the same: the tracepoint is not free.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import psutil

from benchmarks.results import SystemCalls
from protosocket.bench.jobs import Closed

if TYPE_CHECKING:
    from benchmarks.running import Running

__all__ = ["count_system_calls"]

EVENT = "raw_syscalls:sys_enter"
CONCURRENCY = 64


class CannotCountError(Exception):
    """Why there are no counts."""


async def count_system_calls(running: Running, seconds: float) -> SystemCalls | str:
    """System calls per operation with 64 calls in flight, or why they cannot be counted."""
    if shutil.which("perf") is None:
        return "no program perf on the PATH"
    warmup = 0.2 * seconds
    job = Closed(concurrency=CONCURRENCY, seconds=seconds, warmup=warmup)
    counting = asyncio.gather(
        _count(running.client_pid, warmup, 0.8 * seconds), _count(running.server_pid, warmup, 0.8 * seconds)
    )
    try:
        result = await running.measure(job)
        client, server = await counting
    except CannotCountError as error:
        return str(error)
    except BaseException:
        counting.cancel()
        raise
    if result.operations == 0:
        return "no operation was answered"
    rate = result.ops_per_second
    return SystemCalls(concurrency=CONCURRENCY, client=client / rate, server=server / rate)


async def _count(pid: int, delay: float, seconds: float) -> float:
    """System calls per second of a process with its children, for ``seconds`` after ``delay``."""
    await asyncio.sleep(delay)
    family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    pids = ",".join(map(str, family))
    process = await asyncio.create_subprocess_exec(
        *("perf", "stat", "-x,", "-e", EVENT, "-p", pids, "--", "sleep", f"{seconds:.3f}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, output = await process.communicate()
    for line in output.decode(errors="replace").splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith(EVENT) and fields[0].isdigit():
            return int(fields[0]) / seconds
    words = " ".join(output.decode(errors="replace").split())
    raise CannotCountError(f"perf stat cannot count {EVENT}: {words[:200]}")
