"""One workload file, run: against endpoints that are there, or a router and a storage started for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table
from rich.text import Text

from protosocket.bench.columns import COLUMNS, start_system
from protosocket.bench.driver import Endpoint
from protosocket.bench.generator import GeneratorGroup
from protosocket.bench.jobs import Closed, LoadResult, LoadSpec, Open, Prefill
from protosocket.bench.machine import Machine, commit, machine, versions
from protosocket.bench.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from protosocket.bench.workload import Workload

__all__ = ["RunReport", "run_workload", "show_run"]


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a workload gave, with the workload itself, every default written out."""

    machine: Machine
    commit: str
    date: str
    workload: dict[str, Any]
    result: LoadResult
    generator: dict[str, str]
    versions: dict[str, str]

    def to_json(self) -> bytes:
        """The report as JSON, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


async def run_workload(workload: Workload, progress: Callable[[str], None]) -> RunReport:
    """Run ``workload``; ``progress`` is told what is about to be done.

    Raises ProcessError if a program does not start, a generator cannot connect or the prefill fails;
    cancelling it ends all programs it started.
    """
    general, client = workload.general, workload.client
    async with Processes() as processes:
        spec = await _spec(workload, processes, progress)
        progress("connecting")
        load = await GeneratorGroup.start(processes, spec, client.threads)
        places = client.poolsize * client.concurrency * len(spec.endpoint.urls)
        if workload.workload.prefill:
            progress("setting every key once")
            await load.prefill(Prefill(concurrency=min(places, 256)))
        seconds, warmup = float(general.duration), float(general.warmup)
        progress(f"measuring for {general.duration} s after a warm-up of {general.warmup} s")
        # A call may take its whole timeout, and one more second to be told so.
        drain = client.request_timeout / 1e3 + 1
        ratelimit = workload.workload.ratelimit
        job: Open | Closed
        if ratelimit is None:
            job = Closed(
                concurrency=places,
                seconds=seconds,
                warmup=warmup,
                interval=float(general.interval),
                drain=drain,
            )
        else:
            job = Open(
                phases=tuple(ratelimit.phases(seconds, general.initial_seed)),
                warmup=warmup,
                spacing=ratelimit.arrival,
                in_flight=places,
                interval=float(general.interval),
                drain=drain,
            )
        result = await load.measure(job)
    return RunReport(
        machine=machine(),
        commit=commit(),
        date=datetime.now(UTC).date().isoformat(),
        workload=msgspec.to_builtins(workload),
        result=result,
        generator=load.settings,
        versions=versions(),
    )


async def _spec(workload: Workload, processes: Processes, progress: Callable[[str], None]) -> LoadSpec:
    general, client, target = workload.general, workload.client, workload.target
    column = next(column for column in COLUMNS if column.name == general.protocol)
    pids: dict[str, int] = {}
    if target.endpoints:
        scheme = column.front.schemes[0]
        urls = tuple(url if "://" in url else f"{scheme}://{url}" for url in target.endpoints)
        hops = {f"client-{url}": url for url in urls}
    else:
        progress("starting a router and a storage")
        system = await start_system(processes, column, client.poolsize)
        urls, pids, hops = (system.url,), system.pids, system.hops
    return LoadSpec(
        driver=column.front.name,
        endpoint=Endpoint(
            urls=urls,
            connections=client.poolsize,
            cache_name=target.cache_name,
            connect_timeout=client.connect_timeout / 1e3,
            request_timeout=client.request_timeout / 1e3,
        ),
        keyspaces=workload.workload.keyspace,
        seed=general.initial_seed,
        pids=pids,
        hops=hops,
    )


def show_run(report: RunReport, console: Console) -> None:
    """Print what the workload gave: each interval, then the whole."""
    result = report.result
    table = Table(header_style="bold")
    for title in ("seconds", "operations/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"):
        table.add_column(title, justify="right")
    rows = [(f"{one.start:g}", one.ops_per_second, one.latency) for one in result.intervals]
    for name, rate, latency in [*rows, ("all", result.ops_per_second, result.latency)]:
        table.add_row(
            name,
            f"{rate:,.0f}",
            *(
                f"{value:.3f}"
                for value in (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms)
            ),
            style="bold" if name == "all" else None,
        )
    console.print(table)
    for line in _summary(report):
        console.print(Text(line))
    if result.errors:
        kinds = ", ".join(f"{count:,} × {kind}" for kind, count in result.errors.items())
        console.print(Text(f"errors: {kinds}; first: {result.error_example or 'no text'}", style="bold red"))


def _summary(report: RunReport) -> list[str]:
    result = report.result
    operations = max(1, result.operations)
    lines = [f"{result.operations:,} operations, {result.error_count:,} errors, {result.misses:,} misses"]
    if result.offered is not None:
        lines[0] += f"; {result.offered:,} were due, {result.late:,} made more than 1 ms late"
    cpu = ", ".join(
        f"{name} {1e6 * seconds / operations:.1f}" for name, seconds in result.cost.cpu_seconds.items()
    )
    lines.append(f"CPU µs per operation: {cpu}")
    wire = ", ".join(f"{name} {count.total / operations:.1f}" for name, count in result.cost.wire.items())
    lines.append(f"bytes on the wire per operation: {wire}")
    machine = report.machine
    lines.append(
        f"{report.date}, commit {report.commit}: {machine.cpu}, {machine.cores} cores, {machine.kernel},"
        f" {machine.python}"
    )
    return lines
