"""Large messages: bytes per second there and back, and what a small message on the way waits for them."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click
import psutil

import protosocket
from benchmarks.scale.messages import CODEC, OPTIONS, value_command
from protosocket import codecs, rpc
from protosocket.bench.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure_large"]

MIB = 1 << 20
START_SECONDS = 20.0
# Messages sent before the first answer is waited for.
IN_FLIGHT = 2


class _Rpc:
    """Calls; any number at once on one connection."""

    async def start(self, url: str, stack: AsyncExitStack) -> None:
        self._client = await stack.enter_async_context(rpc.connect(url, CODEC, options=OPTIONS))
        await self._client.ready()

    async def exchange(self, value: bytes) -> bytes:
        response = await self._client.unary(value_command(value))
        echoed: bytes = response.get.value
        return echoed


class _InOrder:
    """Sends at once and receives in order: what all but rpc have in common."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bytes]] = []
        self._sending = asyncio.Lock()

    async def exchange(self, value: bytes) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        async with self._sending:
            self._waiting.append(answer)
            await self._send(value)
        return await answer

    async def _send(self, value: bytes) -> None:
        raise NotImplementedError

    def _received(self, value: bytes) -> None:
        self._waiting.pop(0).set_result(value)


class _Stream(_InOrder):
    async def start(self, url: str, stack: AsyncExitStack) -> None:
        self._connection = await stack.enter_async_context(
            protosocket.connect(url, codecs.Bytes(), options=OPTIONS)
        )
        stack.callback(asyncio.ensure_future(self._receive()).cancel)

    async def _receive(self) -> None:
        async for message in self._connection:
            self._received(message)

    async def _send(self, value: bytes) -> None:
        await self._connection.send(value)


class _Streams(_InOrder):
    async def start(self, url: str, stack: AsyncExitStack) -> None:
        host, port = url.removeprefix("tcp://").split(":")
        reader, self._writer = await asyncio.open_connection(host, int(port), limit=MIB)
        stack.callback(self._writer.close)
        stack.callback(asyncio.ensure_future(self._receive(reader)).cancel)

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            self._received(await reader.readexactly(length))

    async def _send(self, value: bytes) -> None:
        self._writer.write(len(value).to_bytes(4, "big"))
        self._writer.write(value)
        await self._writer.drain()


class _Echo(_InOrder, asyncio.Protocol):
    """Counts bytes: nothing is put together on either side, so it is faster than messages can be."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: list[bytes] = []
        self._count = 0

    async def start(self, url: str, stack: AsyncExitStack) -> None:
        host, port = url.removeprefix("tcp://").split(":")
        await asyncio.get_running_loop().create_connection(lambda: self, host, int(port))
        stack.callback(self._transport.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._count += len(data)
        while self._sent and self._count >= len(self._sent[0]):
            value = self._sent.pop(0)
            self._count -= len(value)
            self._received(value)

    async def _send(self, value: bytes) -> None:
        self._sent.append(value)
        self._transport.write(value)


CLIENTS: dict[str, Callable[[], _Rpc | _Stream | _Streams | _Echo]] = {
    "stream": _Stream,
    "rpc": _Rpc,
    "streams": _Streams,
    "echo": _Echo,
}


async def measure_large(sizes: tuple[int, ...], seconds: float, repeats: int) -> None:
    """Print a table; systems take turns. ``seconds`` is the length of each window."""
    rates: dict[tuple[str, int], list[float]] = {}
    costs: dict[tuple[str, int], list[float]] = {}
    async with Processes() as processes:
        servers = {}
        for name in CLIENTS:
            servers[name] = await processes.start(name, "-m", "benchmarks.scale.servers", name)
            await servers[name].wait_listening(START_SECONDS)
        for _ in range(repeats):
            for size in sizes:
                for name, server in servers.items():
                    rate, cost = await _window(name, server.url, server.pid, size, seconds)
                    rates.setdefault((name, size), []).append(rate)
                    costs.setdefault((name, size), []).append(cost)
    click.echo("| GB/s each way (CPU seconds per GB, both ends) | " + " | ".join(CLIENTS) + " |")
    click.echo("|---|" + "--:|" * len(CLIENTS))
    for size in sizes:
        cells = [
            f"{statistics.median(rates[name, size]):.2f} ({statistics.median(costs[name, size]):.2f})"
            for name in CLIENTS
        ]
        click.echo(f"| {size / MIB:g} MiB | " + " | ".join(cells) + " |")


async def _window(name: str, url: str, pid: int, size: int, seconds: float) -> tuple[float, float]:
    async with AsyncExitStack() as stack:
        client = CLIENTS[name]()
        await client.start(url, stack)
        value = bytes(size)
        await client.exchange(value)
        both = (psutil.Process(), psutil.Process(pid))
        before = sum(sum(process.cpu_times()[:2]) for process in both)
        begin = time.perf_counter()
        count = 0

        async def send() -> None:
            nonlocal count
            while time.perf_counter() - begin < seconds:
                echoed = await client.exchange(value)
                if len(echoed) != size:
                    raise click.ClickException(f"{name}: {len(echoed)} of {size} bytes came back")
                count += 1

        await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
        gigabytes = count * size / 1e9
        cost = sum(sum(process.cpu_times()[:2]) for process in both) - before
        return gigabytes / (time.perf_counter() - begin), cost / gigabytes
