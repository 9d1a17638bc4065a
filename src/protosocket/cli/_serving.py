"""Runs a server program: says where it listens, waits for SIGTERM or SIGINT, closes gracefully."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import click

from protosocket.cache.auth import TokenPolicy, read_tokens
from protosocket.cache.interface import Listening
from protosocket.cache.protosocket_listening import ServerListening
from protosocket.cli._parameters import FiniteRange
from protosocket.errors import OptionError
from protosocket.event_loops import new_event_loop
from protosocket.options import ConnectionOptions
from protosocket.telemetry import ConnectionStatistics

__all__ = [
    "options_of",
    "print_statistics",
    "read_policy",
    "run",
    "serve_until_stopped",
    "tune_garbage_collector",
    "with_busy_poll",
]

# Containers allocated and not freed before the collector looks at them; Python's own default is 700.
_GARBAGE_THRESHOLD = 50_000


def run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run ``main`` on uvloop where it is installed, on asyncio's own loop elsewhere."""
    tune_garbage_collector()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


def tune_garbage_collector() -> None:
    """Let the collector look seldom, and not at what was imported: a server's own garbage is mostly freed by
    reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 100)


async def serve_until_stopped(
    listeners: Sequence[Coroutine[object, object, Listening]],
) -> None:
    """Start the ``listeners``, print ``listening on <url>`` for each, close them when a signal comes.

    SIGUSR1 has ``print_statistics`` called. A second signal to stop ends the process at once. If one cannot
    listen, those already started are closed and its error is raised.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    started: list[Listening] = []
    waiting = list(listeners)
    loop.add_signal_handler(signal.SIGUSR1, lambda: print_statistics(started))
    try:
        while waiting:
            started.append(await waiting.pop(0))
        for listener in started:
            print(f"listening on {listener.url}", flush=True)
        await stopped.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
        for unstarted in waiting:
            unstarted.close()
        await asyncio.gather(*(listener.close() for listener in started))


def print_statistics(listeners: Sequence[Listening]) -> None:
    """Print a line on stderr for each protosocket server: its connections, and the sums of their counters."""
    for listener in listeners:
        if isinstance(listener, ServerListening):
            counted = [dataclasses.asdict(protocol.statistics()) for protocol in listener.protocols]
            names = (field.name for field in dataclasses.fields(ConnectionStatistics))
            sums = ", ".join(f"{name} {sum(each[name] for each in counted)}" for name in names)
            click.echo(f"{listener.url}: connections {len(counted)}, {sums}", err=True)


def with_busy_poll(command: Callable[..., None]) -> Callable[..., None]:
    """The option ``--busy-poll``; its value is for ``options_of``."""
    return click.option(
        "--busy-poll",
        metavar="MICROSECONDS",
        type=FiniteRange(0, 1e6),
        help="Look for more for so long instead of sleeping; by default where that mostly pays, 0 for never.",
    )(command)


def options_of(busy_poll: float | None, listen: str | None) -> ConnectionOptions:
    """How a server's protosocket connections are; raises ``OptionError`` if it has none."""
    if busy_poll and listen is None:
        raise OptionError("--busy-poll is for --listen: gRPC does its own waiting")
    return ConnectionOptions(busy_poll=None if busy_poll is None else busy_poll / 1e6)


def read_policy(token_file: Path | None) -> TokenPolicy:
    """The tokens in ``token_file``, or none at all; raises ``OptionError`` for a file without any."""
    return TokenPolicy() if token_file is None else TokenPolicy(read_tokens(token_file))
