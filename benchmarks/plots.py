"""The report as pictures: throughput, latency against offered load, CPU against size and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.results import Report

__all__ = ["plot"]

COLOURS = {"ours": "#1b6ca8", "peer": "#a9b1bc", "floor": "#d8c48f"}
LINES = ("#1b6ca8", "#d17b29", "#7d8794", "#5fa8d3", "#3c8d5a", "#9b4d8b")
INK, PALE = "#22272e", "#d9dde3"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
}


def plot(report: Report, folder: Path, stem: str) -> list[Path]:
    """Draw what the report holds into PNG files in ``folder`` whose names begin with ``stem``."""
    written = []
    pictures: list[tuple[str, bool, tuple[float, float], Callable[[Axes, Report], None]]] = [
        ("throughput", True, (10, 0.34 * max(4, len(report.systems)) + 1.6), _throughput),
        ("offered", bool(report.offered), (8, 5), _offered),
        ("sizes", bool(report.sizes), (8, 5), _sizes),
        ("connections", bool(report.connections), (8, 5), _connections),
    ]
    for name, there, size, draw in pictures:
        if not there:
            continue
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")
            draw(figure.subplots(), report)
            machine = report.machine
            figure.supxlabel(
                f"{machine.cpu}, {machine.cores} cores, {machine.python} · {report.date}, "
                f"commit {report.commit}",
                fontsize=7,
                color="#6b7480",
            )
            path = folder / f"{stem}-{name}.png"
            figure.savefig(path, format="png")
        written.append(path)
    return written


def _throughput(axes: Axes, report: Report) -> None:
    at = max(report.settings.concurrencies)
    rows = [(system, system.point(at)) for system in report.systems if system.state == "measured"]
    bars = [(system, point) for system, point in rows if point is not None]
    bars.sort(key=lambda row: row[1].ops_per_second)
    values = [point.ops_per_second for _, point in bars]
    low = [max(0.0, point.ops_per_second - point.ops_per_second_spread[0]) for _, point in bars]
    high = [max(0.0, point.ops_per_second_spread[1] - point.ops_per_second) for _, point in bars]
    axes.barh(range(len(bars)), values, color=[COLOURS[system.kind] for system, _ in bars], height=0.7)
    axes.errorbar(values, range(len(bars)), xerr=(low, high), fmt="none", ecolor=INK, capsize=3, lw=1)
    for place, (_, point) in enumerate(bars):
        axes.annotate(
            f"{point.ops_per_second:,.0f}",
            (point.ops_per_second_spread[1], place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(bars)), [system.title for system, _ in bars], fontsize=8.5)
    axes.set_xlim(0, max(values, default=1) * 1.2)
    axes.xaxis.set_major_formatter(FuncFormatter(_number))
    _dress(axes, f"operations per second, {at} in flight", "x")


def _offered(axes: Axes, report: Report) -> None:
    for number, name in enumerate(_names([point.system for point in report.offered])):
        points = sorted(
            (point for point in report.offered if point.system == name and point.error is None),
            key=lambda point: point.offered_per_second,
        )
        rates = [point.offered_per_second for point in points]
        colour = LINES[number % len(LINES)]
        for percentile, style in (("p50_ms", ":"), ("p999_ms", "-")):
            values = [getattr(point, percentile) for point in points]
            label = f"{_title(report, name)}, {'p50' if percentile == 'p50_ms' else 'p99.9'}"
            axes.plot(rates, values, style, marker="o", ms=3, color=colour, label=label)
    _logarithmic(axes, "offered operations per second")
    _dress(axes, "latency from when a call was due, ms", "both")


def _sizes(axes: Axes, report: Report) -> None:
    for number, name in enumerate(_names([point.system for point in report.sizes])):
        points = sorted(
            (point for point in report.sizes if point.system == name and point.error is None),
            key=lambda point: point.value_bytes,
        )
        _cpu_line(
            axes,
            [point.value_bytes for point in points],
            [point.client_cpu_us + point.server_cpu_us for point in points],
            number,
            _title(report, name),
        )
    _logarithmic(axes, "bytes of a value")
    _dress(axes, "CPU µs per operation, both sides", "both")


def _connections(axes: Axes, report: Report) -> None:
    for number, name in enumerate(_names([point.system for point in report.connections])):
        for calls, style, note in (("all", "-", ""), ("each", ":", ", calls on each")):
            points = sorted(
                (
                    point
                    for point in report.connections
                    if (point.system, point.calls) == (name, calls) and point.error is None
                ),
                key=lambda point: point.connections,
            )
            if points:
                _cpu_line(
                    axes,
                    [point.connections for point in points],
                    [point.client_cpu_us + point.server_cpu_us for point in points],
                    number,
                    _title(report, name) + note,
                    style,
                )
    _logarithmic(axes, "connections")
    _dress(axes, "CPU µs per operation, both sides", "both")


def _cpu_line(
    axes: Axes, x: Sequence[float], y: Sequence[float], number: int, label: str, style: str = "-"
) -> None:
    axes.plot(x, y, style, marker="o", ms=3, color=LINES[number % len(LINES)], label=label)


def _logarithmic(axes: Axes, label: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label, fontsize=9)
    axes.xaxis.set_major_formatter(FuncFormatter(_number))
    axes.yaxis.set_major_formatter(FuncFormatter(_number))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, fontsize=8)


def _dress(axes: Axes, title: str, grid: Any) -> None:
    axes.set_title(title, loc="left", fontsize=10, pad=10)
    axes.grid(axis=grid, color=PALE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _names(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _title(report: Report, name: str) -> str:
    return next((system.title for system in report.systems if system.name == name), name)


def _number(value: float, _: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
