"""What a load generator process is told and what it answers: one JSON document a line, both ways."""

from __future__ import annotations

from typing import Literal

import msgspec

from protosocket.bench.driver import Endpoint
from protosocket.bench.latency import Percentiles
from protosocket.bench.watch import Cost
from protosocket.bench.workload import Keyspace

__all__ = ["Closed", "Failed", "Interval", "Job", "LoadResult", "LoadSpec", "Open", "Prefill", "Ready"]


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line to a generator: what it drives, with which operations, and whose cost it reads.

    ``driver`` is a name for ``find_driver``; ``part`` numbers the processes that share one run; ``pids`` maps
    names to processes and ``hops`` names to listeners' URLs, read at the start and end of each measured
    window.
    """

    driver: str
    endpoint: Endpoint
    keyspaces: tuple[Keyspace, ...]
    seed: str = "0"
    part: int = 0
    pids: dict[str, int] = {}
    hops: dict[str, str] = {}


class Prefill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="prefill"):
    """Set every key once, ``concurrency`` at a time; at ``endpoint`` over ``driver`` if those are given."""

    concurrency: int = 64
    driver: str | None = None
    endpoint: Endpoint | None = None


class Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="closed"):
    """Keep ``concurrency`` calls in flight; measure for ``seconds`` after ``warmup`` seconds.

    ``start_at`` (of ``time.monotonic()``) lets several processes begin together; ``interval`` (seconds, 0:
    none) also reports slices of the window; calls still unanswered ``drain`` seconds after it are errors.
    """

    concurrency: int
    seconds: float
    warmup: float = 0.0
    start_at: float | None = None
    interval: float = 0.0
    drain: float = 10.0


class Open(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="open"):
    """Make calls when they are due; ``phases`` are (seconds, calls per second), after ``warmup`` seconds.

    The warm-up has the first phase's rate. At most ``in_flight`` calls are unanswered at once; what is due
    beyond that waits, and its waiting is part of its latency. The rest is as for ``Closed``.
    """

    phases: tuple[tuple[float, float], ...]
    warmup: float = 0.0
    spacing: Literal["poisson", "fixed"] = "poisson"
    # With four times as many, a short stall was never made up for: their tasks are in no cache.
    in_flight: int = 1024
    start_at: float | None = None
    interval: float = 0.0
    drain: float = 10.0


Job = Prefill | Closed | Open


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The generator has connected, or has done its prefill. ``settings`` says how its process is tuned."""

    settings: dict[str, str]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The generator or the job could not do what it was told."""

    error: str


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of the measured window; ``start`` is seconds from its beginning, ``histogram`` as in the
    result.
    """

    start: float
    ops_per_second: float
    latency: Percentiles
    histogram: str


class LoadResult(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """What one measured window gave.

    ``operations`` were answered rightly (a miss is an answer too, counted in ``misses``), ``seconds`` is the
    window. ``errors`` counts every other outcome by kind; none of them is in ``latency``. Closed loop:
    operations answered within the window; latency from the moment a call is made. Open loop: ``offered``
    operations that were due within the window, however late they were answered; latency from the moment each
    was due; ``ops_per_second`` counts what was answered within the window. ``late`` of them were made more
    than a millisecond after they were due, and ``start_delay`` says how long after; it is part of their
    latency. ``histogram`` is HdrHistogram's compressed text form, in microseconds.
    """

    operations: int
    seconds: float
    ops_per_second: float
    errors: dict[str, int]
    misses: int
    latency: Percentiles
    histogram: str
    cost: Cost
    error_example: str | None = None
    offered: int | None = None
    late: int | None = None
    start_delay: Percentiles | None = None
    intervals: tuple[Interval, ...] = ()

    @property
    def error_count(self) -> int:
        """All errors together."""
        return sum(self.errors.values())
