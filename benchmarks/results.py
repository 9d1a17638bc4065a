"""What a run writes: one JSON document, from which the report and the pictures are made."""

from __future__ import annotations

from typing import Literal

import msgspec

from protosocket.bench.machine import Machine

__all__ = [
    "ConnectionsPoint",
    "FixedRate",
    "OfferedPoint",
    "Point",
    "Report",
    "Settings",
    "SizePoint",
    "Spread",
    "SystemCalls",
    "SystemReport",
    "TwoHops",
    "TwoHopsPoint",
]

Spread = tuple[float, float]
"""The smallest and the largest of the repeats."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a run was made. ``seconds`` is the length of all measured windows with their warm-ups."""

    seconds: float = 720.0
    repeats: int = 3
    concurrencies: tuple[int, ...] = (1, 64, 256)
    get_percent: int = 80
    key_bytes: int = 32
    value_bytes: int = 128
    keys: int = 2_000
    seed: str = "0"
    size_concurrency: int = 16
    sizes: tuple[int, ...] = ()
    connections_concurrency: int = 256
    connections_each: int = 16
    connections_each_most: int = 1_000
    connections: tuple[int, ...] = ()
    offered_fractions: tuple[float, ...] = ()
    two_hops_concurrencies: tuple[int, ...] = ()
    fixed_rate: float = 70_000.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop of ``concurrency`` calls in flight: medians of the repeats, with their extremes.

    Latencies in milliseconds from the moment a call was made; CPU in microseconds per operation; wire bytes
    are TCP payload of both directions per operation. ``errors`` of all repeats by kind; none of them is an
    operation.
    """

    concurrency: int
    repeats: int
    operations: int
    ops_per_second: float
    ops_per_second_spread: Spread
    p50_ms: float
    p99_ms: float
    p999_ms: float
    p999_ms_spread: Spread
    client_cpu_us: float
    server_cpu_us: float
    wire_bytes: float
    errors: dict[str, int]
    error_example: str | None = None


class SystemCalls(msgspec.Struct, frozen=True, kw_only=True):
    """System calls per operation of each side, counted in a run of its own."""

    concurrency: int
    client: float
    server: float


class SystemReport(msgspec.Struct, frozen=True, kw_only=True):
    """One system: what it is, whether it was measured, and what it gave."""

    name: str
    title: str
    kind: Literal["ours", "peer", "floor"]
    tuning: str
    versions: dict[str, str]
    state: Literal["measured", "skipped", "failed"]
    reason: str | None = None
    multiplexed: bool = True
    points: tuple[Point, ...] = ()
    system_calls: SystemCalls | None = None
    system_calls_reason: str | None = None

    def point(self, concurrency: int) -> Point | None:
        """What it gave with so many in flight."""
        return next((point for point in self.points if point.concurrency == concurrency), None)


class SizePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop with values of ``value_bytes``; ``error`` says why there is no figure."""

    system: str
    value_bytes: int
    ops_per_second: float = 0.0
    client_cpu_us: float = 0.0
    server_cpu_us: float = 0.0
    errors: int = 0
    error: str | None = None


class ConnectionsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop of ``in_flight`` calls over ``connections``: at every point as many over ``all`` of them,
    or as many on ``each``. Memory is what each idle one added to the resident set; None if it was not read.
    """

    system: str
    connections: int
    calls: Literal["all", "each"]
    in_flight: int
    ops_per_second: float = 0.0
    client_cpu_us: float = 0.0
    server_cpu_us: float = 0.0
    p999_ms: float = 0.0
    client_bytes_a_connection: float | None = None
    server_bytes_a_connection: float | None = None
    errors: int = 0
    error: str | None = None


class OfferedPoint(msgspec.Struct, frozen=True, kw_only=True):
    """An open loop with random arrivals; latencies in milliseconds from the moment a call was due."""

    system: str
    offered_per_second: float
    answered_per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    late: int = 0
    errors: int = 0
    error: str | None = None


class TwoHopsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Client, router and storage in a closed loop: medians of the repeats, as in ``Point``."""

    system: str
    concurrency: int
    ops_per_second: float
    ops_per_second_spread: Spread
    p50_ms: float
    p999_ms: float
    cpu_us: dict[str, float]
    errors: int


class FixedRate(msgspec.Struct, frozen=True, kw_only=True):
    """An open loop over both hops at a rate that is the same in every run, as in ``OfferedPoint``.

    Medians of the repeats of ``seconds`` each, the largest ``max_ms``, and all late calls and errors.
    ``idle_lateness_p999_ms``: how late a process was that did nothing but wake, before each.
    """

    repeats: int
    seconds: float
    offered_per_second: float
    answered_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    p999_ms_spread: Spread
    max_ms: float
    late: int
    errors: int
    cpu_us: dict[str, float]
    idle_lateness_p999_ms: tuple[float, ...]


class TwoHops(msgspec.Struct, frozen=True, kw_only=True):
    """The whole cache; ``error`` says why there are no figures."""

    points: tuple[TwoHopsPoint, ...] = ()
    fixed_rate: FixedRate | None = None
    error: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    date: str
    commit: str
    machine: Machine
    load_average: tuple[float, float, float]
    settings: Settings
    generator: dict[str, str]
    systems: tuple[SystemReport, ...]
    sizes: tuple[SizePoint, ...] = ()
    connections: tuple[ConnectionsPoint, ...] = ()
    offered: tuple[OfferedPoint, ...] = ()
    two_hops: TwoHops | None = None

    def to_json(self) -> bytes:
        """As indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @property
    def error_count(self) -> int:
        """All calls that failed or were answered wrongly, and systems that could not be measured.

        Calls that a peer leaves unanswered when more is offered than it can are a result, not an error.
        """
        ours = {system.name for system in self.systems if system.kind == "ours"}
        failed = sum(system.state == "failed" for system in self.systems)
        closed = sum(sum(point.errors.values()) for system in self.systems for point in system.points)
        others = sum(point.errors + (point.error is not None) for point in self.sizes)
        others += sum(point.errors + (point.error is not None) for point in self.connections)
        others += sum(point.errors * (point.system in ours) for point in self.offered)
        others += sum(point.error is not None for point in self.offered)
        if self.two_hops is not None:
            others += self.two_hops.error is not None
            others += sum(point.errors for point in self.two_hops.points)
            others += 0 if self.two_hops.fixed_rate is None else self.two_hops.fixed_rate.errors
        return failed + closed + others
