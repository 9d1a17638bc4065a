"""The usual mistakes with workers: each ends in a sentence that says what to write instead."""

from __future__ import annotations

import asyncio
import functools
import logging
import multiprocessing
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.worker_services import (
    blocks_the_loop,
    closes_what_it_returns,
    exits,
    fails_from_the_second_start,
    gives_no_server,
    ignores_its_url,
    is_not_async,
    never_closes,
    never_starts,
    returns_nothing,
    serve,
    serves_for_ever,
    waits_elsewhere,
)

from protosocket import errors, start_workers
from protosocket.connection import worker_process

ANY_PORT = "tcp://127.0.0.1:0"

SCRIPT = """
import asyncio, functools, multiprocessing, sys, threading
from protosocket import errors, run_workers, start_workers
from tests.worker_services import serve as good

async def serve(url):
    return await good(url)

async def start():
    async with start_workers(serve, "tcp://127.0.0.1:0", workers=2) as running:
        print("listening")

def run():
    run_workers(serve, "tcp://127.0.0.1:0", workers=2)

def daemon():
    process = multiprocessing.get_context("spawn").Process(target=run, daemon=True)
    process.start()
    process.join()
    sys.exit(process.exitcode)

class Ours:
    def __getstate__(self):
        raise LookupError("not today")

    async def __call__(self, url):
        pass
"""

GUARDED = 'if __name__ == "__main__":\n    '


def ended(tmp_path: Path, text: str, *, on_stdin: bool = False) -> tuple[int, list[str]]:
    """The exit code of a script and the lines of its standard error."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT + text)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-" if on_stdin else str(script)],
        input=script.read_text() if on_stdin else "",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("call", ["run()", "asyncio.run(start())"])
def test_a_script_without_its_guard(tmp_path: Path, call: str) -> None:
    code, lines = ended(tmp_path, call)
    assert code == 1
    assert lines[-1].startswith("protosocket.errors.WorkerError: worker ")
    assert lines[-1].endswith(
        "imports this program, which starts workers again when it is imported: "
        'put what starts them under `if __name__ == "__main__":`'
    )
    # The workers are silent: the sentence stands alone.
    assert sum(line.startswith("Traceback") for line in lines) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "run_workers(lambda url: serve(url), 'tcp://127.0.0.1:0', workers=1)",
            "has to be a function at the top level of a module",
        ),
        ("run_workers(Ours(), 'tcp://127.0.0.1:0', workers=1)", "workers cannot import <__main__.Ours"),
        (
            "thread = threading.Thread(target=run); thread.start(); thread.join(); sys.exit(1)",
            "which only the main thread may: call it there, or use start_workers in an event loop of",
        ),
        (
            "async def main(): run()\n    asyncio.run(main())",
            "and one is running here: use `async with start_workers(...) as running` in it",
        ),
        (
            "daemon()",
            "this process is a daemonic one, which may have no children: start it with daemon=False",
        ),
    ],
    ids=["lambda", "no state", "thread", "running loop", "daemon"],
)
def test_a_place_where_no_worker_can_be_started(tmp_path: Path, text: str, sentence: str) -> None:
    code, lines = ended(tmp_path, GUARDED + text)
    assert code == 1
    assert lines[-1].startswith("protosocket.errors.OptionError: ")
    assert sentence in lines[-1]


def test_a_script_on_standard_input(tmp_path: Path) -> None:
    code, lines = ended(tmp_path, GUARDED + "run()", on_stdin=True)
    assert code == 1
    assert lines[-1].startswith("protosocket.errors.OptionError: workers import this program again")
    assert lines[-1].endswith("put it into a file")


def test_an_executable_with_the_program_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "__file__", "/nowhere/program.py", raising=False)
    with pytest.raises(errors.OptionError, match="no file"):
        start_workers(serve, ANY_PORT, workers=1)
    # As PyInstaller has it, which starts children without that file.
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    start_workers(serve, ANY_PORT, workers=1)


def test_a_function_of_what_is_no_file() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + "run()"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    sentence = "put it at the top level of a module in a file"
    assert [line for line in done.stderr.splitlines() if "WorkerError: " in line and sentence in line]


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (is_not_async, "serve is no async function: it returned 5"),
        (returns_nothing, r"serve returned None, which has no close\(\): return the server that listens"),
        (gives_no_server, r"serve returned 'server', which has no close\(\): return the server"),
        (closes_what_it_returns, "return the server while it listens, not from inside its `async with`"),
        (ignores_its_url, r"but nothing here listens on tcp://127.0.0.1:\d+: listen on the URL it is given"),
        (serves_for_ever, r"serve waits in serve_forever\(\): return the server instead"),
        (functools.partial(serves_for_ever), "serve waits in serve_forever"),
    ],
    ids=lambda value: getattr(value, "__name__", "") or "-",
)
async def test_a_serve_function_that_is_none(function: Any, sentence: str) -> None:
    with pytest.raises(errors.WorkerError, match="worker 1 could not start: serve") as caught:
        await start_workers(function, ANY_PORT, workers=1)
    assert re.search(sentence, str(caught.value))
    assert multiprocessing.active_children() == []


async def test_one_that_ends_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.WorkerError, match="ended with code 1 before it listened"):
        await start_workers(exits, ANY_PORT, workers=1)
    assert "there is no database" in capfd.readouterr().err


async def test_one_that_takes_its_time_is_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_SLOW", 0.01)
    async with start_workers(waits_elsewhere, ANY_PORT, workers=1) as running:
        (pid,) = running.pids
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"worker 1 (process {pid}) does not listen after 0.01 s: "
        "serve has to return its server, not wait for it"
    )


async def test_what_keeps_a_process_from_being_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = start_workers(serve, ANY_PORT, workers=2)
    # From now on multiprocessing has an AssertionError for it.
    monkeypatch.setattr(multiprocessing.current_process(), "daemon", True)
    with pytest.raises(errors.WorkerError, match=r"worker \d could not be started: AssertionError: daemonic"):
        await opening


async def test_a_process_that_cannot_be_started_for_want_of_descriptors() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    opening = start_workers(serve, ANY_PORT, workers=2)
    async with asyncio.timeout(300):
        try:
            # The port can be held, with the lowest number that is free; a process takes more of them.
            with socket.socket() as lowest:
                number = lowest.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (number + 3, limit[1]))
            with pytest.raises(errors.WorkerError, match="could not be started: OSError: "):
                await opening
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)


async def test_a_later_start_that_fails_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    marker = tmp_path / "started"
    function = functools.partial(fails_from_the_second_start, str(marker))
    async with start_workers(function, ANY_PORT, workers=1) as running:
        os.kill(running.pids[0], signal.SIGKILL)
        while "LookupError" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    failed = next(record for record in caplog.records if "could not start" in record.getMessage())
    assert failed.exc_info is not None
    assert "in fails_from_the_second_start" in caplog.text


@pytest.mark.parametrize("function", [never_closes, blocks_the_loop], ids=lambda function: function.__name__)
def test_no_worker_outlives_its_supervisor_by_more_than_its_time_to_stop(
    tmp_path: Path, function: Callable[..., Any]
) -> None:
    script = (
        "from protosocket import run_workers\n"
        f"from tests.worker_services import {function.__name__} as serve\n"
        f"run_workers(serve, {ANY_PORT!r}, workers=2, stop_timeout=0.2)\n"
    )
    # Its end of this pipe is the workers', too: they have all ended when there is an end of it.
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("listening on ")
        program.kill()
        assert program.stdout.read() == ""


def test_one_that_never_starts_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    script = (
        "from protosocket import run_workers\n"
        f"from tests.worker_services import {never_starts.__name__} as serve\n"
        f"run_workers(serve, {ANY_PORT!r}, workers=1, stop_timeout=0.2)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        path = f"/proc/{program.pid}/task/{program.pid}/children"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and len(Path(path).read_text().split()) < 2:
            time.sleep(0.01)
        program.kill()
        assert program.stdout.read() == ""
