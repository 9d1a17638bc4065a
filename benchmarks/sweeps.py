"""The sweeps: one quantity changes, everything else stays: message size, connections, offered load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import psutil
from msgspec.structs import replace

from benchmarks.results import ConnectionsPoint, OfferedPoint, SizePoint
from benchmarks.running import Programs, in_a_line, start_load, start_server
from benchmarks.steps import closed, open_loop
from protosocket.bench.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.catalogue import System
    from benchmarks.results import Settings
    from benchmarks.running import Running
    from benchmarks.steps import Steps
    from protosocket.bench.jobs import LoadResult

__all__ = ["sweep_connections", "sweep_offered", "sweep_sizes"]

# A server keeps every key; large values have fewer.
STORED_BYTES = 32 << 20


async def sweep_offered(
    running: Sequence[Running],
    best: Callable[[str], float],
    settings: Settings,
    steps: Steps,
    part: float,
) -> list[OfferedPoint]:
    """Latency at fractions of each system's own throughput (``best``, operations per second)."""
    points = []
    seconds = steps.share(part, len(settings.offered_fractions) * len(running))
    for fraction in settings.offered_fractions:
        for one in running:
            name = one.system.name
            rate = fraction * best(name)
            if rate <= 0:
                continue
            steps.begin(f"{name}: {rate:,.0f} offered per second", seconds)
            try:
                result = await one.measure(open_loop(rate, seconds))
            except (ProcessError, TimeoutError) as error:
                points.append(OfferedPoint(system=name, offered_per_second=rate, error=in_a_line(error)))
                continue
            points.append(
                OfferedPoint(
                    system=name,
                    offered_per_second=(result.offered or 0) / result.seconds,
                    answered_per_second=result.ops_per_second,
                    p50_ms=result.latency.p50_ms,
                    p99_ms=result.latency.p99_ms,
                    p999_ms=result.latency.p999_ms,
                    late=result.late or 0,
                    errors=result.error_count + result.misses,
                )
            )
    return points


async def sweep_sizes(
    systems: Sequence[System], settings: Settings, steps: Steps, part: float
) -> list[SizePoint]:
    """CPU per operation against the size of the values."""
    points = []
    seconds = steps.share(part, len(settings.sizes) * len(systems))
    for size in settings.sizes:
        keys = max(4, min(settings.keys, STORED_BYTES // size))
        for system in systems:
            steps.begin(f"{system.name}: values of {size:,} bytes", seconds)
            try:
                async with Programs() as processes:
                    server = await start_server(processes, system)
                    one = await start_load(processes, system, server, settings, value_bytes=size, keys=keys)
                    result = await one.measure(closed(settings.size_concurrency, seconds))
            except (ProcessError, TimeoutError) as error:
                points.append(SizePoint(system=system.name, value_bytes=size, error=in_a_line(error)))
                continue
            points.append(
                SizePoint(
                    system=system.name,
                    value_bytes=size,
                    ops_per_second=result.ops_per_second,
                    client_cpu_us=_cpu(result, "client"),
                    server_cpu_us=_cpu(result, "server"),
                    errors=result.error_count + result.misses,
                )
            )
    return points


async def sweep_connections(
    systems: Sequence[System], settings: Settings, steps: Steps, part: float
) -> list[ConnectionsPoint]:
    """CPU per operation against the connections, which take turns, and the memory of each idle one.

    Each time the same number of calls is in flight over all of them; for this project's systems then also a
    number on each connection, which leaves a connection as much to do as before.
    """
    points: list[ConnectionsPoint] = []
    places = [(system, connections) for system in systems for connections in settings.connections]
    seconds = steps.share(part, sum(len(_unmeasured(*place, settings)) for place in places))
    # What the processes hold without a second connection.
    bases: dict[str, tuple[int, int]] = {}
    for system, connections in places:
        left = _unmeasured(system, connections, settings)
        try:
            async with Programs() as processes:
                server = await start_server(processes, system)
                one = await start_load(processes, system, server, settings, connections=connections)
                held = _resident(one.client_pid), _resident(one.server_pid)
                base = bases.setdefault(system.name, held)
                more = max(1, connections - settings.connections[0])
                client_bytes, server_bytes = (
                    max(0.0, (now - at) / more) for now, at in zip(held, base, strict=True)
                )
                while left:
                    point = left[0]
                    text = f"{system.name}: {point.in_flight:,} calls, {connections:,} connections"
                    steps.begin(text, seconds)
                    result = await one.measure(closed(point.in_flight, seconds))
                    was_idle = point.calls == "all"
                    points.append(
                        replace(
                            point,
                            ops_per_second=result.ops_per_second,
                            client_cpu_us=_cpu(result, "client"),
                            server_cpu_us=_cpu(result, "server"),
                            p999_ms=result.latency.p999_ms,
                            client_bytes_a_connection=client_bytes if was_idle else None,
                            server_bytes_a_connection=server_bytes if was_idle else None,
                            errors=result.error_count + result.misses,
                        )
                    )
                    left = left[1:]
        except (ProcessError, TimeoutError) as error:
            points.extend(replace(point, error=in_a_line(error)) for point in left)
    return points


def _unmeasured(system: System, connections: int, settings: Settings) -> list[ConnectionsPoint]:
    """What is to be measured over so many connections."""
    loads: list[tuple[Literal["all", "each"], int]] = [("all", settings.connections_concurrency)]
    if system.kind == "ours" and connections <= settings.connections_each_most:
        loads.append(("each", connections * settings.connections_each))
    return [
        ConnectionsPoint(system=system.name, connections=connections, calls=calls, in_flight=in_flight)
        for calls, in_flight in loads
    ]


def _cpu(result: LoadResult, name: str) -> float:
    return 1e6 * result.cost.cpu_seconds[name] / max(1, result.operations)


def _resident(pid: int) -> int:
    """Resident bytes of a process with its children."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in family)
