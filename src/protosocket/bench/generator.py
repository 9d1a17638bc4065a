"""Load generator processes seen from the program that starts them: one, or several that share a run."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from protosocket.bench.jobs import Failed, Interval, Job, LoadResult, LoadSpec, Open, Prefill, Ready
from protosocket.bench.latency import Percentiles, merge, percentiles
from protosocket.bench.processes import ProcessError
from protosocket.bench.watch import Cost

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from protosocket.bench.processes import Child, Processes

__all__ = ["GeneratorGroup", "share"]

# Long enough for the slowest process of a group to have read its job.
SECONDS_UNTIL_START = 0.1

ANSWERS: msgspec.json.Decoder[Ready | Failed | LoadResult] = msgspec.json.Decoder(Ready | Failed | LoadResult)


def share(whole: int, parts: int) -> list[int]:
    """``whole`` in ``parts`` nearly equal parts."""
    return [whole // parts + (number < whole % parts) for number in range(parts)]


class GeneratorGroup:
    """One or more generator processes that do every job together; make it with ``start``."""

    def __init__(self, children: Sequence[Child], settings: dict[str, str]) -> None:
        self.settings = settings
        self._children = children

    @classmethod
    async def start(
        cls,
        processes: Processes,
        spec: LoadSpec,
        count: int = 1,
        processors: Collection[int] | None = None,
    ) -> GeneratorGroup:
        """Start ``count`` processes that share the connections of ``spec``, and wait until they have
        connected. They may run on ``processors`` only (None: on all).

        Raises ProcessError with a generator's own error if it cannot.
        """
        children = [
            await processes.start("load generator", "-m", "protosocket.bench.load", processors=processors)
            for _ in range(count)
        ]
        connections = share(spec.endpoint.connections, count)
        for part, child in enumerate(children):
            endpoint = replace(spec.endpoint, connections=connections[part])
            # The first reads for all what is not its own; each reads its own processor time.
            mine = replace(spec, endpoint=endpoint, part=part)
            if part > 0:
                mine = replace(mine, pids={}, hops={})
            await child.write_line(msgspec.json.encode(mine))
        answers = [await _answer(child) for child in children]
        ready = [answer for answer in answers if isinstance(answer, Ready)]
        return cls(children, ready[0].settings)

    async def prefill(self, job: Prefill) -> None:
        """Set every key once; they are the same in every process, so the first does it."""
        await self._children[0].write_line(msgspec.json.encode(job))
        await _answer(self._children[0])

    async def measure(self, job: Job) -> LoadResult:
        """Run ``job`` divided among the processes. Raises ProcessError with a generator's own error."""
        for child, part in zip(self._children, self._divide(job), strict=True):
            await child.write_line(msgspec.json.encode(part))
        answers = await asyncio.gather(*map(_answer, self._children))
        return _together([answer for answer in answers if isinstance(answer, LoadResult)])

    def _divide(self, job: Job) -> list[Job]:
        count = len(self._children)
        if count == 1 or isinstance(job, Prefill):
            return [job] * count
        start_at = time.monotonic() + SECONDS_UNTIL_START
        if isinstance(job, Open):
            phases = tuple((seconds, rate / count) for seconds, rate in job.phases)
            limit = math.ceil(job.in_flight / count)
            return [replace(job, phases=phases, in_flight=limit, start_at=start_at)] * count
        return [replace(job, concurrency=part, start_at=start_at) for part in share(job.concurrency, count)]


async def _answer(child: Child) -> Ready | LoadResult:
    answer = ANSWERS.decode(await child.read_line())
    if isinstance(answer, Failed):
        raise ProcessError(f"{child.name}: {answer.error}")
    return answer


def _together(results: Sequence[LoadResult]) -> LoadResult:
    """One result of several that were measured at the same time."""
    if len(results) == 1:
        return results[0]
    histogram = merge(result.histogram for result in results)
    errors: Counter[str] = Counter()
    for result in results:
        errors.update(result.errors)
    first = results[0]
    cpu = dict(first.cost.cpu_seconds)
    cpu["client"] = sum(result.cost.cpu_seconds["client"] for result in results)
    open_loop = first.offered is not None
    return LoadResult(
        operations=sum(result.operations for result in results),
        seconds=first.seconds,
        ops_per_second=sum(result.ops_per_second for result in results),
        errors=dict(errors),
        misses=sum(result.misses for result in results),
        latency=percentiles(histogram),
        histogram=histogram.encode().decode(),
        cost=Cost(cpu_seconds=cpu, wire=first.cost.wire),
        error_example=next((result.error_example for result in results if result.error_example), None),
        offered=sum(result.offered or 0 for result in results) if open_loop else None,
        late=sum(result.late or 0 for result in results) if open_loop else None,
        start_delay=_worst([result.start_delay for result in results]) if open_loop else None,
        intervals=tuple(map(_interval, zip(*(result.intervals for result in results), strict=True))),
    )


def _interval(slices: Sequence[Interval]) -> Interval:
    histogram = merge(one.histogram for one in slices)
    return Interval(
        start=slices[0].start,
        ops_per_second=sum(one.ops_per_second for one in slices),
        latency=percentiles(histogram),
        histogram=histogram.encode().decode(),
    )


def _worst(all_percentiles: Sequence[Percentiles | None]) -> Percentiles:
    """The worst of each percentile: those of several processes cannot be added."""
    rows = [msgspec.structs.asdict(one) for one in all_percentiles if one is not None]
    return Percentiles(**{name: max(row[name] for row in rows) for name in rows[0]})
