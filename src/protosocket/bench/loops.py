"""The two ways to load a driver: a closed loop of calls in flight, and an open loop of calls that are due."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from contextlib import suppress
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from protosocket.bench.records import Records
from protosocket.bench.schedule import arrivals
from protosocket.bench.timer import PreciseTimer

if TYPE_CHECKING:
    from protosocket.bench.driver import Driver
    from protosocket.bench.jobs import Closed, LoadResult, Open
    from protosocket.bench.watch import Cost, Watch

__all__ = ["run_closed", "run_open"]

# Time for a failing caller to let the others work: a dead peer must not become a busy loop.
PAUSE_AFTER_ERROR = 0.001
# An open loop wakes at most this often; calls due in between are made together, on average half of it late,
# which their latency shows. Waking an idle virtual processor costs up to 50 µs: four times as often would
# take a third of one from the servers at 20,000 calls a second.
TICK_SECONDS = 0.000_25
# What is due beyond that is made in the next tick.
MOST_A_TICK = 4096


async def run_closed(driver: Driver, operations: int, job: Closed, watch: Watch) -> LoadResult:
    """Run ``job`` on ``driver``, which has so many operations; cancelling it cancels the calls in flight."""
    loop = _ClosedLoop(driver, operations)
    origin = await _origin(job.start_at)
    workers = [asyncio.create_task(loop.worker()) for _ in range(job.concurrency)]
    try:
        await _until(origin + job.warmup)
        before = watch.read()
        begin = perf_counter()
        await _until(begin + job.seconds)
        end = perf_counter()
        cost = watch.read() - before
    except BaseException:
        await _finish(workers, 0.0)
        raise
    loop.running = False
    loop.records.unanswered(end, await _finish(workers, job.drain))
    return loop.records.closed(begin, end, cost, job.interval)


async def run_open(
    driver: Driver, operations: int, job: Open, watch: Watch, seed: str, part: int
) -> LoadResult:
    """Run ``job`` on ``driver`` with the arrivals of ``seed`` and ``part``; cancelling it cancels the calls
    in flight.
    """
    warm = arrivals([(job.warmup, job.phases[0][1])], job.spacing, f"{seed} warm-up", part)
    measured = arrivals(job.phases, job.spacing, seed, part)
    seconds = sum(length for length, _ in job.phases)
    due = np.concatenate([warm, job.warmup + measured])
    origin = await _origin(job.start_at)
    begin, end = origin + job.warmup, origin + job.warmup + seconds
    loop = _OpenLoop(driver, operations, (origin + due).tolist(), job.in_flight)
    loop.begin()
    try:
        await _until(begin)
        before = watch.read()
        await _until(end)
        cost: Cost = watch.read() - before
        await loop.finish(job.drain)
    finally:
        await loop.stop()
    return loop.records.open(begin, end, len(measured), cost, job.interval)


class _ClosedLoop:
    """Workers that each make one call after the other."""

    def __init__(self, driver: Driver, operations: int) -> None:
        self.records = Records()
        self.running = True
        self._driver = driver
        self._numbers = cycle(range(operations))

    async def worker(self) -> None:
        # This loop shares its processor with what it measures: everything that is looked up once an operation
        # is a local, and one moment is taken and kept for an operation.
        call, verify, records = self._driver.call, self._driver.verify, self.records
        watch = records.chain()
        lap = watch.lap
        lap()
        for index in self._numbers:
            try:
                verdict = verify(index, await call(index))
            except Exception as error:
                records.failed(error, perf_counter())
                watch.void()
                await asyncio.sleep(PAUSE_AFTER_ERROR)
            else:
                if verdict is not None:
                    if verdict == "miss":
                        records.missed(watch.last)
                    else:
                        records.wrong(verdict, watch.last)
                        watch.void()
            lap()
            if not self.running:
                return


class _OpenLoop:
    """Makes call number ``n`` at ``due[n]``, or as soon after as there is a worker to make it.

    A worker that has its answer makes the next call that is due, or waits to be woken: under load no task is
    made and nothing is scheduled for a call. The timer wakes as many as there are calls due, and adds workers
    up to the limit.
    """

    def __init__(self, driver: Driver, operations: int, due: list[float], limit: int) -> None:
        self.records = Records()
        self._driver = driver
        self._operations = operations
        self._due = due
        self._limit = limit
        self._next = 0
        self._idle: list[asyncio.Future[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        # For each worker, when the call it makes was due; None while it makes none.
        self._calls: list[float | None] = []
        self._all_made = asyncio.Event()
        self._timer = PreciseTimer(self._tick)

    def begin(self) -> None:
        """Start the clock."""
        self._tick()

    async def finish(self, drain: float) -> None:
        """Wait until every call is answered, at most ``drain`` seconds; what is left is an error."""
        with suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await self._all_made.wait()
                for woken in self._idle:
                    woken.set_result(None)
                self._idle.clear()
                await asyncio.gather(*self._workers)
        for intended in [*self._calls, *self._due[self._next :]]:
            if intended is not None:
                self.records.unanswered(intended)

    async def stop(self) -> None:
        """Stop the clock and the workers."""
        self._timer.close()
        await _finish(self._workers, 0.0)

    def _tick(self) -> None:
        self.records.compact()
        now = perf_counter()
        # Not looked for in all that is due in the minutes to come: that is memory nobody has touched yet.
        due = bisect_right(self._due, now, self._next, min(self._next + MOST_A_TICK, len(self._due)))
        for _ in range(due - self._next):
            if self._idle:
                self._idle.pop().set_result(None)
            elif len(self._workers) < self._limit:
                self._workers.append(asyncio.create_task(self._worker(len(self._workers))))
                self._calls.append(None)
            else:
                break
        if due < len(self._due):
            self._timer.at(max(self._due[due], now + TICK_SECONDS))
        elif self._next < len(self._due):
            # The last ones are due, but their workers have not run yet, or all are busy.
            self._timer.at(now + 4 * TICK_SECONDS)
        else:
            self._all_made.set()

    async def _worker(self, number: int) -> None:
        call, verify, records, clock = self._driver.call, self._driver.verify, self.records, perf_counter
        begun, answered, sent = records.intended.append, records.ended.append, records.started.append
        due, total, calls, idle = self._due, len(self._due), self._calls, self._idle
        operations = self._operations
        create_future = asyncio.get_running_loop().create_future
        started = clock()
        while True:
            index = self._next
            if index >= total:
                return
            intended = due[index]
            if intended > started:
                woken = create_future()
                idle.append(woken)
                await woken
                started = clock()
                continue
            self._next = index + 1
            calls[number] = intended
            index %= operations
            try:
                verdict = verify(index, await call(index))
            except Exception as error:
                records.failed(error, intended)
                calls[number] = None
                started = clock()
                continue
            calls[number] = None
            ended = clock()
            if verdict is None or verdict == "miss":
                begun(intended)
                sent(started)
                answered(ended)
                if verdict is not None:
                    records.missed(intended)
            else:
                records.wrong(verdict, intended)
            # The next call, if one is due, is made now.
            started = ended


async def _origin(start_at: float | None) -> float:
    """When the loop begins: now, or at the moment agreed with other processes."""
    if start_at is None:
        return perf_counter()
    await _until(start_at)
    return start_at


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - perf_counter()))


async def _finish(tasks: list[asyncio.Task[None]], seconds: float) -> int:
    """Wait for ``tasks``, cancel and count what is left; a task's own error is raised."""
    pending: set[asyncio.Task[None]] = set(tasks)
    if pending and seconds > 0:
        _, pending = await asyncio.wait(pending, timeout=seconds)
    for task in pending:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome
    return len(pending)
