"""Worker processes on one port: real processes, killed, stopped and failing as they do."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from tests.patience import HANG
from tests.worker_services import (
    CODEC,
    Message,
    die_while_starting,
    fail_to_start,
    never_closes,
    never_starts,
    serve,
)

import protosocket
from protosocket import errors, rpc, start_workers

ANY_PORT = "tcp://127.0.0.1:0"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


async def call(url: str) -> int:
    """The process id that answers on a new connection."""
    async with rpc.connect(url, CODEC) as client:
        return (await client.unary(Message())).pid


async def answering(url: str, wanted: int, but_not: int | None = None) -> set[int]:
    """The process ids that answer at ``url``, asked on new connections until ``wanted`` of them did."""
    pids: set[int] = set()
    async with asyncio.timeout(HANG):
        while len(pids) < wanted:
            try:
                pids.add(await call(url))
            except (errors.ConnectError, errors.ConnectionClosed):
                continue
            pids.discard(but_not or 0)
    return pids


async def test_every_worker_gets_connections() -> None:
    async with start_workers(serve, ANY_PORT, workers=3) as running:
        (url,) = running.addresses
        assert not url.endswith(":0")
        assert await answering(url, wanted=3) == set(running.pids)
    assert running.pids == ()
    with pytest.raises(errors.ConnectError):
        await call(url)


async def test_one_that_is_killed_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    async with start_workers(serve, ANY_PORT, workers=2) as running:
        killed, survivor = running.pids
        os.kill(killed, signal.SIGKILL)
        pids = await answering(running.addresses[0], wanted=2, but_not=killed)
        assert survivor in pids
        assert pids == set(running.pids)
    assert f"worker 1 (process {killed}) was killed by SIGKILL; it is started again in 0.1 s" in caplog.text


async def test_one_about_to_be_started_again_when_closing_begins(caplog: pytest.LogCaptureFixture) -> None:
    running = await start_workers(serve, ANY_PORT, workers=1, stop_timeout=5)
    (killed,) = running.pids
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(HANG):
        while "it is started again" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    time.sleep(0.15)  # noqa: ASYNC251 - the wait ends while the event loop is busy,
    await asyncio.sleep(0)  # and closing begins in the same turn of it
    await running.close()
    assert running.pids == ()
    assert "did not stop" not in caplog.text


async def test_closing_waits_for_calls_under_way() -> None:
    running = await start_workers(serve, ANY_PORT, workers=2)
    async with (
        rpc.connect(running.addresses[0], CODEC) as client,
        aclosing(client.stream(Message(pid=1))) as items,
    ):
        first = await anext(items)
        closing = asyncio.create_task(running.close())
        assert [item.pid async for item in items] == [first.pid]
        await closing
    await running.close()


async def test_one_that_does_not_stop_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    async with start_workers(never_closes, ANY_PORT, workers=1, stop_timeout=0.2) as running:
        (pid,) = running.pids
    assert f"process {pid} did not stop within 0.2 s; killed" in caplog.text


async def test_one_that_cannot_start_gives_one_error(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        errors.WorkerError, match="could not start: RuntimeError: there is no database"
    ) as caught:
        await start_workers(fail_to_start, ANY_PORT, workers=3)
    (note,) = caught.value.__notes__
    assert "in fail_to_start" in note
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


async def test_one_that_dies_while_it_starts_is_not_started_again() -> None:
    with pytest.raises(errors.WorkerError, match=r"\(process \d+\) ended with code 3 before it listened"):
        await start_workers(die_while_starting, ANY_PORT, workers=2)


async def test_giving_up_while_they_start_leaves_none() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await start_workers(never_starts, ANY_PORT, workers=2)


async def test_the_port_is_somebody_elses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(errors.ConnectError, match="somebody is listening there already"):
            await start_workers(serve, url, workers=2)


@pytest.mark.parametrize(
    ("url", "workers", "text"),
    [
        ("unix:///tmp/never.sock", 2, "cannot share unix:///tmp/never.sock"),
        (ANY_PORT, 0, "workers is a whole number of at least 1"),
        (ANY_PORT, True, "workers is a whole number of at least 1"),
    ],
)
def test_settings_that_make_no_sense(url: str, workers: int, text: str) -> None:
    with pytest.raises(errors.OptionError, match=text):
        start_workers(serve, url, workers=workers)


def test_a_function_that_cannot_be_imported() -> None:
    async def serve_here(url: str) -> protosocket.Server[rpc.ServedConnection]:
        return await serve(url)

    with pytest.raises(errors.OptionError, match="at the top level of a module"):
        start_workers(serve_here, ANY_PORT, workers=1)


def test_a_time_to_stop_that_is_none() -> None:
    with pytest.raises(errors.OptionError, match="stop_timeout"):
        start_workers(serve, ANY_PORT, workers=1, stop_timeout=0)


PROGRAM = f"""
from protosocket import run_workers
from tests.worker_services import serve
run_workers(serve, "{ANY_PORT}", workers=2)
"""


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``run_workers`` as a program, the leader of a process group of its own, and where it listens."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.kill()


@pytest.mark.parametrize("whole_group", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_a_program_of_workers_ends_gracefully(
    program: tuple[subprocess.Popen[str], str], whole_group: bool
) -> None:
    process, url = program

    async def call_while_it_stops() -> None:
        async with (
            rpc.connect(url, CODEC) as client,
            aclosing(client.stream(Message(pid=1))) as items,
        ):
            first = await anext(items)
            if whole_group:
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.terminate()
            assert [item.pid async for item in items] == [first.pid]

    asyncio.run(call_while_it_stops())
    assert process.communicate(timeout=HANG) == ("", "")
    assert process.returncode == 0


def test_workers_end_with_their_supervisor(program: tuple[subprocess.Popen[str], str]) -> None:
    process, url = program
    pids = asyncio.run(answering(url, wanted=2))
    process.kill()
    for pid in pids:
        while _is_running(pid):
            time.sleep(0.01)


def _is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended may wait for somebody to take note of it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
