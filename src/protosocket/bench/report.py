"""The talk's report: its JSON form, and the table for a terminal or a Markdown file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from protosocket.bench.columns import COLUMNS
from protosocket.bench.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

__all__ = ["ColumnReport", "FixedRate", "Spread", "TalkReport", "TalkSettings", "markdown", "show"]

Spread = tuple[float, float]
"""The smallest and the largest of the repeats."""


class TalkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the talk's benchmark is run; ``seconds`` is the length of all measured windows with their warm-ups.

    ``request_timeout`` is None, in all columns: a call waits for as long as its connection lives.
    """

    seconds: float = 60.0
    repeats: int = 3
    concurrencies: tuple[int, ...] = (64, 256)
    latency_fraction: float = 0.7
    fixed_rate: int = 70_000
    get_percent: int = 80
    key_bytes: int = 32
    value_bytes: int = 128
    keys: int = 2_000
    connections: int = 1
    request_timeout: float | None = None
    seed: str = "0"


class FixedRate(msgspec.Struct, frozen=True, kw_only=True):
    """Latency at a rate that is the same in every run."""

    offered_per_second: float
    answered_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: int


class ColumnReport(msgspec.Struct, frozen=True, kw_only=True):
    """One system. All figures but ``errors`` are medians of the repeats; ``..._spread`` are their extremes.

    ``ops_per_second``, processor time (user and system) and wire bytes are those of the closed loop at
    ``concurrency`` calls in flight; the percentiles those of the open loop at ``latency_rate``, from the
    moment each call was due. ``wire_bytes_per_op`` is TCP payload in both directions of both hops. ``errors``
    counts every call of all measured windows that failed or was answered wrongly, misses too, since every key
    is there.
    """

    name: str
    ops_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: int
    client_cpu_us_per_op: float
    router_cpu_us_per_op: float
    storage_cpu_us_per_op: float
    wire_bytes_per_op: float
    ratio_to_grpc_unary: float | None
    concurrency: int
    ops_per_second_spread: Spread
    p50_ms_spread: Spread
    p99_ms_spread: Spread
    p999_ms_spread: Spread
    latency_rate: float
    latency_answered_per_second: float
    late: int
    client_router_wire_bytes_per_op: float
    router_storage_wire_bytes_per_op: float
    error_kinds: dict[str, int]
    error_example: str | None
    fixed_rate: FixedRate | None


class TalkReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report, with what is needed to run it again."""

    machine: Machine
    commit: str
    columns: tuple[ColumnReport, ...]
    date: str
    settings: TalkSettings
    generator: dict[str, str]
    versions: dict[str, str]

    @property
    def errors(self) -> int:
        """The errors of all columns."""
        return sum(column.errors for column in self.columns)

    def to_json(self) -> bytes:
        """The report as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _milliseconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _microseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ×"


ROWS: tuple[tuple[str, Callable[[ColumnReport], str]], ...] = (
    ("operations/s", lambda c: _thousands(c.ops_per_second)),
    ("  lowest – highest", lambda c: " – ".join(map(_thousands, c.ops_per_second_spread))),
    ("  to gRPC unary", lambda c: _ratio(c.ratio_to_grpc_unary)),
    ("  calls in flight", lambda c: str(c.concurrency)),
    ("latency at, per s", lambda c: _thousands(c.latency_rate)),
    ("  p50 ms", lambda c: _milliseconds(c.p50_ms)),
    ("  p99 ms", lambda c: _milliseconds(c.p99_ms)),
    ("  p99.9 ms", lambda c: _milliseconds(c.p999_ms)),
    ("client CPU µs/op", lambda c: _microseconds(c.client_cpu_us_per_op)),
    ("router CPU µs/op", lambda c: _microseconds(c.router_cpu_us_per_op)),
    ("storage CPU µs/op", lambda c: _microseconds(c.storage_cpu_us_per_op)),
    ("wire bytes/op", lambda c: _thousands(c.wire_bytes_per_op)),
    ("errors", lambda c: str(c.errors)),
)


def _title(column: ColumnReport) -> str:
    return next((known.title for known in COLUMNS if known.name == column.name), column.name)


def conditions(report: TalkReport) -> list[str]:
    """What the figures hold for, in sentences."""
    machine, settings = report.machine, report.settings
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    connections = f"{settings.connections} connection{'s' if settings.connections > 1 else ''} a hop"
    lines = [
        (
            f"{report.date}, commit {report.commit}: {machine.cpu}, {machine.cores} cores, {machine.kernel},"
            f" {machine.python}; {versions}; loop {report.generator.get('loop', '?')}."
        ),
        (
            f"{settings.get_percent}% get, {100 - settings.get_percent}% set, {settings.key_bytes} B keys,"
            f" {settings.value_bytes} B values, {settings.keys:,} keys; client, router and one storage as"
            f" processes on this machine, {connections}."
        ),
        (
            f"Throughput: closed loop, the best of {' and '.join(map(str, settings.concurrencies))} calls in"
            f" flight. Latency: open loop at {settings.latency_fraction:.0%} of that, from when each call was"
            f" due. Medians of {settings.repeats} interleaved repeats, {settings.seconds:g} s in all."
        ),
    ]
    for column in report.columns:
        at = column.fixed_rate
        if at is not None:
            lines.append(
                f"{column.name} at {_thousands(at.offered_per_second)} operations per second offered:"
                f" {_thousands(at.answered_per_second)} answered, p50 {_milliseconds(at.p50_ms)},"
                f" p99 {_milliseconds(at.p99_ms)}, p99.9 {_milliseconds(at.p999_ms)} ms, {at.errors} errors."
            )
        if column.error_kinds:
            kinds = ", ".join(f"{count} × {kind}" for kind, count in column.error_kinds.items())
            example = f" (first: {column.error_example})" if column.error_example else ""
            lines.append(f"Errors of {column.name}: {kinds}{example}.")
    return lines


def show(report: TalkReport, console: Console) -> None:
    """Print the table and what it holds for."""
    table = Table(header_style="bold")
    table.add_column("", no_wrap=True)
    for column in report.columns:
        table.add_column(_title(column), justify="right")
    for label, value in ROWS:
        style = "bold" if not label.startswith(" ") else ""
        cells = [value(column) for column in report.columns]
        if label == "errors":
            cells = [cell if cell == "0" else f"[bold red]{cell}[/]" for cell in cells]
        table.add_row(Text(label, style=style), *cells)
    console.print(table)
    for line in conditions(report):
        console.print(Text(line, style="dim"))


def markdown(report: TalkReport) -> str:
    """The same table in Markdown."""
    titles = [_title(column).replace("\n", " ") for column in report.columns]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "--:|" * len(titles)]
    for label, value in ROWS:
        lines.append(f"| {label.strip()} | " + " | ".join(map(value, report.columns)) + " |")
    return "\n".join([*lines, "", *conditions(report), ""])
