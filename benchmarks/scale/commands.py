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
