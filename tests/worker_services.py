"""Serve functions for worker processes, which import them from here, and what their clients need."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

import protosocket
from protosocket import rpc

# fmt: off
__all__ = [
    "CODEC", "Message", "blocks_the_loop", "closes_what_it_returns", "die_while_starting", "fail_to_start",
    "fails_from_the_second_start", "gives_no_server", "ignores_its_url", "is_not_async", "never_closes",
    "never_starts", "returns_nothing", "serve", "serves_for_ever", "waits_elsewhere",
]
# fmt: on


class Message(msgspec.Struct, array_like=True):
    """A request, or an answer with the worker's process id."""

    id: int = 0
    control: int = 0
    pid: int = 0


CODEC = rpc.MessagePackCodec(send=Message, receive=Message, id="id", control="control")


class WhoAreYou(rpc.Service):
    """Answers with its process id: at once, or as a stream that takes a while after its first item."""

    def select(self, request: Message) -> Any:
        return self.stream if request.pid else self.unary

    async def unary(self, request: Message) -> Message:
        return Message(pid=os.getpid())

    async def stream(self, request: Message) -> AsyncIterator[Message]:
        yield Message(pid=os.getpid())
        await asyncio.sleep(0.3)
        yield Message(pid=os.getpid())


async def serve(url: str) -> protosocket.Server[rpc.ServedConnection]:
    return await rpc.serve(url, WhoAreYou, CODEC, reuse_port=True)


async def fail_to_start(url: str) -> protosocket.Server[rpc.ServedConnection]:
    raise RuntimeError("there is no database")


async def die_while_starting(url: str) -> protosocket.Server[rpc.ServedConnection]:
    os._exit(3)


async def never_starts(url: str) -> protosocket.Server[rpc.ServedConnection]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


class _NeverCloses:
    def __init__(self, server: protosocket.Server[rpc.ServedConnection]) -> None:
        self._server = server

    async def close(self) -> None:
        await asyncio.Event().wait()


async def never_closes(url: str) -> _NeverCloses:
    return _NeverCloses(await serve(url))


async def blocks_the_loop(url: str) -> protosocket.Server[rpc.ServedConnection]:
    loop = asyncio.get_running_loop()

    def block(turns: int) -> None:
        # Not before the worker could say that it listens.
        if turns:
            loop.call_soon(block, turns - 1)
        else:
            time.sleep(1_000_000)

    loop.call_soon(block, 100)
    return await serve(url)


async def fails_from_the_second_start(marker: str, url: str) -> protosocket.Server[rpc.ServedConnection]:
    _only_once(Path(marker))
    return await serve(url)


def _only_once(marker: Path) -> None:
    if marker.exists():
        raise LookupError("there is no second time")
    marker.touch()


# Mistakes.


def is_not_async(url: str) -> int:
    return 5


async def returns_nothing(url: str) -> None:
    await serve(url)


async def exits(url: str) -> Any:
    sys.exit("there is no database")


async def gives_no_server(url: str) -> str:
    return "server"


async def closes_what_it_returns(url: str) -> protosocket.Server[rpc.ServedConnection]:
    async with rpc.serve(url, WhoAreYou, CODEC, reuse_port=True) as server:
        return server


async def ignores_its_url(url: str) -> protosocket.Server[rpc.ServedConnection]:
    return await serve("tcp://127.0.0.1:0")


async def serves_for_ever(url: str) -> None:
    async with rpc.serve(url, WhoAreYou, CODEC, reuse_port=True) as server:
        await server.serve_forever()


async def waits_elsewhere(url: str) -> protosocket.Server[rpc.ServedConnection]:
    server = await serve(url)
    await asyncio.sleep(0.5)
    return server
