"""What a call costs when many connections take turns with it, beside a raw echo of the same bytes."""

from __future__ import annotations

import statistics

import click

from benchmarks.catalogue import SYSTEMS
from benchmarks.results import Settings
from benchmarks.running import Programs, start_load, start_server
from benchmarks.scale.descriptors import allow_descriptors
from benchmarks.steps import closed

__all__ = ["measure_busy"]

FLOOR = "echo"
OURS = ("protosocket_native", "protosocket_async")


async def measure_busy(
    connections: tuple[int, ...], in_flight: int, each: int, seconds: float, repeats: int
) -> None:
    """Print a table. ``in_flight`` calls over all connections in turn, or ``each`` on every one if not 0."""
    allow_descriptors(max(connections))
    systems = [system for name in (FLOOR, *OURS) for system in SYSTEMS if system.name == name]
    costs: dict[tuple[str, int], list[float]] = {}
    errors = 0
    for _ in range(repeats):
        for count in connections:
            for system in systems:
                async with Programs() as processes:
                    server = await start_server(processes, system)
                    one = await start_load(processes, system, server, Settings(), connections=count)
                    result = await one.measure(closed(each * count or in_flight, seconds))
                cpu = sum(result.cost.cpu_seconds.values())
                costs.setdefault((system.name, count), []).append(1e6 * cpu / max(1, result.operations))
                errors += result.error_count + result.misses
    click.echo("| connections | " + " | ".join(f"{system.name}, CPU µs/op" for system in systems) + " |")
    click.echo("|--:|" + "--:|" * len(systems))
    for count in connections:
        floor = statistics.median(costs[FLOOR, count])
        cells = []
        for system in systems:
            cost = statistics.median(costs[system.name, count])
            cells.append(f"{cost:.1f} ({cost / floor:.2f} ×)")
        click.echo(f"| {count:,} | " + " | ".join(cells) + " |")
    click.echo(f"{errors} errors; both processes' CPU; in brackets the ratio to the raw echo")
