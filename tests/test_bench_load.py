"""The load generator against a real server: closed and open loops, errors, coordinated omission, clean-up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from protosocket.bench.driver import Endpoint, find_driver
from protosocket.bench.generator import GeneratorGroup, share
from protosocket.bench.jobs import Closed, LoadResult, LoadSpec, Open, Prefill
from protosocket.bench.processes import Child, ProcessError, Processes
from protosocket.bench.workload import Command, Keyspace
from protosocket.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORKLOADS = Path(__file__).parent / "workloads"
KEYSPACES = (
    Keyspace(
        klen=32,
        nkeys=500,
        vlen=128,
        commands=(Command(verb="get", weight=80), Command(verb="set", weight=20)),
    ),
)


@pytest.fixture
async def processes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Processes]:
    monkeypatch.setenv("PYTHONPATH", str(WORKLOADS))
    async with Processes() as running:
        yield running


async def line_server(processes: Processes, *options: str) -> Child:
    server = await processes.start("line server", str(WORKLOADS / "line_server.py"), *options)
    await server.wait_listening(20.0)
    return server


async def generator(
    processes: Processes, server: Child, count: int = 1, keyspaces: tuple[Keyspace, ...] = KEYSPACES
) -> GeneratorGroup:
    spec = LoadSpec(
        driver="line_driver:LineDriver",
        endpoint=Endpoint(urls=(server.url,), connections=count),
        keyspaces=keyspaces,
        pids={"server": server.pid},
        hops={"client-server": server.url},
    )
    return await GeneratorGroup.start(processes, spec, count)


async def test_a_closed_loop_counts_what_was_answered_in_the_window(processes: Processes) -> None:
    server = await line_server(processes)
    load = await generator(processes, server)
    await load.prefill(Prefill())
    result = await load.measure(Closed(concurrency=8, seconds=0.4, warmup=0.1, interval=0.2))
    assert result.errors == {}
    assert result.misses == 0
    assert result.operations > 100
    assert result.ops_per_second == pytest.approx(result.operations / result.seconds)
    latency = result.latency
    assert 0 < latency.p50_ms <= latency.p99_ms <= latency.p999_ms <= latency.max_ms * 1.001
    # Little's law: calls in flight = throughput x mean latency.
    assert result.ops_per_second * latency.mean_ms / 1e3 == pytest.approx(8, rel=0.1)
    assert len(result.intervals) in (
        2,
        3,
    )  # a window that is a little longer than asked for has a short last slice
    assert 0 < result.cost.cpu_seconds["client"] < 1
    assert 0 < result.cost.cpu_seconds["server"] < 1
    # 80% gets and 20% sets of 128 bytes in hex, one of them in either direction.
    assert result.cost.wire["client-server"].total / result.operations == pytest.approx(300, rel=0.05)
    assert load.settings["gc"].startswith("frozen")


async def test_an_open_loop_offers_its_rate(processes: Processes) -> None:
    load = await generator(processes, await line_server(processes))
    await load.prefill(Prefill())
    result = await load.measure(Open(phases=((0.3, 1000.0), (0.3, 3000.0)), warmup=0.1, spacing="fixed"))
    assert result.errors == {}
    assert result.offered == result.operations == 300 + 900
    assert result.ops_per_second == pytest.approx(2000, rel=0.1)
    assert result.start_delay is not None


async def test_a_stall_is_seen_by_every_request_that_was_due_in_it(processes: Processes) -> None:
    """Coordinated omission: a closed loop of one sees one slow call, an open loop a quarter of them."""
    stall, seconds, rate = 0.2, 0.8, 1000.0
    keyspace = Keyspace(klen=8, nkeys=10, vlen=8, commands=(Command(verb="get"),))
    outcomes: dict[str, LoadResult] = {}
    for name, job in (
        ("closed", Closed(concurrency=1, seconds=seconds)),
        ("open", Open(phases=((seconds, rate),), spacing="fixed")),
    ):
        server = await line_server(processes, "--stall", str(stall), "--after", "300")
        load = await generator(processes, server, keyspaces=(keyspace,))
        await load.prefill(Prefill())
        outcomes[name] = await load.measure(job)
        assert outcomes[name].errors == {}
    assert outcomes["open"].offered == outcomes["open"].operations == int(seconds * rate)
    assert outcomes["open"].latency.p999_ms > 0.9 * stall * 1e3
    assert outcomes["open"].latency.p90_ms > 0.25 * stall * 1e3
    assert outcomes["closed"].latency.p99_ms < 0.25 * stall * 1e3
    assert outcomes["closed"].latency.max_ms > 0.9 * stall * 1e3


async def test_what_waits_for_a_free_place_is_late_and_not_left_out(processes: Processes) -> None:
    server = await line_server(processes, "--stall", "0.1", "--after", "1")
    load = await generator(processes, server)
    await load.prefill(Prefill())
    result = await load.measure(Open(phases=((0.3, 1000.0),), spacing="fixed", in_flight=1))
    assert result.offered == result.operations == 300
    assert result.late is not None
    assert result.late >= 80
    assert result.start_delay is not None
    assert result.start_delay.max_ms > 80


@pytest.mark.parametrize("job", [Closed(concurrency=4, seconds=0.3), Open(phases=((0.3, 3000.0),))])
async def test_failed_and_wrong_answers_are_errors_and_no_results(
    processes: Processes, job: Closed | Open
) -> None:
    load = await generator(
        processes, await line_server(processes, "--fail-every", "10", "--truncate-every", "8")
    )
    await load.prefill(Prefill())
    result = await load.measure(job)
    assert set(result.errors) == {"RuntimeError", "wrong length"}
    # A tenth, and an eighth less every fifth of it, of the gets, which are four fifths of all.
    everything = result.operations + result.error_count
    assert result.errors["RuntimeError"] / everything == pytest.approx(0.08, abs=0.02)
    assert result.errors["wrong length"] / everything == pytest.approx(0.08, abs=0.02)
    if result.offered is not None:
        assert result.offered == everything
    assert result.error_example == "RuntimeError: refused"


async def test_a_get_that_finds_nothing_is_a_miss(processes: Processes) -> None:
    keyspace = Keyspace(klen=8, nkeys=10, vlen=8, commands=(Command(verb="get"),))
    load = await generator(processes, await line_server(processes), keyspaces=(keyspace,))
    result = await load.measure(Closed(concurrency=2, seconds=0.1))
    assert result.errors == {}
    assert result.misses == result.operations > 0


@pytest.mark.parametrize(
    "job",
    [Closed(concurrency=4, seconds=0.1, drain=0.1), Open(phases=((0.1, 500.0),), drain=0.1, in_flight=8)],
)
async def test_calls_without_an_answer_are_errors(processes: Processes, job: Closed | Open) -> None:
    load = await generator(processes, await line_server(processes, "--mute"))
    result = await load.measure(job)
    assert result.operations == 0
    assert result.errors == {"unanswered": 4 if isinstance(job, Closed) else result.offered}
    assert result.latency.p999_ms == 0


async def test_a_server_that_dies_shows_as_errors_and_does_not_stop_the_run(processes: Processes) -> None:
    server = await line_server(processes)
    load = await generator(processes, server)
    await load.prefill(Prefill())
    spec = LoadSpec(
        driver="line_driver:LineDriver", endpoint=Endpoint(urls=(server.url,)), keyspaces=KEYSPACES
    )
    unwatched = await GeneratorGroup.start(processes, spec)
    await server.stop()
    result = await unwatched.measure(Closed(concurrency=2, seconds=0.1))
    assert result.operations == 0
    assert set(result.errors) == {"ConnectionResetError"}
    with pytest.raises(ProcessError, match="NoSuchProcess"):
        await load.measure(Closed(concurrency=2, seconds=0.1))


async def test_processes_share_a_run(processes: Processes) -> None:
    load = await generator(processes, await line_server(processes), count=2)
    await load.prefill(Prefill())
    result = await load.measure(Open(phases=((0.2, 2000.0),), spacing="fixed", interval=0.1))
    assert result.offered == result.operations == 400
    assert result.misses == 0
    assert sum(one.ops_per_second for one in result.intervals) == pytest.approx(4000, rel=0.05)
    closed = await load.measure(Closed(concurrency=6, seconds=0.2))
    # Little's law; six calls in each process would be twelve. On a busy machine the two windows differ.
    assert closed.ops_per_second * closed.latency.mean_ms / 1e3 == pytest.approx(6, rel=0.4)
    assert share(7, 3) == [3, 2, 2]


async def test_a_generator_that_cannot_connect_says_why(processes: Processes) -> None:
    server = await line_server(processes)
    url = server.url
    await server.stop()
    spec = LoadSpec(driver="line_driver:LineDriver", endpoint=Endpoint(urls=(url,)), keyspaces=KEYSPACES)
    with pytest.raises(ProcessError, match="Connect"):
        await GeneratorGroup.start(processes, spec)
    with pytest.raises(ProcessError, match="no driver 'nothing'"):
        await GeneratorGroup.start(
            processes, LoadSpec(driver="nothing", endpoint=Endpoint(urls=(url,)), keyspaces=KEYSPACES)
        )


def test_drivers_are_found_by_name() -> None:
    with pytest.raises(OptionError, match="'module:name'"):
        find_driver("nothing")
    with pytest.raises(OptionError, match="no driver"):
        find_driver("json:nothing")


async def test_a_program_that_fails_shows_what_it_wrote(processes: Processes) -> None:
    child = await processes.start("sick", "-c", "raise SystemExit('out of cheese')")
    with pytest.raises(ProcessError, match=r"sick ended with code 1; it wrote:\nout of cheese"):
        await child.wait_listening(20.0)
    slow = await processes.start(
        "slow", "-c", "import sys, time; print('thinking', file=sys.stderr, flush=True); time.sleep(60)"
    )
    with pytest.raises(ProcessError, match=r"slow did not listen within 0\.5 s"):
        await slow.wait_listening(0.5)


async def test_children_end_with_their_block_even_if_they_refuse() -> None:
    stubborn = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('listening on x', flush=True)
time.sleep(60)
"""
    children = []

    async def fail() -> None:
        async with Processes(grace=0.2) as running:
            children.append(await running.start("polite", "-c", "import time; time.sleep(60)"))
            children.append(await running.start("stubborn", "-c", stubborn))
            await children[1].wait_listening(20.0)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert not any(psutil.pid_exists(child.pid) for child in children)


async def test_children_run_on_the_processors_they_are_given() -> None:
    mine = os.sched_getaffinity(0)
    async with Processes() as running:
        anywhere = await running.start("anywhere", "-c", "import time; time.sleep(60)")
        placed = await running.start("placed", "-c", "import time; time.sleep(60)", processors={max(mine)})
        assert os.sched_getaffinity(anywhere.pid) == mine
        assert os.sched_getaffinity(placed.pid) == {max(mine)}
        with pytest.raises(ProcessError, match="nowhere cannot run on processors \\[1023\\]"):
            await running.start("nowhere", "-c", "import time; time.sleep(60)", processors={1023})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_children_too(number: signal.Signals) -> None:
    program = """
import asyncio
from protosocket.bench.processes import Processes, run_until_signalled
async def main():
    async with Processes() as processes:
        child = await processes.start("child", "-c", "import time; time.sleep(60)")
        print(child.pid, flush=True)
        await asyncio.Event().wait()
try:
    run_until_signalled(main())
except KeyboardInterrupt:
    raise SystemExit(7)
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    os.kill(parent.pid, number)
    assert await parent.wait() == 7
    assert not psutil.pid_exists(child)
