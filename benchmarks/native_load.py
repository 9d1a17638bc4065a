"""The load generator of a system that is not Python: a program of its own, told its jobs as JSON lines.

It answers each with three lines: ``begin`` and ``end`` when the measured window begins and ends, so that its
cost can be read then, and a JSON object of what it counted; ``latencies`` are pairs of microseconds and how
many calls took them. Its first line is ``ready``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from benchmarks.catalogue import RUST_BINARY
from protosocket.bench.jobs import Closed, LoadResult, Open
from protosocket.bench.latency import histogram_of, percentiles
from protosocket.bench.processes import ProcessError
from protosocket.bench.watch import Watch

if TYPE_CHECKING:
    from protosocket.bench.jobs import LoadSpec, Prefill
    from protosocket.bench.processes import Child, Processes

__all__ = ["NativeLoad"]

EXECUTE = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the program counted."""

    operations: int
    seconds: float
    errors: dict[str, int]
    misses: int
    latencies: list[tuple[int, int]]


class NativeLoad:
    """The program, running; make it with ``start``."""

    def __init__(self, child: Child, spec: LoadSpec) -> None:
        self.settings: dict[str, str] = {}
        self._child = child
        self._watch = Watch({"client": child.pid, **spec.pids}, spec.hops)

    @classmethod
    async def start(cls, processes: Processes, spec: LoadSpec) -> NativeLoad:
        """Start it; it connects and sets every key. Raises ProcessError."""
        keyspace = spec.keyspaces[0]
        get_percent = next(command.weight for command in keyspace.commands if command.verb == "get")
        arguments = (
            *("client", spec.endpoint.urls[0]),
            *(str(number) for number in (keyspace.nkeys, keyspace.klen, keyspace.vlen, get_percent)),
        )
        child = await processes.start("native load generator", "-c", EXECUTE, str(RUST_BINARY), *arguments)
        await _expect(child, "ready")
        return cls(child, spec)

    async def prefill(self, job: Prefill) -> None:
        """The program has done it when it is ready."""

    async def measure(self, job: Closed | Open) -> LoadResult:
        """Run a closed loop. Raises ProcessError if the program fails, TypeError for an open loop."""
        if isinstance(job, Open):
            raise TypeError("the native load generator has no open loop")
        line = {"concurrency": job.concurrency, "seconds": job.seconds, "warmup": job.warmup}
        await self._child.write_line(msgspec.json.encode(line))
        await _expect(self._child, "begin")
        before = self._watch.read()
        await _expect(self._child, "end")
        cost = self._watch.read() - before
        answer = msgspec.json.decode(await self._child.read_line(), type=Answer)
        values = [microseconds for microseconds, _ in answer.latencies]
        counts = [count for _, count in answer.latencies]
        histogram = histogram_of(np.repeat(np.array(values, float) / 1e6, counts))
        return LoadResult(
            operations=answer.operations,
            seconds=answer.seconds,
            ops_per_second=answer.operations / answer.seconds,
            errors=answer.errors,
            misses=answer.misses,
            latency=percentiles(histogram),
            histogram=histogram.encode().decode(),
            cost=cost,
        )


async def _expect(child: Child, word: str) -> None:
    line = (await child.read_line()).decode().strip()
    if line != word:
        raise ProcessError(f"{child.name}: {line!r} instead of {word!r}")
