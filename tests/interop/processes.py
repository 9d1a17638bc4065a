"""The processes of these tests: servers that say where they listen, and clients steered line by line."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A line holds the results of a whole batch.
_LONGEST_LINE = 256 * 1024 * 1024


@dataclass(frozen=True)
class Serving:
    """A server program that listens."""

    process: subprocess.Popen[str]
    url: str

    @property
    def place(self) -> str:
        """Where it listens, without the scheme."""
        return self.url.partition("://")[2]

    def pause(self) -> None:
        """Stop it where it is: it answers nothing, and its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would, whatever it is doing."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def serving(*command: str | Path) -> Iterator[Serving]:
    """Run a server program, which is killed at the end; it listens when this begins."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), line
            yield Serving(process, line.split()[-1])
        finally:
            process.kill()


class Steered:
    """A client program that reads a batch of commands a line and writes their results a line."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.killed = False

    async def begin(self, commands: Sequence[Any]) -> None:
        """Let it start a batch, without waiting for the results."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(commands).encode() + b"\n")
        await self.process.stdin.drain()

    async def results(self) -> list[Any]:
        """The results of the oldest batch that was begun."""
        assert self.process.stdout is not None
        results = json.loads(await self.process.stdout.readline())
        assert isinstance(results, list)
        return results

    async def run(self, *commands: Any) -> list[Any]:
        """The results of commands that it carries out at once."""
        await self.begin(commands)
        return await self.results()

    async def one(self, command: Any) -> Any:
        """The result of a single command."""
        (result,) = await self.run(command)
        return result

    def kill(self) -> None:
        """End it as a crash would, whatever it is doing."""
        self.process.kill()
        self.killed = True


@asynccontextmanager
async def steered(*command: str | Path) -> AsyncIterator[Steered]:
    """Run a client program; unless it is killed, it has to end well when its input ends."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE)
    program = Steered(process)
    try:
        yield program
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == (-signal.SIGKILL if program.killed else 0)
    finally:
        if process.returncode is None:
            process.kill()
        # Reads what is left too, so that nothing stays open.
        await process.communicate()
