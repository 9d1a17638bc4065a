"""What a server's memory grows by for each connection that has nothing to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.scale.descriptors import allow_descriptors
from protosocket.bench.processes import Processes
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

if TYPE_CHECKING:
    from protosocket.bench.processes import Child

__all__ = ["measure_idle"]

START_SECONDS = 20.0
CROWD_SECONDS = 50.0
# What the first connections make a server allocate is not theirs.
FIRST = 100
BURST = 50
VALUE = bytes(100)


def _framed(message: bytes) -> bytes:
    assert len(message) < 0x80
    return bytes([len(message)]) + message


def _messages() -> dict[str, tuple[bytes, int]]:
    """What a connection to each server sends once, and how many bytes come back."""
    command = CacheCommand(message_id=1)
    command.unary.set.value = VALUE
    response = CacheResponse(message_id=1)
    response.get.value = VALUE
    ours = len(_framed(response.SerializeToString()))
    return {
        "stream": (_framed(VALUE), len(VALUE) + 1),
        "rpc": (_framed(command.SerializeToString()), ours),
        "router": (b"", 0),
        "echo": (VALUE, len(VALUE)),
    }


async def measure_idle(connections: int, names: tuple[str, ...]) -> None:
    """Print a table: after one message each, and after fifty at once. No ``names``: every server."""
    allow_descriptors(connections + FIRST)
    click.echo("| bytes a connection | after one message | after 50 at once |\n|---|--:|--:|")
    for name, (message, answer) in _messages().items():
        if names and name not in names:
            continue
        async with Processes() as processes:
            server = await processes.start(name, "-m", "benchmarks.scale.servers", name)
            await server.wait_listening(START_SECONDS)
            await _crowd(processes, server, FIRST, message, answer)
            before = _memory(server.pid)
            crowd = await _crowd(processes, server, connections, message, answer)
            quiet = (_memory(server.pid) - before) / connections
            await crowd.write_line(b"burst")
            await _ready(crowd)
            loud = (_memory(server.pid) - before) / connections
        click.echo(f"| {name} | {quiet:,.0f} | {loud:,.0f} |")


async def _crowd(processes: Processes, server: Child, count: int, message: bytes, answer: int) -> Child:
    numbers = (str(count), message.hex(), str(answer), str(BURST))
    crowd = await processes.start("crowd", "-m", "benchmarks.scale.crowd", server.url, *numbers)
    await _ready(crowd)
    return crowd


async def _ready(crowd: Child) -> None:
    async with asyncio.timeout(CROWD_SECONDS):
        await crowd.read_line()
    # The server may not have taken note of the last ones yet.
    await asyncio.sleep(0.5)


def _memory(pid: int) -> int:
    """The process's share of physical memory, bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise click.ClickException("the kernel does not say how much memory a process has")
