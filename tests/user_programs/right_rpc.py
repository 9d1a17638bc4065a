"""RPC: a service with every kind of method, and its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import assert_type

import msgspec

import protosocket
from protosocket import rpc


class Ask(msgspec.Struct, array_like=True):
    id: int = 0
    control: int = 0
    name: str = ""


class Tell(msgspec.Struct, array_like=True):
    id: int = 0
    control: int = 0
    text: str = ""


CODEC = rpc.MessagePackCodec(send=Ask, receive=Tell, id="id", control="control")


class Ordinary(rpc.Service):
    """It has nothing to wait for."""

    def unary(self, request: Ask) -> Tell:
        return Tell(text=request.name)


class Waiting(rpc.Service):
    async def unary(self, request: Ask) -> Tell:
        await asyncio.sleep(0)
        return Tell(text=request.name)


class Generating(rpc.Service):
    async def stream(self, request: Ask) -> AsyncIterator[Tell]:
        for character in request.name:
            yield Tell(text=character)


class HandingOn(rpc.Service):
    def stream(self, request: Ask) -> AsyncIterator[Tell]:
        return Generating().stream(request)


class Choosing(rpc.Service):
    """Methods by name, as docs/rpc.md has them."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting
        self.user: str | None = None

    def connected(self) -> None:
        self.user = self.peer

    def select(self, command: Ask) -> rpc.Handler:
        if command.name == "all":
            return self.stream
        return {"login": self.login, "whoami": self.whoami}.get(command.name, self.unary)

    def login(self, request: Ask) -> Tell:
        self.user = request.name
        return Tell(text=self.greeting)

    async def whoami(self, _: Ask) -> Tell:
        return Tell(text=self.user or "nobody")

    async def unary(self, request: Ask) -> Tell:
        raise rpc.Rejected(f"no {request.name}")

    async def stream(self, command: Ask) -> AsyncIterator[Tell]:
        yield Tell(text=command.name)


async def log_in(call: rpc.FirstCall[Ask, Tell]) -> None:
    assert_type((await call(Ask(name="ada"))).text, str)


async def use(client: rpc.Client[Ask, Tell]) -> None:
    assert_type(await client.unary(Ask(), timeout=1), Tell)
    async for item in client.stream(Ask(), timeout=1):
        assert_type(item, Tell)
    async with aclosing(client.stream(Ask())) as items:
        assert_type([item.text async for item in items], list[str])
    assert_type(client.statistics(), list[protosocket.ConnectionStatistics])
    both = await asyncio.gather(client.unary(Ask()), client.unary(Ask()))
    assert_type(both, tuple[Tell, Tell])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.unary(Ask()))
    assert_type(task.result(), Tell)
    assert_type(await asyncio.wait_for(client.unary(Ask()), 1), Tell)


async def serve(url: str) -> protosocket.Server[rpc.ServedConnection]:
    """What each worker runs."""
    return await rpc.serve(url, Waiting, CODEC, reuse_port=True)


async def main() -> None:
    asyncio.get_running_loop().set_task_factory(rpc.task_factory)
    services: list[type[rpc.Service]] = [Ordinary, Waiting, Generating, HandingOn]
    for service in services:
        async with rpc.serve("tcp://127.0.0.1:0", service, CODEC):
            pass
    async with (
        rpc.serve("tcp://127.0.0.1:0", lambda: Choosing("hello"), CODEC) as server,
        rpc.connect(server.addresses[0], CODEC, connections=2, greet=log_in) as client,
    ):
        assert_type(client, rpc.Client[Ask, Tell])
        await use(client)
    async with protosocket.start_workers(serve, "tcp://127.0.0.1:0", workers=2) as workers:
        assert_type(workers.addresses, tuple[str, ...])


if __name__ == "__main__":
    asyncio.run(main())
    protosocket.run_workers(serve, "tcp://127.0.0.1:0", workers=2)
