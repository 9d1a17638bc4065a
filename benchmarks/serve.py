"""A system's server process: ``python -m benchmarks.serve NAME`` says ``listening on URL`` and serves.

It ends on SIGTERM, SIGINT, and when its standard input is closed: it must not outlive the run.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import uvloop

from protosocket.cache.grpc_environment import prepare_grpc

if TYPE_CHECKING:
    from benchmarks.catalogue import SystemModule

__all__ = ["main"]

# As this project's own servers do (protosocket.cli): what a call allocates is freed by its reference count.
GC_THRESHOLD = (50_000, 20, 100)


def announce(url: str) -> None:
    """Tell the program that started this one where it listens."""
    os.write(1, f"listening on {url}\n".encode())


async def serve(module: SystemModule) -> None:
    """Serve until a signal comes or the standard input ends."""
    loop = asyncio.get_running_loop()
    serving = asyncio.ensure_future(module.serve(announce))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)

    def stdin_readable() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            serving.cancel()

    loop.add_reader(0, stdin_readable)
    with suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    """Serve the system named on the command line."""
    # Before a system imports gRPC, which reads its environment once.
    prepare_grpc()
    module = cast("SystemModule", importlib.import_module(f"benchmarks.systems.{sys.argv[1]}"))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    uvloop.run(serve(module))


if __name__ == "__main__":
    main()
