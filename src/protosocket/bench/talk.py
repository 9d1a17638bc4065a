"""The talk's benchmark: its four systems side by side on this machine, in interleaved repeats."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from protosocket.bench.columns import CLIENT_HOP, COLUMNS, STORAGE_HOP, Column, System, start_system
from protosocket.bench.driver import Endpoint
from protosocket.bench.generator import GeneratorGroup
from protosocket.bench.jobs import Closed, LoadResult, LoadSpec, Open
from protosocket.bench.machine import commit, machine, versions
from protosocket.bench.processes import Processes
from protosocket.bench.report import ColumnReport, FixedRate, Spread, TalkReport, TalkSettings
from protosocket.bench.workload import Command, Keyspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Running", "run_talk", "start_column"]

CACHE_NAME = "talk"
# The parts of a column's time: a probe of each concurrency, each repeat's closed and open loop, the fixed
# rate.
PROBE, CLOSED, OPEN, FIXED = 0.5, 1.0, 0.6, 1.5
WARMUP = 0.2
# Below this much headroom a fixed rate would show a queue that grows, not a latency.
HEADROOM = 1.1


@dataclass
class Running:
    """A column whose programs run, and what was measured on it so far."""

    column: Column
    system: System
    load: GeneratorGroup
    probes: dict[int, LoadResult] = field(default_factory=dict)
    closed: list[LoadResult] = field(default_factory=list)
    open: list[LoadResult] = field(default_factory=list)
    fixed: LoadResult | None = None

    @property
    def concurrency(self) -> int:
        """The calls in flight that gave most."""
        return max(self.probes, key=lambda concurrency: self.probes[concurrency].ops_per_second)

    @property
    def ops_per_second(self) -> float:
        """The median throughput."""
        return median(result.ops_per_second for result in self.closed)


async def run_talk(
    settings: TalkSettings, progress: Callable[[str, float], None], systems: Sequence[Column] = COLUMNS
) -> TalkReport:
    """Measure ``systems``.

    ``progress`` is told what is about to be done and the fraction that is done already. Raises ProcessError
    if a program does not start or ends early; cancelling it ends all programs.
    """
    steps = _Steps(settings, len(systems), progress)
    async with Processes() as processes:
        columns = await _start(processes, settings, systems, steps)
        for concurrency in settings.concurrencies:
            for running in columns:
                with steps.step(f"{running.column.name}: {concurrency} in flight", PROBE) as seconds:
                    running.probes[concurrency] = await running.load.measure(_closed(concurrency, seconds))
        for repeat in range(settings.repeats):
            for running in columns:
                with steps.step(f"{running.column.name}: throughput {repeat + 1}", CLOSED) as seconds:
                    running.closed.append(await running.load.measure(_closed(running.concurrency, seconds)))
        for repeat in range(settings.repeats):
            for running in columns:
                with steps.step(f"{running.column.name}: latency {repeat + 1}", OPEN) as seconds:
                    rate = settings.latency_fraction * running.ops_per_second
                    running.open.append(await running.load.measure(_open(rate, seconds)))
        reachable = HEADROOM * settings.fixed_rate
        for running in columns:
            if running.column.name == "protosocket" and running.ops_per_second > reachable:
                with steps.step(f"protosocket: {settings.fixed_rate:,} per second", FIXED) as seconds:
                    running.fixed = await running.load.measure(_open(settings.fixed_rate, seconds))
        progress("done", 1.0)
    baseline = next((one.ops_per_second for one in columns if one.column.name == "grpc-unary"), None)
    return TalkReport(
        machine=machine(),
        commit=commit(),
        columns=tuple(_column_report(running, baseline) for running in columns),
        date=datetime.now(UTC).date().isoformat(),
        settings=settings,
        generator=columns[0].load.settings,
        versions=versions(),
    )


class _Steps:
    """Divides the time among the steps and tells how far it has come."""

    def __init__(self, settings: TalkSettings, systems: int, progress: Callable[[str, float], None]) -> None:
        a_column = PROBE * len(settings.concurrencies) + (CLOSED + OPEN) * settings.repeats
        self._total = a_column * systems + FIXED
        self._unit = settings.seconds / self._total
        self._done = 0.0
        self._progress = progress

    @contextmanager
    def step(self, text: str, units: float) -> Iterator[float]:
        """A step of ``units``, for which it gives the seconds."""
        self.tell(text)
        yield units * self._unit
        self._done += units

    def tell(self, text: str) -> None:
        """A step that takes none of the measured time."""
        self._progress(text, self._done / self._total)


async def _start(
    processes: Processes, settings: TalkSettings, systems: Sequence[Column], steps: _Steps
) -> list[Running]:
    """All programs of all columns: they idle while another column is measured, so repeats can alternate."""
    steps.tell("starting routers and storages, and filling them")
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(start_column(processes, settings, column)) for column in systems]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def start_column(processes: Processes, settings: TalkSettings, column: Column) -> Running:
    """Start the programs of ``column`` and a load generator, and set every key. Raises ProcessError."""
    system = await start_system(processes, column, settings.connections)
    keyspace = Keyspace(
        klen=settings.key_bytes,
        vlen=settings.value_bytes,
        nkeys=settings.keys,
        commands=(
            Command(verb="get", weight=settings.get_percent),
            Command(verb="set", weight=100 - settings.get_percent),
        ),
    )
    spec = LoadSpec(
        driver=column.front.name,
        endpoint=Endpoint(
            urls=(system.url,),
            connections=settings.connections,
            cache_name=CACHE_NAME,
            request_timeout=settings.request_timeout,
        ),
        keyspaces=(keyspace,),
        seed=settings.seed,
        pids=system.pids,
        hops=system.hops,
    )
    load = await GeneratorGroup.start(processes, spec, processors=column.places.client)
    await load.prefill(system.prefill(CACHE_NAME))
    return Running(column, system, load)


def _closed(concurrency: int, seconds: float) -> Closed:
    return Closed(concurrency=concurrency, seconds=seconds * (1 - WARMUP), warmup=seconds * WARMUP)


def _open(rate: float, seconds: float) -> Open:
    return Open(phases=((seconds * (1 - WARMUP), rate),), warmup=seconds * WARMUP)


def _column_report(running: Running, baseline: float | None) -> ColumnReport:
    kinds: Counter[str] = Counter()
    fixed = [] if running.fixed is None else [running.fixed]
    results = [*running.probes.values(), *running.closed, *running.open, *fixed]
    for result in results:
        kinds.update(result.errors)
        kinds["miss"] += result.misses

    def cpu(name: str) -> float:
        return median(1e6 * one.cost.cpu_seconds[name] / max(1, one.operations) for one in running.closed)

    def wire(hop: str) -> float:
        return median(one.cost.wire[hop].total / max(1, one.operations) for one in running.closed)

    def latency(name: str) -> list[float]:
        return [getattr(result.latency, name) for result in running.open]

    def spread(values: list[float]) -> Spread:
        return min(values), max(values)

    return ColumnReport(
        name=running.column.name,
        ops_per_second=running.ops_per_second,
        p50_ms=median(latency("p50_ms")),
        p99_ms=median(latency("p99_ms")),
        p999_ms=median(latency("p999_ms")),
        errors=kinds.total(),
        client_cpu_us_per_op=cpu("client"),
        router_cpu_us_per_op=cpu("router"),
        storage_cpu_us_per_op=cpu("storage"),
        wire_bytes_per_op=wire(CLIENT_HOP) + wire(STORAGE_HOP),
        ratio_to_grpc_unary=running.ops_per_second / baseline if baseline else None,
        concurrency=running.concurrency,
        ops_per_second_spread=spread([result.ops_per_second for result in running.closed]),
        p50_ms_spread=spread(latency("p50_ms")),
        p99_ms_spread=spread(latency("p99_ms")),
        p999_ms_spread=spread(latency("p999_ms")),
        latency_rate=median(_offered_rate(result) for result in running.open),
        latency_answered_per_second=median(result.ops_per_second for result in running.open),
        late=sum(result.late or 0 for result in running.open),
        client_router_wire_bytes_per_op=wire(CLIENT_HOP),
        router_storage_wire_bytes_per_op=wire(STORAGE_HOP),
        error_kinds=+kinds,
        error_example=next((result.error_example for result in results if result.error_example), None),
        fixed_rate=_fixed_rate(running.fixed),
    )


def _offered_rate(result: LoadResult) -> float:
    """The rate that was offered."""
    return (result.offered or 0) / result.seconds


def _fixed_rate(result: LoadResult | None) -> FixedRate | None:
    if result is None:
        return None
    return FixedRate(
        offered_per_second=_offered_rate(result),
        answered_per_second=result.ops_per_second,
        p50_ms=result.latency.p50_ms,
        p99_ms=result.latency.p99_ms,
        p999_ms=result.latency.p999_ms,
        errors=result.error_count + result.misses,
    )
