"""What a thousand connections with nothing to do cost a server, counted in allocations."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.places import echo

import protosocket
from protosocket import codecs, rpc
from protosocket.connection import Decoded, Incomplete

ANYWHERE = "tcp://127.0.0.1:0"
COUNT = 1000
# The first ones make the server allocate what is not theirs.
FIRST = 20
# Of memory that Python knows; 16 KiB with what the C library adds is what an idle connection may cost.
MOST = 12 * 1024
# Of buffers, which are not Python's.
MOST_BUFFERED = 512


class Message(msgspec.Struct, array_like=True):
    """A request or an answer."""

    id: int = 0
    control: int = 0
    content: bytes = b""


CODEC = rpc.MessagePackCodec(send=Message, receive=Message, id="id", control="control")


class Echo(rpc.Service):
    """Sends back what it gets."""

    async def unary(self, request: Message) -> Message:
        return Message(content=request.content)


class Prefixed:
    """A codec of one's own: a byte with the length, and as many bytes."""

    def encode(self, message: bytes, /) -> bytes:
        return bytes([len(message)]) + message

    def decode(self, unread: memoryview, /) -> Decoded[bytes] | Incomplete:
        size = 1 + unread[0]
        if len(unread) < size:
            return Incomplete(size)
        return Decoded(bytes(unread[1:size]), size)


@asynccontextmanager
async def serving(kind: str) -> AsyncIterator[tuple[protosocket.Server[Any], bytes]]:
    """A server, and a message to which it answers with as many bytes."""
    content = bytes(100)
    async with AsyncExitStack() as stack:
        if kind == "stream":
            server = await stack.enter_async_context(protosocket.listen(ANYWHERE, codecs.Bytes(), echo))
            yield server, bytes([100]) + content
        elif kind == "own codec":
            own = await stack.enter_async_context(protosocket.listen(ANYWHERE, Prefixed(), echo))
            yield own, bytes([100]) + content
        else:
            served = await stack.enter_async_context(rpc.serve(ANYWHERE, Echo, CODEC))
            message = msgspec.msgpack.encode(Message(1, 0, content))
            yield served, b"\xce" + len(message).to_bytes(4, "big") + message


async def crowd(url: str, count: int, message: bytes) -> list[socket.socket]:
    """Connections that have sent fifty messages at once and taken the answers."""
    loop = asyncio.get_running_loop()
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    members = []
    for _ in range(count):
        member = socket.socket()
        member.setblocking(False)
        members.append(member)
        await loop.sock_connect(member, (host, int(port)))
        await loop.sock_sendall(member, 50 * message)
        left = 50 * len(message)
        while left:
            left -= len(await loop.sock_recv(member, left))
    return members


@pytest.fixture(autouse=True)
def enough_descriptors() -> Iterator[None]:
    """Both ends of every connection are in this process; many systems begin with 1024 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4 * COUNT, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["stream", "rpc"])
async def test_idle_connections_are_small(kind: str) -> None:
    async with serving(kind) as (server, message):
        members = await crowd(server.addresses[0], FIRST, message)
        gc.collect()
        tracemalloc.start(1)
        try:
            members += await crowd(server.addresses[0], COUNT, message)
            gc.collect()
            traced, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert server.connections == FIRST + COUNT
        assert traced / COUNT <= MOST
        assert max(protocol._memory for protocol in server.protocols) <= MOST_BUFFERED  # noqa: SLF001
        for member in members:
            member.close()


async def test_a_codec_of_ones_own_gives_the_shared_buffer_back() -> None:
    async with serving("own codec") as (server, message):
        members = await crowd(server.addresses[0], FIRST, message)
        assert server.connections == FIRST
        assert max(protocol._memory for protocol in server.protocols) <= MOST_BUFFERED  # noqa: SLF001
        for member in members:
            member.close()
