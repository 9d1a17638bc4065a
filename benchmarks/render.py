"""The report as text: Markdown of a whole run, and a few lines for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Point, Report, SystemReport, TwoHops

__all__ = ["BASELINES", "markdown", "summary"]

BASELINES = (("grpc_unary", "× gRPC unary"), ("grpc_stream", "× gRPC stream"))
"""The systems others are compared with, and the column's title."""


def markdown(report: Report, pictures: Sequence[str] = ()) -> str:
    """The whole report; ``pictures`` are file names beside it."""
    sections = [
        _head(report),
        *(f"![{name.rpartition('.')[0]}]({name})" for name in pictures),
        _throughput(report),
        *(_details(report, concurrency) for concurrency in report.settings.concurrencies),
        _two_hops(report),
        _offered(report),
        _sizes(report),
        _connections(report),
        _errors(report),
        _absent(report),
        _tuning(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def summary(report: Report) -> str:
    """Operations per second with their ratios, for a terminal."""
    lines = []
    for concurrency in report.settings.concurrencies:
        lines.append(f"{concurrency} in flight:")
        for system in _measured(report):
            point = system.point(concurrency)
            if point is None:
                continue
            ratios = ", ".join(
                f"{ratio} {title}"
                for name, title in BASELINES
                if (ratio := _ratio(report, point, name)) != ""
            )
            lines.append(f"  {system.title:42} {point.ops_per_second:>10,.0f}/s  {ratios}")
    lines += [
        f"{system.title}: {system.state}: {system.reason}"
        for system in report.systems
        if system.state != "measured"
    ]
    if report.two_hops is not None:
        lines.extend(_two_hops(report).splitlines()[2:])
    lines.append(f"errors: {report.error_count:,}")
    return "\n".join(lines)


def _head(report: Report) -> str:
    machine, settings = report.machine, report.settings
    generator = ", ".join(f"{name} {value}" for name, value in report.generator.items())
    where = (
        f"{report.date}, commit `{report.commit}`; {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory_gib:g} GiB, {machine.kernel}, {machine.python}. "
        f"Load average before the run: {report.load_average[0]:.2f}."
    )
    how = (
        f"{settings.get_percent}% get, {100 - settings.get_percent}% set, {settings.key_bytes} B keys, "
        f"{settings.value_bytes} B values, {settings.keys:,} keys; one client process, one server "
        f"process, one connection unless said otherwise. {settings.repeats} interleaved repeats of each "
        f"point in {settings.seconds:g} s of measured windows; medians, with the lowest and the highest "
        f"in brackets. Load generator: {generator or 'none'}."
    )
    return f"# Benchmarks\n\n{where}\n\n{how}"


def _throughput(report: Report) -> str:
    concurrencies = report.settings.concurrencies
    ratio_at = concurrencies[len(concurrencies) // 2] if concurrencies else 0
    header = [
        "system",
        *(f"{concurrency} in flight" for concurrency in concurrencies),
        *(f"{title} at {ratio_at}" for _, title in BASELINES),
    ]
    rows = []
    for system in _measured(report):
        points = [system.point(concurrency) for concurrency in concurrencies]
        middle = system.point(ratio_at)
        rows.append(
            [
                _title(system),
                *(_rate(point) for point in points),
                *("" if middle is None else _ratio(report, middle, name) for name, _ in BASELINES),
            ]
        )
    return "## Operations per second\n\n" + _table(header, rows)


def _details(report: Report, concurrency: int) -> str:
    header = [
        "system",
        *("p50 ms", "p99 ms", "p99.9 ms", "client CPU µs/op", "server CPU µs/op"),
        *("client calls/op", "server calls/op", "wire B/op"),
    ]
    rows = []
    for system in _measured(report):
        point = system.point(concurrency)
        if point is None:
            continue
        calls = system.system_calls
        counted = calls is not None and calls.concurrency == concurrency
        rows.append(
            [
                _title(system),
                *(_number(value) for value in (point.p50_ms, point.p99_ms)),
                f"{_number(point.p999_ms)} [{'–'.join(map(_number, point.p999_ms_spread))}]",
                *(_number(value) for value in (point.client_cpu_us, point.server_cpu_us)),
                _number(calls.client) if calls is not None and counted else "",
                _number(calls.server) if calls is not None and counted else "",
                f"{point.wire_bytes:,.0f}",
            ]
        )
    text = f"## {concurrency} in flight: latency and cost of an operation\n\n" + _table(header, rows)
    reasons = {system.system_calls_reason for system in report.systems if system.system_calls_reason}
    return text + "".join(f"\n\nSystem calls were not counted: {reason}." for reason in sorted(reasons))


def _two_hops(report: Report) -> str:
    two_hops = report.two_hops
    if two_hops is None:
        return ""
    title = "## Two hops: client, router and storage\n\n"
    if two_hops.error is not None:
        return f"{title}Not measured: {two_hops.error}"
    header = ["system", "in flight", "operations/s", "× gRPC unary", "p50 ms", "p99.9 ms"]
    header += ["client CPU µs/op", "router CPU µs/op", "storage CPU µs/op", "errors"]
    rows = []
    for point in two_hops.points:
        low, high = point.ops_per_second_spread
        ratio = point.ops_per_second / _two_hops_baseline(two_hops, point.concurrency)
        rows.append(
            [
                point.system,
                f"{point.concurrency}",
                f"{point.ops_per_second:,.0f} [{low:,.0f}–{high:,.0f}]",
                f"{ratio:.1f}",
                *(_number(value) for value in (point.p50_ms, point.p999_ms)),
                *(_number(value) for value in point.cpu_us.values()),
                f"{point.errors:,}",
            ]
        )
    placed = (
        "\n\n`-placed`: the client on one processor, router and storage on another; the others: where the "
        "kernel puts them. × gRPC unary: the faster of its two."
    )
    text = title + _table(header, rows) + placed
    fixed = two_hops.fixed_rate
    if fixed is None:
        return text
    idle = ", ".join(_number(value) for value in fixed.idle_lateness_p999_ms)
    cost = ", ".join(f"{name} {_number(value)}" for name, value in fixed.cpu_us.items())
    spread = "–".join(map(_number, fixed.p999_ms_spread))
    return (
        f"{text}\n\nAll protosocket, {fixed.offered_per_second:,.0f} offered per second, random arrivals, "
        f"medians of {fixed.repeats} times {fixed.seconds:.0f} s: {fixed.answered_per_second:,.0f} answered "
        f"per second, p50 {_number(fixed.p50_ms)} ms, p99 {_number(fixed.p99_ms)} ms, "
        f"**p99.9 {_number(fixed.p999_ms)} ms** [{spread}], max {_number(fixed.max_ms)} ms, {fixed.late:,} "
        f"calls made late, {fixed.errors:,} errors; CPU µs/op: {cost}. A process that does nothing but wake "
        f"every 0.25 ms was late by {idle} ms at p99.9 on this machine before each."
    )


def _two_hops_baseline(two_hops: TwoHops, concurrency: int) -> float:
    return max(
        point.ops_per_second
        for point in two_hops.points
        if point.system.startswith("grpc-unary") and point.concurrency == concurrency
    )


def _offered(report: Report) -> str:
    if not report.offered:
        return ""
    header = ["system", "offered /s", "answered /s", "p50 ms", "p99 ms", "p99.9 ms", "late", "errors"]
    rows = [
        [
            _name(report, point.system),
            f"{point.offered_per_second:,.0f}",
            point.error or f"{point.answered_per_second:,.0f}",
            *(_number(value) for value in (point.p50_ms, point.p99_ms, point.p999_ms)),
            f"{point.late:,}",
            f"{point.errors:,}",
        ]
        for point in sorted(report.offered, key=lambda point: (point.system, point.offered_per_second))
    ]
    return (
        "## Latency against offered load\n\nAn open loop with random arrivals; latency counts from the "
        "moment a call was due. *Late*: made more than a millisecond after that, which is part of their "
        "latency.\n\n" + _table(header, rows)
    )


def _sizes(report: Report) -> str:
    if not report.sizes:
        return ""
    header = ["system", "value bytes", "operations/s", "client CPU µs/op", "server CPU µs/op", "errors"]
    rows = [
        [
            _name(report, point.system),
            f"{point.value_bytes:,}",
            point.error or f"{point.ops_per_second:,.0f}",
            _number(point.client_cpu_us),
            _number(point.server_cpu_us),
            f"{point.errors:,}",
        ]
        for point in sorted(report.sizes, key=lambda point: (point.system, point.value_bytes))
    ]
    return f"## Message size\n\n{report.settings.size_concurrency} in flight.\n\n" + _table(header, rows)


def _connections(report: Report) -> str:
    if not report.connections:
        return ""
    header = ["system", "in flight", "connections", "operations/s", "p99.9 ms"]
    header += ["client CPU µs/op", "server CPU µs/op"]
    header += ["client KiB/connection", "server KiB/connection", "errors"]
    rows = [
        [
            _name(report, point.system),
            point.calls,
            f"{point.connections:,}",
            point.error or f"{point.ops_per_second:,.0f}",
            *(_number(value) for value in (point.p999_ms, point.client_cpu_us, point.server_cpu_us)),
            *(
                "" if held is None else _number(held / 1024)
                for held in (point.client_bytes_a_connection, point.server_bytes_a_connection)
            ),
            f"{point.errors:,}",
        ]
        for point in sorted(
            report.connections,
            key=lambda point: (point.system, point.calls, point.connections),
        )
    ]
    return (
        f"## Connections\n\n*all*: {report.settings.connections_concurrency} in flight over all connections "
        f"in turn; *each*: {report.settings.connections_each} on every connection. Memory: what each further "
        "idle connection added to the resident set of the process.\n\n" + _table(header, rows)
    )


def _errors(report: Report) -> str:
    rows = [
        [
            _title(system),
            str(point.concurrency),
            ", ".join(f"{count:,} × {kind}" for kind, count in point.errors.items()),
            point.error_example or "",
        ]
        for system in report.systems
        for point in system.points
        if point.errors
    ]
    if not rows:
        return "## Errors\n\nNo call of the table failed, was answered wrongly or stayed unanswered."
    return "## Errors\n\nNone of these calls is in any figure above.\n\n" + _table(
        ["system", "in flight", "errors", "the first"], rows
    )


def _absent(report: Report) -> str:
    rows = [
        [_title(system), system.state, system.reason or ""]
        for system in report.systems
        if system.state != "measured"
    ]
    return "## Not measured\n\n" + _table(["system", "", "why"], rows) if rows else ""


def _tuning(report: Report) -> str:
    lines = []
    for system in report.systems:
        versions = ", ".join(f"{name} {version}" for name, version in system.versions.items())
        lines.append(f"* **{system.title}** ({versions or 'no packages'}): {system.tuning}")
    return "## Versions and tuning\n\n" + "\n".join(lines)


def _measured(report: Report) -> Iterator[SystemReport]:
    return (system for system in report.systems if system.state == "measured")


def _ratio(report: Report, point: Point, name: str) -> str:
    base = next((system.point(point.concurrency) for system in report.systems if system.name == name), None)
    if base is None or base.ops_per_second <= 0:
        return ""
    return f"{point.ops_per_second / base.ops_per_second:.1f}"


def _rate(point: Point | None) -> str:
    if point is None:
        return ""
    low, high = point.ops_per_second_spread
    mark = " (errors)" if point.errors else ""
    return f"{point.ops_per_second:,.0f} [{low:,.0f}–{high:,.0f}]{mark}"


def _title(system: SystemReport) -> str:
    return system.title if system.multiplexed else f"{system.title} ᶜ"


def _name(report: Report, name: str) -> str:
    return next((system.title for system in report.systems if system.name == name), name)


def _number(value: float) -> str:
    """Three digits, or all those before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|---|" + "--:|" * (len(header) - 1)]
    lines += [f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |" for row in rows]
    text = "\n".join(lines)
    return text + "\n\nᶜ One connection for each call in flight." if "ᶜ" in text else text
