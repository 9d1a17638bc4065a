"""``python -m benchmarks``: measure, and render the report of what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from benchmarks.catalogue import SYSTEMS
from benchmarks.plots import plot
from benchmarks.render import markdown, summary
from benchmarks.results import Report
from benchmarks.run import default_settings, run
from benchmarks.scale.commands import scale
from protosocket.bench.processes import run_until_signalled

RESULTS = Path(__file__).parent / "results"
NAMES = [system.name for system in SYSTEMS]


@click.group()
def main() -> None:
    """This project and its peers on the same cache-like call."""


@main.command("run")
@click.option("--seconds", default=720.0, show_default=True, help="Length of all measured windows.")
@click.option("--json", "path", type=click.Path(path_type=Path), default=RESULTS / "report.json")
@click.option(
    "--only", multiple=True, type=click.Choice(NAMES), help="Measure only these systems, on one hop."
)
@click.option("--repeats", type=click.IntRange(min=1), help="Of each point of the table.")
@click.option("--no-sweeps", is_flag=True, help="Only the table of one hop.")
def run_command(
    seconds: float, path: Path, only: tuple[str, ...], repeats: int | None, no_sweeps: bool
) -> None:
    """Measure, and write what was measured as JSON. The exit code is 1 if anything failed."""

    def progress(text: str, fraction: float) -> None:
        click.echo(f"{fraction:4.0%}  {text}", err=True)

    settings = default_settings(seconds)
    if repeats is not None:
        settings = msgspec.structs.replace(settings, repeats=repeats)
    if no_sweeps:
        settings = msgspec.structs.replace(settings, sizes=(), connections=(), offered_fractions=())
    if no_sweeps or only:
        settings = msgspec.structs.replace(settings, two_hops_concurrencies=())
    report = run_until_signalled(run(settings, progress, only))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(report.to_json())
    click.echo(summary(report))
    sys.exit(1 if report.error_count else 0)


@main.command("report")
@click.option("--json", "path", type=click.Path(path_type=Path, exists=True), default=RESULTS / "report.json")
def report_command(path: Path) -> None:
    """Render a JSON file: Markdown and pictures beside it."""
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    pictures = plot(report, path.parent, path.stem)
    target = path.with_suffix(".md")
    target.write_text(markdown(report, [picture.name for picture in pictures]))
    for written in (target, *pictures):
        click.echo(str(written))


main.add_command(scale)

if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
