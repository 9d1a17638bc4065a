"""The whole cache on one machine, all gRPC unary and all protosocket: client, router and storage.

The programs and the load are those of ``protosocket bench talk``; here they are measured in the same run as
everything else, each at every number of calls in flight, and at the talk's rate for long. Both are measured
twice: with their programs wherever the kernel puts them, and with the client on one processor and router and
storage on another.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.results import FixedRate, TwoHops, TwoHopsPoint
from benchmarks.running import in_a_line
from benchmarks.steps import closed, open_loop
from protosocket.bench.columns import COLUMNS
from protosocket.bench.lateness import idle_lateness
from protosocket.bench.processes import ProcessError, Processes
from protosocket.bench.report import TalkSettings
from protosocket.bench.talk import Running, start_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Settings
    from benchmarks.steps import Steps
    from protosocket.bench.jobs import LoadResult

__all__ = ["measure_two_hops"]

GRPC, PROTOSOCKET = (
    next(column for column in COLUMNS if column.name == name) for name in ("grpc-unary", "protosocket")
)
SYSTEMS = {
    "grpc-unary": GRPC,
    "grpc-unary-placed": replace(GRPC, placed=True),
    "protosocket": PROTOSOCKET,
    "protosocket-placed": replace(PROTOSOCKET, placed=True),
}
PROGRAMS = ("client", "router", "storage")
# Seconds for the machine alone for each second at the fixed rate, before and after it.
IDLE = 0.05


async def measure_two_hops(
    settings: Settings, steps: Steps, closed_part: float, fixed_part: float
) -> TwoHops:
    """Closed loops in interleaved repeats for ``closed_part`` of the run, then the fixed rate.

    A program that fails is reported so.
    """
    talk = TalkSettings(
        get_percent=settings.get_percent,
        key_bytes=settings.key_bytes,
        value_bytes=settings.value_bytes,
        keys=settings.keys,
        seed=settings.seed,
    )
    rounds = settings.repeats * len(settings.two_hops_concurrencies)
    seconds = steps.share(closed_part, rounds * len(SYSTEMS))
    results: dict[tuple[str, int], list[LoadResult]] = {}
    try:
        async with Processes() as processes:
            running = {name: await start_column(processes, talk, column) for name, column in SYSTEMS.items()}
            for repeat in range(settings.repeats):
                for concurrency in settings.two_hops_concurrencies:
                    for name, one in running.items():
                        steps.begin(
                            f"repeat {repeat + 1}: two hops, {name}, {concurrency} in flight", seconds
                        )
                        result = await one.load.measure(closed(concurrency, seconds))
                        results.setdefault((name, concurrency), []).append(result)
            seconds = steps.share(fixed_part, 1)
            fixed = await _fixed_rate(running["protosocket"], settings.fixed_rate, steps, seconds)
    except (ProcessError, TimeoutError) as error:
        return TwoHops(error=in_a_line(error))
    return TwoHops(points=tuple(_point(*key, made) for key, made in results.items()), fixed_rate=fixed)


async def _fixed_rate(one: Running, rate: float, steps: Steps, seconds: float) -> FixedRate:
    steps.begin("the machine alone: how late a timer is", 0)
    before = await idle_lateness(seconds * IDLE)
    steps.begin(f"two hops, {one.column.name}: {rate:,.0f} offered per second", seconds)
    result = await one.load.measure(open_loop(rate, seconds))
    steps.begin("the machine alone: how late a timer is", 0)
    after = await idle_lateness(seconds * IDLE)
    return FixedRate(
        seconds=result.seconds,
        offered_per_second=(result.offered or 0) / result.seconds,
        answered_per_second=result.ops_per_second,
        p50_ms=result.latency.p50_ms,
        p99_ms=result.latency.p99_ms,
        p999_ms=result.latency.p999_ms,
        max_ms=result.latency.max_ms,
        late=result.late or 0,
        errors=result.error_count + result.misses,
        cpu_us={name: _cpu(result, name) for name in PROGRAMS},
        idle_lateness_p999_ms=(before.p999_ms, after.p999_ms),
    )


def _point(name: str, concurrency: int, results: Sequence[LoadResult]) -> TwoHopsPoint:
    rates = [result.ops_per_second for result in results]
    return TwoHopsPoint(
        system=name,
        concurrency=concurrency,
        ops_per_second=median(rates),
        ops_per_second_spread=(min(rates), max(rates)),
        p50_ms=median(result.latency.p50_ms for result in results),
        p999_ms=median(result.latency.p999_ms for result in results),
        cpu_us={name: median(_cpu(result, name) for result in results) for name in PROGRAMS},
        errors=sum(result.error_count + result.misses for result in results),
    )


def _cpu(result: LoadResult, name: str) -> float:
    return 1e6 * result.cost.cpu_seconds[name] / max(1, result.operations)
