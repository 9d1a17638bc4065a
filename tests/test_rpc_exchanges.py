"""Exchanges of native connections: ids used again at once, messages of open calls, the end's own one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from tests.oracle.framing import Decoder, Framing, frame
from tests.oracle.header import Control

from protosocket import rpc
from protosocket._core import ClientConnection, ServerConnection, WireCodec
from protosocket.connection import ConnectionProtocol, native_limits, open_transport, parse_address
from protosocket.options import ConnectionOptions

OPTIONS = ConnectionOptions(transport="loop")


class Note(msgspec.Struct, array_like=True):
    """A message."""

    id: int = 0
    code: int = 0
    text: str = ""


CODEC = rpc.MessagePackCodec(send=Note, receive=Note, id="id", control="code")


class Client(ClientConnection, ConnectionProtocol):
    """Notes what its hooks are told."""

    def __new__(cls, wire: WireCodec) -> Client:
        """Make the native half."""
        return super().__new__(cls, wire, *native_limits(OPTIONS), True)

    def __init__(self, wire: WireCodec) -> None:
        self._setup(OPTIONS)
        self.told: asyncio.Queue[Note] = asyncio.Queue()
        self.seen: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def _ended(self) -> None:
        self.seen.put_nowait(("lost", self._abandon()))
        self.why = self._closed_error()

    def id_of(self, handle: int) -> int:
        """The id on the wire."""
        return self._id(handle)

    def waiter_of(self, id: int) -> Any:
        """Who waits for the call."""
        return self._waiter(id)

    def _told(self, message: Note) -> None:
        self.told.put_nowait(message)

    def _call_ended(self, waiter: Any, message: Note) -> None:
        self.seen.put_nowait(("end", message.text))

    def _call_cancelled(self, waiter: Any) -> None:
        self.seen.put_nowait(("cancelled", waiter))

    def _call_expired(self, waiter: Any) -> None:
        self.seen.put_nowait(("expired", waiter))


class Sink:
    """Keeps the items of a stream."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def _item(self, message: Note) -> None:
        self.items.append(message.text)


class Peer:
    """The server's end as bytes: what came, and what to say."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.url = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._decoder = Decoder(Framing.MESSAGEPACK, 1 << 20)
        self._got: list[Note] = []

    async def accept(self) -> None:
        """Take the one connection."""
        self._connection, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        self._connection.setblocking(False)

    async def next(self) -> Note:
        """The next message."""
        while not self._got:
            data = await asyncio.get_running_loop().sock_recv(self._connection, 65536)
            assert data, "the client closed the connection"
            self._got += [msgspec.msgpack.decode(item, type=Note) for item in self._decoder.feed(data)]
        return self._got.pop(0)

    async def say(self, *notes: Note) -> None:
        """Send messages."""
        data = b"".join(frame(Framing.MESSAGEPACK, msgspec.msgpack.encode(note)) for note in notes)
        await self.say_bytes(data)

    async def say_bytes(self, data: bytes) -> None:
        """Send bytes."""
        await asyncio.get_running_loop().sock_sendall(self._connection, data)

    def close(self) -> None:
        """Let go of both sockets."""
        self._connection.close()
        self._socket.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
async def client(peer: Peer) -> AsyncIterator[Client]:
    wire = CODEC.client_wire()
    opened = asyncio.create_task(open_transport(parse_address(peer.url), lambda: Client(wire), OPTIONS, None))
    await peer.accept()
    _, client = await opened
    yield client
    client.abort()
    await client.wait_closed()


def unary(client: Client, text: str, timeout: float | None = None) -> tuple[asyncio.Future[Note], int]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Note] = loop.create_future()
    handle = client.call(Note(text=text), future, timeout, loop)
    assert handle
    return future, handle


async def test_an_id_is_used_again_when_its_call_was_answered(client: Client, peer: Peer) -> None:
    handles = set()
    for turn in range(3):
        future, handle = unary(client, str(turn))
        handles.add(handle)
        assert await peer.next() == Note(1, Control.NORMAL, str(turn))
        await peer.say(Note(1, Control.NORMAL, "yes"))
        assert (await future).text == "yes"
    assert len(handles) == 3


async def test_a_cancelled_calls_id_is_used_again_only_when_the_peer_has_ended_it(
    client: Client, peer: Peer
) -> None:
    _, first = unary(client, "first")
    assert client.cancel(first)
    assert not client.cancel(first)
    second, _ = unary(client, "second")
    assert await peer.next() == Note(1, Control.NORMAL, "first")
    assert await peer.next() == Note(1, Control.CANCEL)
    assert await peer.next() == Note(2, Control.NORMAL, "second")
    # The answer had been on its way: it ends the call, and is not the second's.
    await peer.say(Note(1, Control.NORMAL, "late"), Note(2, Control.NORMAL, "for the second"))
    assert (await second).text == "for the second"
    third, _ = unary(client, "third")
    fourth, _ = unary(client, "fourth")
    assert {(await peer.next()).id, (await peer.next()).id} == {1, 2}
    await peer.say(Note(1, text="a"), Note(2, text="b"))
    assert {(await third).text, (await fourth).text} == {"a", "b"}


async def test_a_handle_that_has_ended_reaches_no_other_call(client: Client, peer: Peer) -> None:
    first, old = unary(client, "first")
    await peer.next()
    await peer.say(Note(1, text="done"))
    await first
    second, new = unary(client, "second")
    assert client.send(old, Note(text="late"))
    client.end(old)
    assert not client.cancel(old)
    assert (client.id_of(old), client.id_of(new)) == (0, 1)
    client.send(new, Note(text="in time"))
    assert [(await peer.next()).text, (await peer.next()).text] == ["second", "in time"]
    await peer.say(Note(1, text="done"))
    await second


async def test_a_deadline_is_for_its_own_call_alone(client: Client, peer: Peer) -> None:
    first, _ = unary(client, "first", timeout=0.05)
    await peer.next()
    await peer.say(Note(1, text="in time"))
    await first
    second, _ = unary(client, "second")
    third, _ = unary(client, "third", timeout=0.1)
    kind, waiter = await client.seen.get()
    assert (kind, waiter) == ("expired", third)
    assert not second.done()


async def test_messages_of_an_open_call_and_its_end(client: Client, peer: Peer) -> None:
    loop = asyncio.get_running_loop()
    sink = Sink()
    handle = client.open(Note(text="open"), sink, None, loop)
    client.send(handle, Note(text="more"))
    client.end(handle)
    assert [await peer.next() for _ in range(3)] == [
        Note(1, Control.NORMAL, "open"),
        Note(1, Control.NORMAL, "more"),
        Note(1, Control.END),
    ]
    assert client.waiter_of(1) is sink
    await peer.say(Note(1, text="a"), Note(1, text="b"), Note(1, Control.END, "status"))
    assert await client.seen.get() == ("end", "status")
    assert sink.items == ["a", "b"]
    assert client.waiter_of(1) is None


async def test_messages_about_the_connection(client: Client, peer: Peer) -> None:
    client.tell(Note(text="hello"))
    assert await peer.next() == Note(0, Control.NORMAL, "hello")
    await peer.say(Note(0, text="hello yourself"))
    assert (await client.told.get()).text == "hello yourself"


class Server(ServerConnection, ConnectionProtocol):
    """Gives every message to ``handle``."""

    def __new__(cls, wire: WireCodec, *_: object) -> Server:
        """Make the native half."""
        return super().__new__(cls, wire, *native_limits(OPTIONS), 1000, True)

    def __init__(self, wire: WireCodec, handle: Callable[[Note], Any]) -> None:
        self._setup(OPTIONS)
        self._handle = handle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        super().connection_made(transport)
        self._serve(self._handle, asyncio.get_running_loop())

    def _adopt(self, task: Any, result: Any) -> tuple[Any, bool]:
        return result(self, task), True

    def _handlers_wait(self) -> None:
        pass

    def item(self, task: Any, note: Note) -> bool:
        """Send an item of a stream."""
        return self._item(task, note)

    def _ended(self) -> None:
        self._cancel_all()
        self._release()


async def test_the_handler_gets_every_message_and_answers_those_it_wants_to() -> None:
    def handle(note: Note) -> Any:
        seen.append(note)
        if note.text.startswith("stream"):
            return _Awaitable()
        return None if note.text == "item" or note.code else Note(text=f"re {note.text}")

    class _Awaitable:
        def __call__(self, server: Server, task: Any) -> Any:
            return streamed(server, task)

        def __await__(self) -> Any:
            raise AssertionError

    async def streamed(server: Server, task: Any) -> Note:
        server.item(task, Note(text="one"))
        server.tell(Note(text="about you"))
        return Note(text="status")

    seen: list[Note] = []
    loop = asyncio.get_running_loop()
    wire = CODEC.server_wire()
    server = await loop.create_server(lambda: Server(wire, handle), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    sent = [
        Note(4, text="item"),
        Note(4, text="question"),
        Note(4, Control.END),
        Note(0, text="item"),
        Note(5, text="stream"),
    ]
    for note in sent:
        writer.write(frame(Framing.MESSAGEPACK, msgspec.msgpack.encode(note)))
    got: list[Note] = []
    decoder = Decoder(Framing.MESSAGEPACK, 1 << 20)
    while len(got) < 4:
        received = await reader.read(65536)
        assert received, got
        got += [msgspec.msgpack.decode(item, type=Note) for item in decoder.feed(received)]
    assert seen == sent
    assert got == [
        Note(4, text="re question"),
        Note(5, text="one"),
        Note(0, text="about you"),
        Note(5, Control.END, "status"),
    ]
    writer.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "first", [b"\0\0\x12\x04\0\0\0\0\0" + bytes(18), b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
async def test_a_peer_that_speaks_something_else_is_told(client: Client, peer: Peer, first: bytes) -> None:
    future, _ = unary(client, "hello")
    await peer.say_bytes(first)
    assert await client.seen.get() == ("lost", [future])
    assert "HTTP" in str(client.why)
