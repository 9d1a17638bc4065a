"""The usual mistakes with workers: each becomes one sentence that says what to write instead."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import socket
import sys
import threading
from typing import Any

from protosocket.connection.address import parse_address
from protosocket.errors import OptionError

__all__ = [
    "NAME",
    "UNGUARDED",
    "UNGUARDED_TEXT",
    "awaited",
    "refuse_other_places",
    "refuse_unimportable_program",
    "require_listening",
    "require_server",
    "waits_for_ever",
]

NAME = "protosocket worker "
"""What the names of worker processes begin with; a number follows."""

UNGUARDED = 113
"""The exit code of a worker that was told to start workers while it imported its program."""

UNGUARDED_TEXT = (
    "imports this program, which starts workers again when it is imported: "
    'put what starts them under `if __name__ == "__main__":`'
)

# None of these comes back before the server is closed.
_FOR_EVER = ("serve_forever", "wait_for_termination")


def refuse_unimportable_program() -> None:
    """Raise ``OptionError`` if this process cannot have children that import its program.

    A worker that comes here while it imports the program ends instead: its supervisor, which started it,
    has the sentence for that.
    """
    process = multiprocessing.current_process()
    # Set while a child imports the main module; multiprocessing would raise RuntimeError for it later.
    if getattr(process, "_inheriting", False):
        if process.name.startswith(NAME):
            sys.exit(UNGUARDED)
        raise OptionError(f"a process that is being started {UNGUARDED_TEXT}")
    if process.daemon:
        raise OptionError(
            "workers are children of this process, and this process is a daemonic one, "
            "which may have no children: start it with daemon=False"
        )
    if getattr(sys, "frozen", False):
        return  # an executable that has the program in it: PyInstaller starts the children from that
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and file is not None and not os.path.exists(file):
        raise OptionError(
            f"workers import this program again, and there is no file {file}: put it into a file"
        )


def refuse_other_places() -> None:
    """Raise ``OptionError`` where no program of its own can run: beside an event loop, or in a thread."""
    if threading.current_thread() is not threading.main_thread():
        raise OptionError(
            "run_workers handles signals, which only the main thread may: call it there, "
            "or use start_workers in an event loop of this thread"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise OptionError(
        "run_workers has an event loop of its own, and one is running here: "
        "use `async with start_workers(...) as running` in it"
    )


def awaited(given: Any) -> Any:
    """What a serve function gave, if it can be awaited. Raises ``OptionError`` if it cannot."""
    if not inspect.isawaitable(given):
        raise OptionError(f"serve is no async function: it returned {given!r:.100}")
    return given


def require_server(server: object) -> None:
    """Raise ``OptionError`` for what cannot be closed."""
    if not callable(getattr(server, "close", None)):
        raise OptionError(
            f"serve returned {server!r:.100}, which has no close(): return the server that listens"
        )


def require_listening(url: str) -> None:
    """Raise ``OptionError`` if this process does not listen on the port of ``url``."""
    if parse_address(url).port not in _listening_ports():
        raise OptionError(
            f"serve returned, but nothing here listens on {url}: listen on the URL it is given, "
            "and return the server while it listens, not from inside its `async with`"
        )


def waits_for_ever(coroutine: Any) -> str | None:
    """The name of a coroutine function that ``coroutine`` waits for, if that one never comes back."""
    while coroutine is not None:
        name = getattr(coroutine, "__name__", None)
        if name in _FOR_EVER:
            return str(name)
        coroutine = getattr(coroutine, "cr_await", None)
    return None


def _listening_ports() -> set[int]:
    """The TCP ports that this process listens on."""
    ports = set()
    for name in os.listdir("/dev/fd"):
        # Some of them are no sockets, and one was that of the folder.
        try:
            descriptor = os.dup(int(name))
        except OSError:
            continue
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            continue
        with sock:
            if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                ports.add(sock.getsockname()[1])
    return ports
