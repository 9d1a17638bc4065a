"""What several worker processes on one port carry that one does not."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time

import click
import psutil

from benchmarks.scale.messages import CODEC, value_command
from benchmarks.scale.servers import serve_worker
from protosocket import rpc, run_workers
from protosocket.bench.processes import Child, Processes

__all__ = ["measure_workers"]

START_SECONDS = 20.0
# Of each client process: enough that chance spreads connections over the workers.
CONNECTIONS = 16
IN_FLIGHT = 64
CLIENTS = 2
PROGRAM = ("-m", "benchmarks.scale.workers")


async def measure_workers(counts: tuple[int, ...], seconds: float, repeats: int) -> None:
    """Print calls per second and CPU per call of an rpc server with so many workers."""
    rates: dict[int, list[float]] = {}
    costs: dict[int, list[float]] = {}
    for _ in range(repeats):
        for count in counts:
            async with Processes() as processes:
                server = await processes.start(
                    "server", "-m", "benchmarks.scale.workers", "serve", str(count)
                )
                await server.wait_listening(START_SECONDS)
                before = _cpu(server.pid)
                clients = [
                    await processes.start(
                        "client", "-m", "benchmarks.scale.workers", server.url, str(seconds)
                    )
                    for _ in range(CLIENTS)
                ]
                calls = sum(await asyncio.gather(*(_number(client) for client in clients)))
                rates.setdefault(count, []).append(calls / seconds)
                costs.setdefault(count, []).append(1e6 * (_cpu(server.pid) - before) / max(1, calls))
    click.echo(f"{CLIENTS} client processes, {os.cpu_count()} processors\n")
    click.echo("| workers | calls/s | server CPU µs/call |\n|--:|--:|--:|")
    for count in counts:
        rate, cost = statistics.median(rates[count]), statistics.median(costs[count])
        click.echo(f"| {count} | {rate:,.0f} | {cost:.1f} |")


async def _number(client: Child) -> int:
    return int(await client.read_line())


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process and its children."""
    process = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


async def _call(url: str, seconds: float) -> int:
    command, calls = value_command(bytes(128)), 0
    async with rpc.connect(url, CODEC, connections=CONNECTIONS) as client:
        await client.ready()
        end = time.perf_counter() + seconds

        async def call() -> None:
            nonlocal calls
            while time.perf_counter() < end:
                await client.unary(command)
                calls += 1

        await asyncio.gather(*(call() for _ in range(IN_FLIGHT)))
    return calls


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        run_workers(serve_worker, "tcp://127.0.0.1:0", workers=int(sys.argv[2]))
    else:
        os.write(1, b"%d\n" % asyncio.run(_call(sys.argv[1], float(sys.argv[2]))))
