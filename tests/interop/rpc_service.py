"""A service that does what the Rust programs' servers do, and tells the test what happens in it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from tests.interop.rpc_peers import pattern

from protosocket import rpc
from protosocket.rpc.service import Handler


class Happenings:
    """What a test sees of the handlers, and how it holds them."""

    def __init__(self) -> None:
        self.gates: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        """What ``hold`` waits for, by the request's number."""
        self.started: asyncio.Queue[int] = asyncio.Queue()
        """The numbers of the calls that have reached their handler and wait there."""
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()
        """The numbers of the calls that were cancelled there."""
        self.disconnected: asyncio.Queue[None] = asyncio.Queue()
        """An entry for each connection that has ended."""
        self.crowd = 0
        """How many calls ``gather`` waits for before it answers any."""
        self.gathered: list[asyncio.Future[None]] = []


class PeerService(rpc.Service):
    """The commands of interop/shared/behaviour.rs, and some that need this side's powers."""

    def __init__(self, response: Any, happenings: Happenings) -> None:
        self._response = response
        self._happenings = happenings

    def select(self, request: Any) -> Handler:
        handlers: dict[str, Handler] = {
            "echo": self.echo,
            "bytes": self.bytes,
            "hold": self.hold,
            "gather": self.gather,
            "count": self.count,
            "hang": self.hang,
            "endless": self.endless,
            "abort": self.abort,
        }
        if request.command not in handlers:
            raise rpc.Rejected(f"no command {request.command!r}")
        return handlers[request.command]

    def disconnected(self) -> None:
        self._happenings.disconnected.put_nowait(None)

    def echo(self, request: Any) -> Any:
        return self._response(number=request.number, body=request.body)

    def bytes(self, request: Any) -> Any:
        return self._response(number=request.number, body=pattern(request.number))

    async def hold(self, request: Any) -> Any:
        """Wait for the gate of the request's number."""
        await self._wait(request.number, self._happenings.gates[request.number].wait())
        return self.echo(request)

    async def gather(self, request: Any) -> Any:
        """Wait until the crowd is complete; then the last that came is answered first."""
        happenings = self._happenings
        turn = asyncio.get_running_loop().create_future()
        happenings.gathered.append(turn)
        if len(happenings.gathered) == happenings.crowd:
            for each in reversed(happenings.gathered):
                each.set_result(None)
        await turn
        return self.echo(request)

    async def count(self, request: Any) -> AsyncIterator[Any]:
        for number in range(request.number):
            yield self._response(number=number, body=request.body)

    async def hang(self, request: Any) -> AsyncIterator[Any]:
        """Items, and no end."""
        for number in range(request.number):
            yield self._response(number=number, body=request.body)
        await self._wait(request.number, asyncio.Event().wait())

    async def endless(self, request: Any) -> AsyncIterator[Any]:
        number = 0
        try:
            while True:
                yield self._response(number=number, body=request.body)
                number += 1
        finally:
            self._happenings.cancelled.put_nowait(request.number)

    async def abort(self, request: Any) -> AsyncIterator[Any]:
        """Items, and a Cancel in the place of the end."""
        for number in range(request.number):
            yield self._response(number=number, body=request.body)
        raise rpc.Rejected("no more of this")

    async def _wait(self, number: int, awaited: Any) -> None:
        self._happenings.started.put_nowait(number)
        try:
            await awaited
        except asyncio.CancelledError:
            self._happenings.cancelled.put_nowait(number)
            raise
