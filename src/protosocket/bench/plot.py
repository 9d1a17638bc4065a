"""The talk's report as a picture: throughput and latency of its systems side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from protosocket.bench.columns import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from matplotlib.axes import Axes

    from protosocket.bench.report import ColumnReport, TalkReport

__all__ = ["plot"]

# Greys for what was there before, one hue for protosocket: readable without colours too.
COLOURS = {
    "grpc-unary": "#a9b1bc",
    "grpc-stream": "#7d8794",
    "protosocket-backend": "#5fa8d3",
    "protosocket": "#1b6ca8",
}
INK, PALE = "#22272e", "#d9dde3"
PERCENTILES = (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
}


def plot(report: TalkReport, file: Path | BinaryIO) -> None:
    """Draw ``report`` into the PNG file ``file``."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.4), dpi=160, facecolor="white")
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.25)})
        _throughput(left, report.columns)
        _latency(right, report.columns)
        settings, machine = report.settings, report.machine
        title = "client → router → storage, three processes"
        figure.suptitle(title, x=0.02, y=0.975, ha="left", fontsize=14, weight="bold")
        figure.text(
            0.02,
            0.02,
            f"{settings.get_percent}% get, {settings.key_bytes} B keys, {settings.value_bytes} B values · "
            f"{machine.cpu}, {machine.cores} cores, {machine.python} · {report.date}, commit {report.commit}",
            fontsize=8,
            color="#6b7480",
        )
        figure.subplots_adjust(left=0.075, right=0.985, top=0.83, bottom=0.2, wspace=0.2)
        figure.savefig(file, format="png")


def _throughput(axes: Axes, columns: tuple[ColumnReport, ...]) -> None:
    values = [column.ops_per_second for column in columns]
    colours = [COLOURS[column.name] for column in columns]
    bars = axes.bar(range(len(columns)), values, color=colours, width=0.66)
    lowest = [max(0.0, column.ops_per_second - column.ops_per_second_spread[0]) for column in columns]
    highest = [max(0.0, column.ops_per_second_spread[1] - column.ops_per_second) for column in columns]
    axes.errorbar(range(len(columns)), values, (lowest, highest), fmt="none", ecolor=INK, capsize=4, lw=1)
    for bar, column in zip(bars, columns, strict=True):
        ratio = "" if column.ratio_to_grpc_unary is None else f"\n{column.ratio_to_grpc_unary:.1f} ×"
        axes.annotate(
            f"{column.ops_per_second:,.0f}{ratio}",
            (bar.get_x() + bar.get_width() / 2, column.ops_per_second_spread[1]),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            weight="bold",
            fontsize=9.5,
        )
    axes.set_yscale("log")
    axes.set_ylim(min(filter(None, values), default=1) / 3, max(values, default=1) * 4)
    axes.set_xticks(range(len(columns)), [_label(column) for column in columns], fontsize=8)
    _dress(axes, "operations per second (log scale)")


def _latency(axes: Axes, columns: tuple[ColumnReport, ...]) -> None:
    width = 0.8 / len(columns)
    tops = [0.1]
    bottoms = []
    for number, column in enumerate(columns):
        places = [group + (number - (len(columns) - 1) / 2) * width for group in range(len(PERCENTILES))]
        values = [getattr(column, name) for name, _ in PERCENTILES]
        tops += values
        bottoms += [value for value in values if value > 0]
        label = f"{_label(column, ' ')}, at {column.latency_rate:,.0f}/s"
        axes.bar(places, values, width=width * 0.92, color=COLOURS[column.name], label=label)
        for place, value in zip(places, values, strict=True):
            text = f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
            axes.annotate(
                text, (place, value), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8
            )
    axes.set_yscale("log")
    # Room above the bars for the legend.
    axes.set_ylim(min(bottoms, default=0.1) / 3, max(tops) * 30)
    axes.set_xticks(range(len(PERCENTILES)), [label for _, label in PERCENTILES], fontsize=9)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    _dress(axes, "latency from when a call was due, ms (log scale)")


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, pad=10)
    axes.yaxis.set_major_formatter(FuncFormatter(_number))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=PALE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _number(value: float, _: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _label(column: ColumnReport, separator: str = "\n") -> str:
    title = next((known.title for known in COLUMNS if known.name == column.name), column.name)
    return title.replace("\n", separator) if separator != "\n" else title.replace("client → ", "client →\n")
