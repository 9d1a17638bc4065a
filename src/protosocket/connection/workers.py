"""Several processes that serve on one port: started, started again when they die, stopped together."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
import signal
from typing import Self

from protosocket.connection.address import parse_address
from protosocket.connection.endpoint import HeldPort, hold_port
from protosocket.connection.opening import Opening
from protosocket.connection.worker import ServeFunction
from protosocket.connection.worker_mistakes import refuse_other_places, refuse_unimportable_program
from protosocket.connection.worker_process import WorkerProcess
from protosocket.errors import OptionError
from protosocket.event_loops import new_event_loop

__all__ = ["Workers", "run_workers", "start_workers"]

_logger = logging.getLogger("protosocket")

# A worker that dies is started again after this many seconds, and twice as many after each further death.
# One that had lived for as long as the longest of these waits begins anew.
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 10.0


class Workers:
    """Processes that serve on one port; made by ``start_workers``.

    A worker that dies is logged as an error and started again: after 0.1 seconds, after twice as long for
    each further death, after 10 seconds at most. The others serve on meanwhile; the connections of the dead
    one are lost.
    """

    def __init__(self, serve: bytes, held: HeldPort, stop_timeout: float) -> None:
        self._serve = serve
        self._held = held
        self._stop_timeout = stop_timeout
        self._places: list[asyncio.Task[None]] = []
        self._processes: dict[int, WorkerProcess] = {}
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{len(self._processes)} workers on {', '.join(self.addresses)}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where they listen, as URLs, with the port the system chose."""
        return tuple(str(address) for address in self._held.addresses)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that run now, those that do not listen yet among them."""
        return tuple(process.pid for process in self._processes.values())

    async def start(self, count: int) -> None:
        """Start ``count`` processes and wait until all listen; ``start_workers`` does this.

        Raises ``WorkerError`` for the first that cannot; then all have ended.
        """
        loop = asyncio.get_running_loop()
        listening: list[asyncio.Future[None]] = [loop.create_future() for _ in range(count)]
        self._places = [
            loop.create_task(self._keep(number, first), name=f"worker {number}")
            for number, first in enumerate(listening, 1)
        ]
        try:
            await asyncio.gather(*listening)
        except BaseException:
            await self.close()
            raise

    async def serve_forever(self) -> None:
        """Wait until the workers are closed. Cancelling it leaves closing to ``async with``."""
        await self._ended.wait()

    async def close(self) -> None:
        """Let every worker close its server, and wait until all have ended. May be repeated.

        A worker that takes longer than ``stop_timeout`` seconds is killed, which is logged as an error.
        Cancelling it kills them all at once.
        """
        self._stopped.set()
        for process in self._processes.values():
            process.terminate()
        try:
            await asyncio.wait(self._places, timeout=self._stop_timeout)
            for process in self._processes.values():
                _logger.error("process %d did not stop within %g s; killed", process.pid, self._stop_timeout)
        finally:
            for process in self._processes.values():
                process.kill()
            self._held.release()
            await asyncio.gather(*self._places)
            self._ended.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _keep(self, number: int, listening: asyncio.Future[None]) -> None:
        """Keep a process running in the place ``number`` until all are stopped."""
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT
        # Closing may begin while the wait below ends, which then counts as ended.
        while not self._stopped.is_set():
            born = loop.time()
            failure: Exception | None = None
            # Whatever it is: somebody waits for this one to listen, or to be started again.
            try:
                text = await self._run(number, listening)
            except Exception as error:
                if not listening.done():
                    listening.set_exception(error)
                    return
                text, failure = str(error), error
            if self._stopped.is_set():
                return
            if loop.time() - born > _LONGEST_WAIT:
                wait = _FIRST_WAIT
            _logger.error("%s; it is started again in %g s", text, wait, exc_info=failure)
            try:
                async with asyncio.timeout(wait):
                    await self._stopped.wait()
                return
            except TimeoutError:
                wait = min(2 * wait, _LONGEST_WAIT)

    async def _run(self, number: int, listening: asyncio.Future[None]) -> str:
        """Run one process from its start to its end, and say how it ended."""
        url = str(self._held.addresses[0])
        process = WorkerProcess(number, self._serve, url, self._stop_timeout)
        self._processes[number] = process
        try:
            await process.listening()
            if not listening.done():
                listening.set_result(None)
            return await process.ended()
        finally:
            del self._processes[number]


def start_workers(
    serve: ServeFunction, url: str, *, workers: int, stop_timeout: float = 30.0
) -> Opening[Workers]:
    """Serve on ``url`` with several processes: ``async with start_workers(...) as running``.

    It may also be awaited; then closing them is yours. Each of the ``workers`` processes calls
    ``serve(url)``, with the port the system chose where ``url`` has port 0, and that makes a server listen
    there with ``reuse_port=True``; the kernel spreads connections over them. They share nothing else. When
    they are closed, each closes its server, within ``stop_timeout`` seconds; they do so too when this process
    is gone. They run on uvloop where it is installed. One that does not listen after ten seconds is told of
    by a warning, and waited for.

    ``serve`` is imported by each process, so it is a function at the top level of a module (or a
    ``functools.partial`` of one), and a script that is itself that module starts workers only under
    ``if __name__ == "__main__"``. Raises ``OptionError`` for a function that cannot be imported, in a process
    that cannot have workers, and for other settings that make no sense, ``AddressError``, ``ConnectError``
    when the address cannot be had, and ``WorkerError``, with the worker's traceback as its note, when one of
    them does not come to listen.
    """
    address = parse_address(url)
    if address.scheme not in ("tcp", "tls"):
        raise OptionError(f"workers share a tcp:// or tls:// port; they cannot share {address}")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise OptionError(f"workers is a whole number of at least 1, not {workers!r}")
    refuse_unimportable_program()
    if not 0 < stop_timeout < math.inf:
        raise OptionError(f"stop_timeout is a number of seconds above 0, not {stop_timeout!r}")
    try:
        function = pickle.dumps(serve)
    except Exception as error:
        # Not only pickle's own errors: the object may have methods that say how it is pickled.
        raise OptionError(
            f"workers cannot import {serve!r}: it has to be a function at the top level of a module ({error})"
        ) from error

    async def open_() -> Workers:
        running = Workers(function, await hold_port(address), stop_timeout)
        await running.start(workers)
        return running

    return Opening(open_)


def run_workers(serve: ServeFunction, url: str, *, workers: int, stop_timeout: float = 30.0) -> None:
    """Serve on ``url`` with several processes until SIGTERM or SIGINT, as a program of its own.

    ``serve``, ``workers`` and ``stop_timeout`` are those of ``start_workers``, and so is what it raises.
    It prints ``listening on <url>`` for each address once all listen. A second signal kills the workers. It
    runs an event loop of its own.
    """
    refuse_unimportable_program()
    refuse_other_places()
    opening = start_workers(serve, url, workers=workers, stop_timeout=stop_timeout)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(_run(opening))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


async def _run(opening: Opening[Workers]) -> None:
    async with opening as running:
        for address in running.addresses:
            print(f"listening on {address}", flush=True)  # noqa: T201 - what programs say
        await running.serve_forever()
