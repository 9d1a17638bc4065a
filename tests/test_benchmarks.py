"""The benchmark against peers: every driver that is installed moves messages, and the report renders."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from benchmarks.catalogue import SYSTEMS, System
from benchmarks.plots import plot
from benchmarks.render import markdown, summary
from benchmarks.results import OfferedPoint, Point, Report, Settings, SystemReport
from benchmarks.run import default_settings, run
from benchmarks.running import Programs, start_system
from benchmarks.steps import closed

from protosocket.bench.machine import Machine

MACHINE = Machine(cpu="a cpu", cores=2, memory_gib=1.0, kernel="a kernel", python="a python")
SHORT = Settings(seconds=1.0, repeats=1, concurrencies=(1, 8), keys=64)


def silent(_text: str, _fraction: float) -> None:
    """Nobody watches."""


PEERS = [
    pytest.param(system, id=system.name, marks=[pytest.mark.slow] if system.kind == "peer" else [])
    for system in SYSTEMS
]


@pytest.mark.parametrize("system", PEERS)
async def test_system_moves_messages(system: System) -> None:
    """A real server, a real load generator, every answer right."""
    reason = system.missing()
    if reason is not None:
        pytest.skip(reason)
    async with Programs() as processes:
        running = await start_system(processes, system, SHORT)
        result = await running.measure(closed(8, 0.25))
    assert result.errors == {}
    assert result.misses == 0
    assert result.operations > 10
    assert result.cost.cpu_seconds["client"] > 0
    assert result.cost.cpu_seconds["server"] > 0
    keys_and_values = 32 + 128
    assert result.cost.wire["client-server"].total / result.operations > 0.8 * keys_and_values


async def test_run_and_report(tmp_path: Path) -> None:
    """A whole run of two systems with each sweep, through JSON, to text and pictures."""
    settings = msgspec.structs.replace(
        SHORT,
        sizes=(16,),
        connections=(1, 3, 5),
        offered_fractions=(0.2,),
        connections_concurrency=8,
        connections_each=4,
        connections_each_most=3,
        two_hops_concurrencies=(4,),
        fixed_rate=200.0,
    )
    report = await run(settings, silent, names=("protosocket_native", "echo"))
    assert report.error_count == 0
    assert [system.state for system in report.systems] == ["measured", "measured"]
    assert [point.concurrency for point in report.systems[0].points] == [1, 8]
    assert len(report.offered) == len(report.sizes) == 1
    loads = [(point.connections, point.calls, point.in_flight) for point in report.connections]
    assert loads == [(1, "all", 8), (1, "each", 4), (3, "all", 8), (3, "each", 12), (5, "all", 8)]
    assert [point.server_bytes_a_connection is None for point in report.connections] == [
        point.calls == "each" for point in report.connections
    ]

    assert report.two_hops is not None
    assert [point.system for point in report.two_hops.points] == [
        "grpc-unary",
        "grpc-unary-placed",
        "protosocket",
        "protosocket-placed",
    ]
    fixed = report.two_hops.fixed_rate
    assert fixed is not None
    assert fixed.offered_per_second == pytest.approx(200.0, rel=0.9)
    assert len(fixed.idle_lateness_p999_ms) == fixed.repeats == SHORT.repeats
    assert min(fixed.idle_lateness_p999_ms) > 0
    low, high = fixed.p999_ms_spread
    assert low <= fixed.p999_ms <= high

    again = msgspec.json.decode(report.to_json(), type=Report)
    assert again == report
    pictures = plot(again, tmp_path, "report")
    assert [picture.name for picture in pictures] == [
        f"report-{name}.png" for name in ("throughput", "offered", "sizes", "connections")
    ]
    text = markdown(again, [picture.name for picture in pictures])
    for part in (
        "## Operations per second",
        "## Two hops",
        "## Connections",
        "## Message size",
        again.commit,
    ):
        assert part in text
    assert "protosocket, native protobuf" in summary(again)


def report_of(*systems: SystemReport) -> Report:
    """A report of made-up figures."""
    template = Point(
        concurrency=1,
        repeats=1,
        operations=100,
        ops_per_second=100.0,
        ops_per_second_spread=(90.0, 110.0),
        p50_ms=1.0,
        p99_ms=2.0,
        p999_ms=3.0,
        p999_ms_spread=(3.0, 3.0),
        client_cpu_us=10.0,
        server_cpu_us=10.0,
        wire_bytes=200.0,
        errors={},
    )
    measured = tuple(
        msgspec.structs.replace(system, points=(template,))
        if system.state == "measured" and not system.points
        else system
        for system in systems
    )
    return Report(
        date="2026-01-01T00:00+00:00",
        commit="0123456789ab",
        machine=MACHINE,
        load_average=(0.0, 0.0, 0.0),
        settings=msgspec.structs.replace(SHORT, concurrencies=(1,)),
        generator={},
        systems=measured,
    )


def system_report(name: str, state: str = "measured", **more: object) -> SystemReport:
    """One system of a made-up report."""
    fields = {
        "name": name,
        "title": name.title(),
        "kind": "peer",
        "tuning": "",
        "versions": {},
        "state": state,
    }
    return msgspec.convert(fields | more, SystemReport)


def test_what_was_not_measured_is_named() -> None:
    """A missing package or a failure is in the report with its reason, and only a failure is an error."""
    skipped = system_report("redis", "skipped", reason="no program redis-server on the PATH")
    report = report_of(system_report("echo"), skipped)
    assert "no program redis-server on the PATH" in markdown(report)
    assert "no program redis-server on the PATH" in summary(report)
    assert report.error_count == 0
    assert report_of(system_report("echo", "failed", reason="it broke")).error_count == 1


def test_errors_are_counted_and_shown() -> None:
    """A point with errors says so beside its figure, and what they were."""
    good = report_of(system_report("echo"))
    point = msgspec.structs.replace(
        good.systems[0].points[0], errors={"unanswered": 3}, error_example="ConnectionResetError: gone"
    )
    report = report_of(msgspec.structs.replace(good.systems[0], points=(point,)))
    assert report.error_count == 3
    text = markdown(report)
    assert "(errors)" in text
    assert "3 × unanswered" in text


def test_calls_beyond_what_a_peer_can_are_no_errors() -> None:
    """They are in its row; those of this project's systems and what cannot be measured count."""
    base = report_of(system_report("peer"), system_report("ours", kind="ours"))

    def errors(system: str, error: str | None = None) -> int:
        point = OfferedPoint(system=system, offered_per_second=10.0, errors=3, error=error)
        return msgspec.structs.replace(base, offered=(point,)).error_count

    assert (errors("peer"), errors("ours"), errors("peer", "it broke")) == (0, 3, 1)


def test_ratios_are_to_grpc() -> None:
    """Every system's rate over that of gRPC unary at the same concurrency."""
    base = report_of(system_report("grpc_unary"), system_report("ours"))
    faster = msgspec.structs.replace(base.systems[1].points[0], ops_per_second=2_345.0)
    report = report_of(base.systems[0], msgspec.structs.replace(base.systems[1], points=(faster,)))
    assert "23.4 × gRPC unary" in summary(report)


def test_short_runs_have_fewer_points() -> None:
    """The sweeps shrink with the time; the table does not."""
    short, whole = default_settings(60), default_settings(600)
    assert short.concurrencies == whole.concurrencies == (1, 64, 256)
    assert short.repeats == whole.repeats
    assert len(short.sizes) < len(whole.sizes)
    assert whole.sizes[0] == 16
    assert whole.sizes[-1] == 2**20
    assert whole.connections[-1] == 10_000


def test_every_system_says_how_it_was_tuned() -> None:
    """The report quotes each file's docstring; names are unique."""
    assert all(system.tuning() for system in SYSTEMS)
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
