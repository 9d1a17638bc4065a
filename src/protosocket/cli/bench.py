"""The program ``protosocket bench``: the talk's table, and workload files."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from protosocket.bench.processes import run_until_signalled
from protosocket.bench.workload import PROTOCOLS, load_workload
from protosocket.cli._parameters import CONNECTIONS, OUTPUT, FiniteRange
from protosocket.cli._standard import require_output, standard_output
from protosocket.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

__all__ = ["command"]


@click.group(name="bench")
def command() -> None:
    """Measure protosocket and its peers, with real processes on this machine."""


@command.command()
@click.option(
    "--seconds",
    type=FiniteRange(min=1),
    default=60.0,
    show_default=True,
    help="How long to measure, all columns and repeats together; starting the programs comes on top.",
)
@click.option("--json", "json_file", type=OUTPUT, help="Write the report here as JSON.")
@click.option("--markdown", "markdown_file", type=OUTPUT, help="Write the table here as Markdown.")
@click.option("--plot", "plot_file", type=OUTPUT, help="Draw the report here as PNG.")
@click.option("--connections", type=CONNECTIONS, default=1, show_default=True, help="For each hop.")
@click.option(
    "--column",
    "names",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    help="Measure only this system; can be given several times.",
)
def talk(
    seconds: float,
    json_file: Path | None,
    markdown_file: Path | None,
    plot_file: Path | None,
    connections: int,
    names: tuple[str, ...],
) -> None:
    """The talk's table, measured here: gRPC unary, gRPC streaming, protosocket behind and all the way.

    FILE may be - for standard output; what is printed goes to standard error then. The exit code is 1 if any
    call failed.
    """
    from protosocket.bench.columns import COLUMNS
    from protosocket.bench.report import TalkSettings, markdown, show
    from protosocket.bench.talk import run_talk

    if plot_file is not None:
        # What is missing must show before the measurement, not after it.
        import_module("protosocket.bench.plot")
    console = _console(json_file, markdown_file, plot_file)
    settings = TalkSettings(seconds=seconds, connections=connections)
    systems = [column for column in COLUMNS if not names or column.name in names]
    with _progress_bar() as progress:
        report = run_until_signalled(run_talk(settings, progress, systems))
    show(report, console)
    if json_file is not None:
        _write(json_file, report.to_json())
    if markdown_file is not None:
        _write(markdown_file, markdown(report).encode())
    if plot_file is not None:
        from protosocket.bench.plot import plot

        plot(report, standard_output() if _is_output(plot_file) else plot_file)
    if report.errors:
        sys.exit(1)


@command.command()
@click.argument("workload_file", metavar="WORKLOAD.toml", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "json_file", type=OUTPUT, help="Write the report here as JSON.")
def run(workload_file: Path, json_file: Path | None) -> None:
    """One workload file in rpc-perf's layout, on any transport.

    FILE may be - for standard output; what is printed goes to standard error then. The exit code is 1 if any
    call failed.
    """
    from protosocket.bench.run import run_workload, show_run

    try:
        workload = load_workload(workload_file)
    except OSError as error:
        raise OptionError(f"{workload_file}: {error.strerror}") from error
    console = _console(json_file)
    with _status() as progress:
        report = run_until_signalled(run_workload(workload, progress))
    show_run(report, console)
    if json_file is not None:
        _write(json_file, report.to_json())
    if report.result.errors:
        sys.exit(1)


def _console(*files: Path | None) -> Console:
    """Where the table goes: not among a report. Raises ``OptionError`` for files that cannot be written.

    It is for the time before the measurement, so that nothing is measured in vain.
    """
    from rich.console import Console

    given = [file for file in files if file is not None]
    to_output = [file for file in given if _is_output(file)]
    if len(to_output) > 1:
        raise OptionError("only one report can go to standard output")
    if to_output:
        require_output()
    for file in given:
        if not _is_output(file) and not file.parent.is_dir():
            raise OptionError(f"there is no folder {file.parent} to write {file.name} to")
    return Console(stderr=bool(to_output))


def _is_output(file: Path) -> bool:
    return str(file) == "-"


def _write(file: Path, content: bytes) -> None:
    if _is_output(file):
        standard_output().write(content)
    else:
        file.write_bytes(content)


@contextmanager
def _progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error, nothing where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda text, done: bar.update(task, description=text, completed=done)


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """A line on standard error, nothing where that is not a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update
