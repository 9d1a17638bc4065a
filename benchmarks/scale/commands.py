"""``python -m benchmarks scale ...``: its commands."""

from __future__ import annotations

import click
import uvloop

__all__ = ["scale"]

KIB = 1024


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


@click.group()
def scale() -> None:
    """What one machine carries: connections, large messages, processes."""


@scale.command()
@click.option("--kib", default="1024,4096,65536", show_default=True, help="Sizes of the messages.")
@click.option("--seconds", default=1.0, show_default=True, help="Of each window.")
@click.option("--repeats", default=3, show_default=True)
def large(kib: str, seconds: float, repeats: int) -> None:
    """Large messages through a stream and rpc, beside plain echoes of the same bytes."""
    from benchmarks.scale.large import measure_large

    uvloop.run(measure_large(tuple(size * KIB for size in _numbers(kib)), seconds, repeats))


@scale.command()
@click.option("--connections", default=10_000, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(["stream", "rpc", "router", "echo"]))
def idle(connections: int, only: tuple[str, ...]) -> None:
    """Memory that a server needs for each idle connection."""
    from benchmarks.scale.idle import measure_idle

    uvloop.run(measure_idle(connections, only))


@scale.command()
@click.option("--connections", default="1,64,1000", show_default=True)
@click.option("--in-flight", default=256, show_default=True, help="Calls over all connections.")
@click.option("--each", default=0, help="Instead: calls in flight on each connection.")
@click.option("--seconds", default=1.5, show_default=True, help="Of each window.")
@click.option("--repeats", default=3, show_default=True)
def busy(connections: str, in_flight: int, each: int, seconds: float, repeats: int) -> None:
    """Processor time of a call on one of many connections, beside a raw echo."""
    from benchmarks.scale.busy import measure_busy

    uvloop.run(measure_busy(_numbers(connections), in_flight, each, seconds, repeats))


@scale.command()
@click.option("--workers", default="1,2", show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of each window.")
@click.option("--repeats", default=3, show_default=True)
def workers(workers: str, seconds: float, repeats: int) -> None:
    """Calls per second of an rpc server with several processes on its port."""
    from benchmarks.scale.workers import measure_workers

    uvloop.run(measure_workers(_numbers(workers), seconds, repeats))
