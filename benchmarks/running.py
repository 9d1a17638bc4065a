"""A system under test: its server process and its load generator process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.native_load import NativeLoad
from benchmarks.steps import DRAIN_SECONDS
from protosocket.bench.driver import Endpoint
from protosocket.bench.generator import GeneratorGroup
from protosocket.bench.jobs import Closed, LoadSpec, Prefill
from protosocket.bench.processes import ProcessError, Processes
from protosocket.bench.workload import Command, Keyspace

if TYPE_CHECKING:
    from collections.abc import Collection

    from benchmarks.catalogue import System
    from benchmarks.results import Settings
    from protosocket.bench.jobs import LoadResult, Open
    from protosocket.bench.processes import Child

__all__ = ["Load", "Programs", "Running", "in_a_line", "start_load", "start_server", "start_system"]

HOP = "client-server"
START_SECONDS = 30.0
# Ten thousand gRPC channels take their time.
CONNECT_SECONDS = 120.0


class Load(Protocol):
    """Loads one server; ``GeneratorGroup`` for everything in Python."""

    settings: dict[str, str]

    async def prefill(self, job: Prefill) -> None:
        """Set every key."""
        ...

    async def measure(self, job: Closed | Open) -> LoadResult:
        """Run one job. Raises ProcessError."""
        ...


class Programs(Processes):
    """Child processes that remember which was started last."""

    last: Child

    async def start(self, name: str, *arguments: str, processors: Collection[int] | None = None) -> Child:
        """Start this Python with ``arguments``."""
        self.last = await super().start(name, *arguments, processors=processors)
        return self.last


@dataclass
class Running:
    """A system whose processes run."""

    system: System
    load: Load
    client_pid: int
    server_pid: int

    async def measure(self, job: Closed | Open) -> LoadResult:
        """Run one job; a peer that hangs is an error, not the end of the run."""
        seconds = job.warmup + DRAIN_SECONDS + START_SECONDS
        seconds += job.seconds if isinstance(job, Closed) else sum(phase[0] for phase in job.phases)
        async with asyncio.timeout(seconds):
            return await self.load.measure(job)


async def start_server(processes: Programs, system: System) -> Child:
    """Start the server of ``system``. Raises ProcessError with what it wrote."""
    child = await processes.start(f"server of {system.name}", "-m", "benchmarks.serve", system.name)
    await child.wait_listening(START_SECONDS)
    return child


async def start_load(
    processes: Programs,
    system: System,
    server: Child,
    settings: Settings,
    *,
    connections: int = 1,
    value_bytes: int | None = None,
    keys: int | None = None,
) -> Running:
    """Start a load generator for ``server`` and set every key.

    Raises ProcessError if it cannot connect, TimeoutError if that takes too long.
    """
    keyspace = Keyspace(
        klen=settings.key_bytes,
        vlen=settings.value_bytes if value_bytes is None else value_bytes,
        nkeys=settings.keys if keys is None else keys,
        commands=(
            Command(verb="get", weight=settings.get_percent),
            Command(verb="set", weight=100 - settings.get_percent),
        ),
    )
    spec = LoadSpec(
        driver=f"{system.module}:driver",
        endpoint=Endpoint(urls=(server.url,), connections=connections),
        keyspaces=(keyspace,),
        seed=settings.seed,
        pids={"server": server.pid},
        hops={HOP: server.url},
    )
    async with asyncio.timeout(CONNECT_SECONDS):
        load: Load
        if system.own_load:
            load = await NativeLoad.start(processes, spec)
        else:
            load = await GeneratorGroup.start(processes, spec)
        client_pid = processes.last.pid
        await load.prefill(Prefill())
    return Running(system, load, client_pid, server.pid)


async def start_system(processes: Programs, system: System, settings: Settings) -> Running:
    """Start a server with its load generator, and both anew as often as ``tries`` of ``system`` says.

    Raises ProcessError or TimeoutError, which the last try ended with.
    """
    for _ in range(system.tries - 1):
        with suppress(ProcessError, TimeoutError):
            return await _start_once(processes, system, settings)
    return await _start_once(processes, system, settings)


async def _start_once(processes: Programs, system: System, settings: Settings) -> Running:
    server = await start_server(processes, system)
    return await start_load(processes, system, server, settings)


def in_a_line(error: Exception) -> str:
    """An error of a child process: what happened, and the last line it wrote."""
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else type(error).__name__
