"""Real programs as child processes: started, waited for until they listen, and always ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from typing import IO, TYPE_CHECKING, Self

from protosocket.errors import Error

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine
    from types import TracebackType
    from typing import Any, TypeVar

    T = TypeVar("T")

__all__ = ["Child", "ProcessError", "Processes", "run_until_signalled"]

LISTENING = "listening on "
LINE_LIMIT = 1 << 26


class ProcessError(Error):
    """A program could not be started, ended early, or said something it should not."""


class Child:
    """A running program. ``name`` is for people, ``pid`` its process id, ``url`` what it listens on, once it
    does.
    """

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, errors: IO[bytes], grace: float
    ) -> None:
        self.name = name
        self._grace = grace
        self.url = ""
        self._process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def write_line(self, line: bytes) -> None:
        """Send one line to its standard input. Raises ProcessError if it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ProcessError(await self.post_mortem()) from error

    async def read_line(self) -> bytes:
        """The next line of its standard output. Raises ProcessError if it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise ProcessError(await self.post_mortem())
        return line

    async def wait_listening(self, timeout: float) -> None:
        """Wait until it has said ``listening on <url>``.

        Raises ProcessError, with what it wrote to standard error, if it ends before or takes longer than
        ``timeout``.
        """
        try:
            async with asyncio.timeout(timeout):
                while not self.url:
                    line = (await self.read_line()).decode(errors="replace").strip()
                    if line.startswith(LISTENING):
                        self.url = line.removeprefix(LISTENING)
        except TimeoutError as error:
            raise ProcessError(
                f"{self.name} did not listen within {timeout:g} s{self._last_words()}"
            ) from error

    async def post_mortem(self) -> str:
        """What there is to say about a program that has closed its output."""
        try:
            async with asyncio.timeout(self._grace):
                code = await self._process.wait()
        except TimeoutError:
            return f"{self.name} closed its output{self._last_words()}"
        return f"{self.name} ended with code {code}{self._last_words()}"

    async def stop(self) -> None:
        """Ask it to end, make it end if it takes too long, and wait until it has. Again does nothing."""
        if self._errors.closed:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace):
                await self._read_to_the_end()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._read_to_the_end()
        self._errors.close()

    async def _read_to_the_end(self) -> None:
        # A pipe that nobody reads would keep a talkative program from ending, and wait() with it.
        assert self._process.stdout is not None
        while await self._process.stdout.read(1 << 16):
            pass
        await self._process.wait()

    def _last_words(self) -> str:
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return f"; it wrote:\n{text[-4000:]}" if text else ""


class Processes:
    """Child processes that end when the block does, in the reverse order of their start, whatever ends it.

    Use it as ``async with Processes() as processes``. A child has ``grace`` seconds to end before it is
    killed.
    """

    def __init__(self, grace: float = 5.0) -> None:
        self._grace = grace
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def start(self, name: str, *arguments: str, processors: Collection[int] | None = None) -> Child:
        """Start this Python with ``arguments``; its standard input and output are pipes.

        It may run on ``processors`` only, numbered as in ``os.sched_getaffinity`` (None: on those that this
        process may use). Raises ProcessError if there is none of them.
        """
        # Standard error is a file: it is read only after a failure, and a full pipe would stop the program.
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Child.stop
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LINE_LIMIT,
        )
        child = Child(name, process, errors, self._grace)
        self._stack.push_async_callback(child.stop)
        if processors is not None:
            # At once: the threads it starts later inherit this.
            try:
                os.sched_setaffinity(process.pid, processors)
            except OSError as error:
                raise ProcessError(
                    f"{name} cannot run on processors {sorted(processors)}: {error}"
                ) from error
        return child

    async def program(
        self,
        name: str,
        *arguments: str,
        timeout: float = 30.0,
        processors: Collection[int] | None = None,
    ) -> Child:
        """Start ``protosocket`` with ``arguments`` as ``start`` does and wait until it listens. Raises
        ProcessError if it does not.
        """
        child = await self.start(name, "-m", "protosocket", *arguments, processors=processors)
        await child.wait_listening(timeout)
        return child


def run_until_signalled(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main``; SIGINT and SIGTERM cancel it, so that what it started is ended.

    Raises KeyboardInterrupt when it was cancelled so.
    """

    async def guarded() -> T:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
