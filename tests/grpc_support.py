"""Servers for the tests of gRPC's channels: named ones with a few methods, and peers made of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

import protosocket.grpc

SERVICE = "test.Service"


@dataclass
class Backend:
    """A server that counts its calls and fails as it is told."""

    name: str
    module: Any = protosocket.grpc
    """What has ``server``."""
    fail: list[grpc.StatusCode] = field(default_factory=list)
    """The statuses of the next unary calls and streams."""
    pushback: str | None = None
    """What a failure says about when to try again."""
    calls: int = 0
    counted: int = 0
    """Messages that streams have sent."""
    seen: list[dict[str, Any]] = field(default_factory=list)
    """The metadata of each call."""
    hold: asyncio.Event | None = None
    """Unary calls wait for it."""
    target: str = ""
    bind: str = "127.0.0.1:0"
    """Where it listens the first time."""
    credentials: grpc.ServerCredentials | None = None
    port: int = 0
    _called: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until_called(self, times: int) -> None:
        """Wait until so many calls have come in."""
        async with self._called:
            await self._called.wait_for(lambda: self.calls >= times)

    async def __aenter__(self) -> Backend:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.server.stop(None)

    async def start(self) -> None:
        """Serve on the port it had before, or on a free one."""
        self.server: Any = self.module.server()
        kinds: dict[str, Any] = {
            "Name": grpc.unary_unary_rpc_method_handler(self._name),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "Echo": grpc.stream_stream_rpc_method_handler(self._echo),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, kinds),))
        at = self.target or self.bind
        if self.credentials is None:
            self.port = self.server.add_insecure_port(at)
        else:
            self.port = self.server.add_secure_port(at, self.credentials)
        self.target = f"127.0.0.1:{self.port}"
        await self.server.start()

    async def _enter(self, context: Any) -> None:
        async with self._called:
            self.calls += 1
            self._called.notify_all()
        self.seen.append(dict(context.invocation_metadata()))
        if self.fail:
            trailing = () if self.pushback is None else (("grpc-retry-pushback-ms", self.pushback),)
            await context.abort(self.fail.pop(0), "as told", trailing)

    async def _name(self, request: bytes, context: Any) -> bytes:
        await self._enter(context)
        if self.hold is not None:
            await self.hold.wait()
        return self.name.encode() + request

    async def _count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await self._enter(context)
        for number in range(int(request)):
            self.counted += 1
            yield b"%d" % number

    async def _sum(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"%d" % sum([int(each) async for each in requests])

    async def _echo(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for each in requests:
            yield each


def method(name: str) -> str:
    """The path of a method of ``Backend``."""
    return f"/{SERVICE}/{name}"


def namer(channel: Any) -> Any:
    """What calls a backend's unary method."""
    return channel.unary_unary(method("Name"))
