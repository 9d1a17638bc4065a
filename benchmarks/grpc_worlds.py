"""The same gRPC service over grpc.aio and over protosocket.grpc: ``python -m benchmarks.grpc_worlds``.

Calls a second with 64 in flight, messages a second of one stream in either direction, and what a stream whose
reader sleeps does to other calls on its connection. One client process, one server process, one connection;
the two worlds take turns. The handlers, the multicallables and the messages are the same objects in both.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
import grpc
import psutil
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue
from grpc import aio

import protosocket.grpc
from protosocket.bench.processes import Processes, run_until_signalled
from protosocket.cache.grpc_channel import CHANNEL_OPTIONS, SERVER_OPTIONS
from protosocket.cache.grpc_environment import prepare_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WORLDS = ("grpc.aio", "protosocket")
SCENARIOS = ("unary", "down", "up")
SERVICE = "benchmarks.Worlds"
IN_FLIGHT = 64
# 97 bytes of content: 100 with protobuf's key, length and nothing else.
MESSAGE = BytesValue(value=b"m" * 98)
WARM_UP = 0.2  # of each window
CALLS_A_SECOND = 200
READER_SLEEPS = 10.0


async def echo(request: BytesValue, _: Any) -> BytesValue:
    """Answer what was asked."""
    return BytesValue(value=request.value)


async def pour(request: BytesValue, context: Any) -> AsyncIterator[BytesValue]:
    """Messages until the caller has enough."""
    assert request == MESSAGE
    while not context.cancelled():
        for _ in range(64):
            yield MESSAGE


async def drain(requests: AsyncIterator[BytesValue], _: Any) -> BytesValue:
    """Read everything."""
    count = 0
    async for _ in requests:
        count += 1
    return BytesValue(value=str(count).encode())


def handlers() -> grpc.GenericRpcHandler:
    """The service, as generated code would register it."""
    coders: Any = {
        "request_deserializer": BytesValue.FromString,
        "response_serializer": BytesValue.SerializeToString,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Echo": grpc.unary_unary_rpc_method_handler(echo, **coders),
            "Pour": grpc.unary_stream_rpc_method_handler(pour, **coders),
            "Drain": grpc.stream_unary_rpc_method_handler(drain, **coders),
        },
    )


async def serve(world: str) -> None:
    """Serve until the standard input ends."""
    server = aio.server(options=SERVER_OPTIONS) if world == "grpc.aio" else protosocket.grpc.server()
    server.add_generic_rpc_handlers((handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    os.write(1, f"listening on 127.0.0.1:{port}\n".encode())
    ended = asyncio.Event()

    def stdin_readable() -> None:
        if not os.read(0, 1024):
            ended.set()

    asyncio.get_running_loop().add_reader(0, stdin_readable)
    await ended.wait()
    await server.stop(0)


def channel_to(world: str, target: str) -> aio.Channel:
    """A channel, which is one connection."""
    if world == "grpc.aio":
        return aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    return protosocket.grpc.insecure_channel(target)


@dataclass
class Rate:
    """Of a window: operations (calls or messages) a second, and the client's CPU time for each."""

    per_second: float
    client_cpu_us: float


class Client:
    """The calls of one channel."""

    def __init__(self, channel: aio.Channel) -> None:
        coders: Any = {
            "request_serializer": BytesValue.SerializeToString,
            "response_deserializer": BytesValue.FromString,
        }
        self.echo: Any = channel.unary_unary(f"/{SERVICE}/Echo", **coders)
        self.pour: Any = channel.unary_stream(f"/{SERVICE}/Pour", **coders)
        self.drain: Any = channel.stream_unary(f"/{SERVICE}/Drain", **coders)

    async def rate(self, scenario: str, seconds: float) -> Rate:
        """Load the server for so long."""
        window = Window(seconds)
        if scenario == "unary":
            await asyncio.gather(*(self._call(window) for _ in range(IN_FLIGHT)))
        elif scenario == "down":
            call = self.pour(MESSAGE)
            async for _ in call:
                if window.is_over():
                    break
            call.cancel()
        else:
            await self.drain(window.messages())
        return window.rate()

    async def _call(self, window: Window) -> None:
        while not window.is_over():
            answer = await self.echo(BytesValue(value=MESSAGE.value))
            assert answer.value == MESSAGE.value

    async def latencies(self, seconds: float) -> list[float]:
        """Of calls at even intervals, from when each was due, in milliseconds."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        found: list[float] = []

        async def call(due: float) -> None:
            await asyncio.sleep(due - loop.time())
            await self.echo(MESSAGE)
            found.append((loop.time() - due) * 1e3)

        dues = (begin + number / CALLS_A_SECOND for number in range(int(seconds * CALLS_A_SECOND)))
        await asyncio.gather(*map(call, dues))
        return sorted(found)


class Window:
    """Counts operations after a warm-up, for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._begin = time.perf_counter() + seconds * WARM_UP
        self._end = time.perf_counter() + seconds
        self._count = 0
        self._cpu = 0.0
        self._last = 0.0

    def is_over(self) -> bool:
        """Count one operation; whether it was the last."""
        self._last = time.perf_counter()
        if self._last < self._begin:
            self._cpu = time.process_time()
            return False
        self._count += 1
        return self._last >= self._end

    async def messages(self) -> AsyncIterator[BytesValue]:
        """Messages to send until the window is over."""
        while not self.is_over():
            yield MESSAGE

    def rate(self) -> Rate:
        """What was counted."""
        cpu = time.process_time() - self._cpu
        return Rate(self._count / (self._last - self._begin), cpu / self._count * 1e6)


async def sleeping_reader(world: str, target: str, server: int) -> dict[str, float]:
    """The latency of other calls without, and with, a stream whose reader sleeps; memory that it takes."""
    async with channel_to(world, target) as channel:
        client = Client(channel)
        await client.latencies(1.0)
        without = await client.latencies(READER_SLEEPS)
        processes = [psutil.Process(), psutil.Process(server)]
        before = sum(process.memory_info().rss for process in processes)
        stream = client.pour(MESSAGE)
        await stream.read()
        with_stream = await client.latencies(READER_SLEEPS)
        after = sum(process.memory_info().rss for process in processes)
        # It goes on where it stopped.
        for _ in range(10_000):
            await stream.read()
        stream.cancel()
    return {
        "p99_ms_without": without[int(len(without) * 0.99)],
        "p99_ms_with": with_stream[int(len(with_stream) * 0.99)],
        "memory_growth_bytes": float(after - before),
    }


async def load(world: str, target: str, server: int) -> None:
    """Do what the standard input says, a line a job, and write the results as JSON."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with channel_to(world, target) as channel:
        await channel.channel_ready()
        client = Client(channel)
        while line := await reader.readline():
            job = json.loads(line)
            if job["scenario"] == "sleeping":
                result: Any = await sleeping_reader(world, target, server)
            else:
                result = asdict(await client.rate(job["scenario"], job["seconds"]))
            os.write(1, json.dumps(result).encode() + b"\n")


async def compare(seconds: float, repeats: int, sleeping: bool) -> None:
    """Measure both worlds in turns and print the medians."""
    async with Processes() as processes:
        clients = {}
        for world in WORLDS:
            server = await processes.start(
                f"server of {world}", "-m", "benchmarks.grpc_worlds", "serve", world
            )
            await server.wait_listening(30.0)
            arguments = ("load", world, server.url, str(server.pid))
            clients[world] = await processes.start(
                f"client of {world}", "-m", "benchmarks.grpc_worlds", *arguments
            )

        async def run(world: str, **job: Any) -> dict[str, float]:
            await clients[world].write_line(json.dumps(job).encode())
            return dict(json.loads(await clients[world].read_line()))

        for scenario in SCENARIOS:
            figures: dict[str, list[float]] = {world: [] for world in WORLDS}
            for _ in range(repeats):
                for world in WORLDS:
                    result = await run(world, scenario=scenario, seconds=seconds)
                    figures[world].append(result["per_second"])
            peer = statistics.median(figures["grpc.aio"])
            for world in WORLDS:
                median, least, most = (
                    statistics.median(figures[world]),
                    min(figures[world]),
                    max(figures[world]),
                )
                ratio = f"{median / peer:5.1f} × grpc.aio"
                click.echo(
                    f"{scenario:8} {world:12} {median:12,.0f}/s  ({least:,.0f} to {most:,.0f})  {ratio}"
                )
        for world in WORLDS if sleeping else ():
            click.echo(f"sleeping {world:12} {await run(world, scenario='sleeping')}")


@click.group(invoke_without_command=True)
@click.option("--seconds", default=3.0, show_default=True, help="Length of each window.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--sleeping/--no-sleeping", default=True, help="With the reader that sleeps, 40 s.")
@click.pass_context
def main(context: click.Context, seconds: float, repeats: int, sleeping: bool) -> None:
    """The same gRPC service over grpc.aio and over protosocket.grpc."""
    if context.invoked_subcommand is None:
        run_until_signalled(compare(seconds, repeats, sleeping))


def _command(name: str, run: Callable[..., Any], *parameters: click.Parameter) -> None:
    def body(**arguments: Any) -> None:
        prepare_grpc()
        uvloop.run(run(**arguments))

    main.add_command(click.Command(name, params=list(parameters), callback=body, hidden=True))


_WORLD = click.Argument(["world"], type=click.Choice(WORLDS))
_command("serve", serve, _WORLD)
_command("load", load, _WORLD, click.Argument(["target"]), click.Argument(["server"], type=int))

if __name__ == "__main__":
    main(prog_name="python -m benchmarks.grpc_worlds")
