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
# Seconds for the machine alone for each second at the fixed rate, before it.
IDLE = 0.05
# The part of a window at the fixed rate that is warm-up: the windows are long.
WARMUP = 0.05


async def measure_two_hops(
    settings: Settings, steps: Steps, closed_part: float, fixed_part: float
) -> TwoHops:
    """Closed loops in interleaved repeats for ``closed_part`` of the run, then the fixed rate as often.

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
        seconds = steps.share(fixed_part, settings.repeats)
        # Programs of its own, with nothing beside them.
        async with Processes() as processes:
            one = await start_column(processes, talk, PROTOSOCKET)
            fixed = await _fixed_rate(one, settings, steps, seconds)
    except (ProcessError, TimeoutError) as error:
        return TwoHops(error=in_a_line(error))
    return TwoHops(points=tuple(_point(*key, made) for key, made in results.items()), fixed_rate=fixed)


async def _fixed_rate(one: Running, settings: Settings, steps: Steps, seconds: float) -> FixedRate:
    """Windows of ``seconds`` at the rate, each after a look at the machine alone."""
    rate, idle, results = settings.fixed_rate, [], []
    for repeat in range(settings.repeats):
        steps.begin("the machine alone: how late a timer is", 0)
        idle.append((await idle_lateness(seconds * IDLE)).p999_ms)
        text = f"repeat {repeat + 1}: two hops, {one.column.name}, {rate:,.0f} offered per second"
        steps.begin(text, seconds)
        results.append(await one.load.measure(open_loop(rate, seconds, WARMUP)))
    tails = [result.latency.p999_ms for result in results]
    return FixedRate(
        repeats=len(results),
        seconds=median(result.seconds for result in results),
        offered_per_second=median((result.offered or 0) / result.seconds for result in results),
        answered_per_second=median(result.ops_per_second for result in results),
        p50_ms=median(result.latency.p50_ms for result in results),
        p99_ms=median(result.latency.p99_ms for result in results),
        p999_ms=median(tails),
        p999_ms_spread=(min(tails), max(tails)),
        max_ms=max(result.latency.max_ms for result in results),
        late=sum(result.late or 0 for result in results),
        errors=sum(result.error_count + result.misses for result in results),
        cpu_us={name: median(_cpu(result, name) for result in results) for name in PROGRAMS},
        idle_lateness_p999_ms=tuple(idle),
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
