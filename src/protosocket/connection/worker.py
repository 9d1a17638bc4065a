"""A worker process: serves until its supervisor, or the end of it, says stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

from protosocket.connection.worker_mistakes import (
    awaited,
    require_listening,
    require_server,
    waits_for_ever,
)
from protosocket.errors import OptionError
from protosocket.event_loops import new_event_loop

__all__ = ["NotStarted", "ServeFunction", "Stoppable", "work"]


class Stoppable(Protocol):
    """What a serve function gives: something with an async ``close`` that ends gracefully."""

    async def close(self) -> None:
        """Stop accepting, let what runs end, and return when nothing is left."""
        ...


ServeFunction = Callable[[str], Awaitable[Stoppable]]
"""Makes a server listen on the URL it is given, with ``reuse_port=True``, and gives it."""


class NotStarted(NamedTuple):
    """Why a worker does not listen: one line, and the traceback."""

    reason: str
    traceback: str


# How often to look whether a serve function that has not come back ever will.
_LOOK_SECONDS = 0.5


def work(serve: bytes, url: str, supervisor: Connection, stop_timeout: float) -> None:
    """The main function of a worker process. Its exit code is 0 when it was stopped, else 1.

    ``serve`` is a pickled ``ServeFunction``. ``supervisor`` carries one message from here: None when the
    worker listens, else a ``NotStarted``. That it is closed at its other end means stop, and after
    ``stop_timeout`` seconds more the end of the process.
    """
    # Ctrl-C reaches every process of a terminal; what to do about it is the supervisor's to say, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A thread, since an event loop that is blocked would not see that the supervisor has gone.
    threading.Thread(
        target=_end_with, args=(supervisor, stop_timeout), name="protosocket supervisor", daemon=True
    ).start()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve_until_stopped(serve, url, supervisor))


def _end_with(supervisor: Connection, stop_timeout: float) -> None:
    """Kill this process ``stop_timeout`` seconds after its supervisor has gone, who would have done it."""
    with contextlib.suppress(OSError):
        supervisor.poll(None)
    time.sleep(stop_timeout)
    os.kill(os.getpid(), signal.SIGKILL)


async def _serve_until_stopped(serve: bytes, url: str, supervisor: Connection) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)

    def supervisor_gone() -> None:
        loop.remove_reader(supervisor.fileno())
        stopped.set()

    loop.add_reader(supervisor.fileno(), supervisor_gone)
    try:
        server = await _start(serve, url, stopped)
    except OptionError as error:
        _tell(supervisor, NotStarted(str(error), traceback.format_exc()))
        sys.exit(1)
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the process ends, as sys.exit() in serve has it
        _tell(supervisor, NotStarted(f"{type(error).__name__}: {error}", traceback.format_exc()))
        sys.exit(1)
    if server is None:
        return
    _tell(supervisor, None)
    await stopped.wait()
    await server.close()


async def _start(serve: bytes, url: str, stopped: asyncio.Event) -> Stoppable | None:
    """The server, or None if the worker was stopped before it listened."""
    try:
        function: ServeFunction = pickle.loads(serve)
    except Exception as error:
        raise OptionError(
            f"serve cannot be imported here ({error}): put it at the top level of a module in a file"
        ) from error

    async def start() -> Stoppable:
        return await awaited(function(url))  # type: ignore[no-any-return]

    coroutine = start()
    starting = asyncio.ensure_future(coroutine)
    stopping = asyncio.ensure_future(stopped.wait())
    while not (starting.done() or stopping.done()):
        await asyncio.wait([starting, stopping], timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waits_in = waits_for_ever(coroutine)
        if waits_in is not None and not stopping.done():
            starting.cancel()
            await asyncio.wait([starting])
            raise OptionError(
                f"serve waits in {waits_in}(): return the server instead, the worker waits for it"
            )
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        if starting.cancelled():
            return None
    server = starting.result()
    require_server(server)
    require_listening(url)
    return server


def _tell(supervisor: Connection, message: NotStarted | None) -> None:
    # A supervisor that has gone needs no answer.
    with contextlib.suppress(OSError):
        supervisor.send(message)
