"""A worker process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal

from protosocket.connection.worker import NotStarted, work
from protosocket.connection.worker_mistakes import NAME, UNGUARDED, UNGUARDED_TEXT
from protosocket.errors import WorkerError

__all__ = ["WorkerProcess"]


_logger = logging.getLogger("protosocket")

# A worker that does not listen after so many seconds is told of, once; it may have much to load.
_SLOW = 10.0


class WorkerProcess:
    """A process that runs ``work``, from the moment it is made.

    Raises ``WorkerError`` if there cannot be one.
    """

    def __init__(self, number: int, serve: bytes, url: str, stop_timeout: float) -> None:
        self._name = f"worker {number}"
        context = multiprocessing.get_context("spawn")
        try:
            self._messages, there = context.Pipe()
            self._process = context.Process(
                target=work, args=(serve, url, there, stop_timeout), name=f"{NAME}{number}"
            )
            try:
                self._process.start()
            except BaseException:
                self._messages.close()
                raise
            finally:
                there.close()
        except Exception as error:
            # multiprocessing has asserts of its own for what a process may do.
            raise WorkerError(
                f"{self._name} could not be started: {type(error).__name__}: {error}"
            ) from error
        pid = self._process.pid
        assert pid is not None
        self.pid = pid

    async def listening(self) -> None:
        """Wait until it listens. Raises ``WorkerError`` if it does not; then it has ended."""
        await self._answered()
        try:
            message = self._messages.recv()
        except (EOFError, OSError):
            how = await self.ended()
            if self._process.exitcode == UNGUARDED:
                raise WorkerError(f"{self._name} {UNGUARDED_TEXT}") from None
            raise WorkerError(f"{how} before it listened; its standard error may say why") from None
        if isinstance(message, NotStarted):
            await self.ended()
            error = WorkerError(f"{self._name} could not start: {message.reason}")
            error.add_note(f"In the worker:\n{message.traceback.rstrip()}")
            raise error

    async def _answered(self) -> None:
        """Wait until it has said whether it listens, or has ended."""
        try:
            async with asyncio.timeout(_SLOW):
                await _readable(self._messages.fileno())
        except TimeoutError:
            _logger.warning(
                "%s (process %d) does not listen after %g s: serve has to return its server, not wait for it",
                self._name,
                self.pid,
                _SLOW,
            )
            await _readable(self._messages.fileno())

    async def ended(self) -> str:
        """Wait until it has ended, and say how, as in ``worker 2 (process 4711) was killed by SIGKILL``."""
        await _readable(self._process.sentinel)
        self._process.join()
        self._messages.close()
        code = self._process.exitcode or 0
        name = f"{self._name} (process {self.pid})"
        if code >= 0:
            return f"{name} ended with code {code}"
        return f"{name} was killed by {signal.Signals(-code).name}"

    def terminate(self) -> None:
        """Ask it to close its server and end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or nothing more will come."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
