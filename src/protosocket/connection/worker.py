"""A worker process: serves until its supervisor, or the end of it, says stop."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

from protosocket.connection.event_loop import new_event_loop

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


def work(serve: bytes, url: str, supervisor: Connection) -> None:
    """The main function of a worker process. Its exit code is 0 when it was stopped, else 1.

    ``serve`` is a pickled ``ServeFunction``. ``supervisor`` carries one message from here: None when the
    worker listens, else a ``NotStarted``. That it is closed at its other end means stop.
    """
    # Ctrl-C reaches every process of a terminal; what to do about it is the supervisor's to say, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve_until_stopped(serve, url, supervisor))


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
    except Exception as error:
        _tell(supervisor, NotStarted(f"{type(error).__name__}: {error}", traceback.format_exc()))
        sys.exit(1)
    if server is None:
        return
    _tell(supervisor, None)
    await stopped.wait()
    await server.close()


async def _start(serve: bytes, url: str, stopped: asyncio.Event) -> Stoppable | None:
    """The server, or None if the worker was stopped before it listened."""
    function: ServeFunction = pickle.loads(serve)

    async def start() -> Stoppable:
        return await function(url)

    starting = asyncio.ensure_future(start())
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        if starting.cancelled():
            return None
    return starting.result()


def _tell(supervisor: Connection, message: NotStarted | None) -> None:
    # A supervisor that has gone needs no answer.
    with contextlib.suppress(OSError):
        supervisor.send(message)
