"""A server that is a program of its own, started by ``benchmarks.serve`` and ended with it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["free_port", "run_program"]

POLL_SECONDS = 0.05
GRACE_SECONDS = 3.0


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def run_program(arguments: list[str], port: int, announce: Callable[[str], None], url: str) -> None:
    """Run a program until cancelled; call ``announce`` with ``url`` once it accepts on ``port``.

    Raises RuntimeError if it ends by itself.
    """
    # Its output would end up among what this process tells the run.
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        while process.returncode is None and not await _accepts(port):  # noqa: ASYNC110
            # Nothing tells when another program listens.
            await asyncio.sleep(POLL_SECONDS)
        if process.returncode is None:
            announce(url)
        raise RuntimeError(f"{arguments[0]} ended with code {await process.wait()}")
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(GRACE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()


async def _accepts(port: int) -> bool:
    with suppress(ConnectionRefusedError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
