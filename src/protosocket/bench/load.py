"""The load generator's process: ``python -m protosocket.bench.load`` reads jobs as JSON lines and answers
each.

The first line is a ``LoadSpec``; every further line a job; the end of the input ends the process. Answers go
to standard output, anything else that is printed to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from protosocket.bench.driver import find_driver
from protosocket.bench.jobs import Closed, Failed, Job, LoadResult, LoadSpec, Open, Prefill, Ready
from protosocket.bench.loops import TICK_SECONDS, run_closed, run_open
from protosocket.bench.operations import generate
from protosocket.bench.watch import Watch
from protosocket.cache.grpc_environment import GRPC_ENVIRONMENT, prepare_grpc
from protosocket.errors import Error

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, BinaryIO

    from protosocket.bench.driver import Driver

__all__ = ["LoadGenerator", "main"]

# The records are plain arrays and a call leaves no cycles, so collections find nothing: make them rare.
GC_THRESHOLD = (50_000, 50, 1_000)


class LoadGenerator:
    """Loads one driver with generated operations, in this process, on the running loop."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._operations = generate(spec.keyspaces, spec.seed, spec.part)
        self._driver: Driver = find_driver(spec.driver)(spec.endpoint, self._operations)

    async def start(self) -> None:
        """Connect. Raises the driver's errors."""
        await self._driver.start()

    async def close(self) -> None:
        """Disconnect."""
        await self._driver.close()

    async def prefill(self, job: Prefill) -> None:
        """Set every key once. Raises the first error: a run on half the keys would measure misses."""
        if job.driver is None:
            await self._fill(self._driver, job.concurrency)
            return
        other = find_driver(job.driver)(job.endpoint or self._spec.endpoint, self._operations)
        await other.start()
        try:
            await self._fill(other, job.concurrency)
        finally:
            await other.close()

    async def measure(self, job: Closed | Open) -> LoadResult:
        """Run ``job``. Raises psutil.NoSuchProcess or OSError if a watched process or address is gone."""
        watch, operations = Watch(self._spec.pids, self._spec.hops), len(self._operations)
        gc.collect()
        gc.freeze()
        try:
            if isinstance(job, Closed):
                return await run_closed(self._driver, operations, job, watch)
            return await run_open(self._driver, operations, job, watch, self._spec.seed, self._spec.part)
        finally:
            gc.unfreeze()

    async def _fill(self, driver: Driver, concurrency: int) -> None:
        numbers = iter(range(len(self._operations.prefill)))

        async def worker() -> None:
            for number in numbers:
                await driver.prefill(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())


async def serve(read: BinaryIO, write: BinaryIO) -> None:
    """Answer the jobs read from ``read`` until it ends."""
    jobs: msgspec.json.Decoder[Job] = msgspec.json.Decoder(Job)

    async def line() -> bytes:
        return await asyncio.to_thread(read.readline)

    def answer(message: Ready | Failed | LoadResult) -> None:
        write.write(msgspec.json.encode(message) + b"\n")
        write.flush()

    ready = Ready(settings=settings())
    try:
        generator = LoadGenerator(msgspec.json.decode(await line(), type=LoadSpec))
        await generator.start()
    except Exception as error:
        answer(Failed(error=describe(error)))
        return
    answer(ready)
    try:
        while text := await line():
            try:
                job = jobs.decode(text)
                if isinstance(job, Prefill):
                    await generator.prefill(job)
                    answer(ready)
                else:
                    answer(await generator.measure(job))
            except Exception as error:
                answer(Failed(error=describe(error)))
    finally:
        await generator.close()


def settings() -> dict[str, str]:
    """How this process is tuned, for the report."""
    return {
        "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        "tick": f"{TICK_SECONDS * 1e6:.0f} µs",
        "environment": " ".join(f"{name}={os.environ.get(name, '')}" for name in GRPC_ENVIRONMENT),
        "gc": f"frozen, threshold {gc.get_threshold()}",
    }


def describe(error: BaseException) -> str:
    """An error as one line; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    return text if isinstance(error, Error) else f"{type(error).__name__}: {text}"


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def main() -> None:
    """Serve standard input and output."""
    # Before a driver imports gRPC: the generator is a program, and its gRPC is tuned as the other programs'
    # is.
    prepare_grpc()
    gc.set_threshold(*GC_THRESHOLD)
    answers = sys.stdout.buffer
    # What a library prints must not end up between the answers.
    sys.stdout = sys.stderr
    with suppress(KeyboardInterrupt):
        run(serve(sys.stdin.buffer, answers))


if __name__ == "__main__":
    main()
