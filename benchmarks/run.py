"""A whole run: every system that is here, in interleaved repeats, then the sweeps and the whole cache."""

from __future__ import annotations

import os
import resource
from collections import Counter
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.catalogue import SYSTEMS, System
from benchmarks.results import Point, Report, Settings, SystemCalls, SystemReport
from benchmarks.running import HOP, Programs, Running, in_a_line, start_system
from benchmarks.steps import Steps, closed
from benchmarks.sweeps import sweep_connections, sweep_offered, sweep_sizes
from benchmarks.system_calls import count_system_calls
from benchmarks.two_hops import measure_two_hops
from protosocket.bench.machine import commit, machine
from protosocket.bench.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protosocket.bench.jobs import LoadResult

__all__ = ["default_settings", "run"]

# The parts of a run's time.
TABLE, CALLS, SIZES, CONNECTIONS, OFFERED, TWO_HOPS, FIXED = 0.375, 0.025, 0.1, 0.075, 0.085, 0.07, 0.27
SHORT_SECONDS = 200.0
KIB = 1024


def default_settings(seconds: float) -> Settings:
    """The settings of a run of ``seconds``: a short one has fewer points in its sweeps, not shorter ones."""
    if seconds < SHORT_SECONDS:
        return Settings(
            seconds=seconds,
            sizes=(16, KIB, 64 * KIB, KIB * KIB),
            connections=(1, 100, 1_000),
            offered_fractions=(0.3, 0.6, 0.9),
            two_hops_concurrencies=(64, 256),
        )
    return Settings(
        seconds=seconds,
        sizes=tuple(2**power for power in range(4, 21, 2)),
        connections=(1, 10, 100, 1_000, 10_000),
        offered_fractions=(0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95),
        two_hops_concurrencies=(64, 256),
    )


async def run(
    settings: Settings,
    progress: Callable[[str, float], None],
    names: Sequence[str] = (),
) -> Report:
    """Measure the systems called ``names``, or all; ``progress`` is told what is next and the fraction done.

    A system that is not installed is skipped, one that fails is reported so; neither ends the run. Cancelling
    it ends all programs.
    """
    chosen = [system for system in SYSTEMS if not names or system.name in names]
    _allow_files()
    began, load_average = datetime.now(UTC), os.getloadavg()
    steps = Steps(settings.seconds, progress)
    async with Programs() as processes:
        table = _Table(settings, steps)
        for system in chosen:
            steps.begin(f"starting {system.name}", 0)
            await table.start(processes, system)
        await table.measure()
        await table.count_calls()
        sweeping = [one for one in table.running if one.system.sweep]
        offered = await sweep_offered(sweeping, table.best, settings, steps, OFFERED)
        generator = next((one.load.settings for one in table.running if one.load.settings), {})
        reports = tuple(table.report(system) for system in chosen)
    # The sweeps that follow start processes of their own, with nothing beside them.
    systems = [one.system for one in sweeping]
    sizes = await sweep_sizes(systems, settings, steps, SIZES)
    connections = await sweep_connections(systems, settings, steps, CONNECTIONS)
    two_hops = None
    if settings.two_hops_concurrencies:
        two_hops = await measure_two_hops(settings, steps, TWO_HOPS, FIXED)
    progress("done", 1.0)
    return Report(
        date=began.isoformat(timespec="minutes"),
        commit=commit(),
        machine=machine(),
        load_average=load_average,
        settings=settings,
        generator=generator,
        systems=reports,
        sizes=tuple(sizes),
        connections=tuple(connections),
        offered=tuple(offered),
        two_hops=two_hops,
    )


class _Table:
    """The systems that run, and what each of them gave."""

    def __init__(self, settings: Settings, steps: Steps) -> None:
        self.running: list[Running] = []
        self._settings = settings
        self._steps = steps
        self._results: dict[str, dict[int, list[LoadResult]]] = {}
        self._calls: dict[str, SystemCalls | str] = {}
        self._skipped: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    async def start(self, processes: Programs, system: System) -> None:
        """Start ``system``, unless something it needs is missing."""
        reason = system.missing()
        if reason is not None:
            self._skipped[system.name] = reason
            return
        try:
            self.running.append(await start_system(processes, system, self._settings))
        except (ProcessError, TimeoutError) as error:
            self._failed[system.name] = in_a_line(error)

    async def measure(self) -> None:
        """The repeats: every system once for each concurrency, then all of them again."""
        settings = self._settings
        rounds = settings.repeats * len(settings.concurrencies)
        seconds = self._steps.share(TABLE, rounds * len(self.running))
        for repeat in range(settings.repeats):
            for concurrency in settings.concurrencies:
                for one in tuple(self.running):
                    name = one.system.name
                    self._steps.begin(f"repeat {repeat + 1}: {name}, {concurrency} in flight", seconds)
                    try:
                        result = await one.measure(closed(concurrency, seconds))
                    except (ProcessError, TimeoutError) as error:
                        self._give_up(one, error)
                        continue
                    by_concurrency = self._results.setdefault(name, {})
                    by_concurrency.setdefault(concurrency, []).append(result)

    async def count_calls(self) -> None:
        """System calls, in windows of their own."""
        seconds = self._steps.share(CALLS, len(self.running))
        for one in tuple(self.running):
            self._steps.begin(f"system calls of {one.system.name}", seconds)
            try:
                self._calls[one.system.name] = await count_system_calls(one, seconds)
            except (ProcessError, TimeoutError) as error:
                self._give_up(one, error)

    def best(self, name: str) -> float:
        """The best median throughput of a system, in operations per second."""
        points = self._points(name)
        return max((point.ops_per_second for point in points), default=0.0)

    def report(self, system: System) -> SystemReport:
        """What is known of ``system``."""
        name = system.name
        calls = self._calls.get(name)
        failed = self._failed.get(name)
        reason = self._skipped.get(name, failed)
        return SystemReport(
            name=name,
            title=system.title,
            kind=system.kind,
            tuning=system.tuning(),
            versions=system.versions(),
            state="failed" if failed else "skipped" if reason else "measured",
            reason=reason,
            multiplexed=system.multiplexed,
            points=self._points(name),
            system_calls=calls if isinstance(calls, SystemCalls) else None,
            system_calls_reason=calls if isinstance(calls, str) else None,
        )

    def _points(self, name: str) -> tuple[Point, ...]:
        return tuple(_point(at, results) for at, results in self._results.get(name, {}).items())

    def _give_up(self, one: Running, error: Exception) -> None:
        self.running.remove(one)
        self._failed[one.system.name] = in_a_line(error)


def _point(concurrency: int, results: Sequence[LoadResult]) -> Point:
    errors: Counter[str] = Counter()
    for result in results:
        errors.update(result.errors)
        errors["miss"] += result.misses

    def per_operation(values: Sequence[float]) -> float:
        return median(
            value / max(1, result.operations) for value, result in zip(values, results, strict=True)
        )

    rates = [result.ops_per_second for result in results]
    tails = [result.latency.p999_ms for result in results]
    return Point(
        concurrency=concurrency,
        repeats=len(results),
        operations=sum(result.operations for result in results),
        ops_per_second=median(rates),
        ops_per_second_spread=(min(rates), max(rates)),
        p50_ms=median(result.latency.p50_ms for result in results),
        p99_ms=median(result.latency.p99_ms for result in results),
        p999_ms=median(tails),
        p999_ms_spread=(min(tails), max(tails)),
        client_cpu_us=1e6 * per_operation([result.cost.cpu_seconds["client"] for result in results]),
        server_cpu_us=1e6 * per_operation([result.cost.cpu_seconds["server"] for result in results]),
        wire_bytes=per_operation([result.cost.wire[HOP].total for result in results]),
        errors=dict(+errors),
        error_example=next((result.error_example for result in results if result.error_example), None),
    )


def _allow_files() -> None:
    """As many open files as the system lets us have; the programs inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
