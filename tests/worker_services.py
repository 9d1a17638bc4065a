"""Serve functions for worker processes, which import them from here, and what their clients need."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec

import protosocket
from protosocket import rpc

__all__ = ["CODEC", "Message", "die_while_starting", "fail_to_start", "never_closes", "never_starts", "serve"]


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
