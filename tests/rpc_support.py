"""What the tests of the RPC layer share: message types, a service with gates, peers that speak bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from tests.oracle import samples
from tests.oracle.framing import Decoder, Framing, frame
from tests.oracle.header import Control, Header
from tests.patience import HANG

from protosocket import rpc
from protosocket.codecs import NativeMessages
from protosocket.rpc.service import Handler

SimpleMessage: Any = samples.PROTOBUF["samples.Simple"]


class InArray(msgspec.Struct, array_like=True):
    """Written as an array."""

    id: int = 0
    code: int = 0
    body: bytes = b""


class InMap(msgspec.Struct):
    """Written as a map."""

    id: int = 0
    code: int = 0
    body: bytes = b""


class NoDefaults(msgspec.Struct, array_like=True):
    """Has no value without anything in it."""

    body: bytes
    id: int
    code: int


class Kind:
    """One message type for both directions, with a body of bytes, and its codec."""

    def __init__(self, message: Any, codec: rpc.Codec[Any, Any], make: Callable[[bytes], Any]) -> None:
        self.message = message
        self.codec = codec
        self.make = make


PROTOBUF = Kind(
    SimpleMessage,
    rpc.ProtobufCodec(send=SimpleMessage, receive=SimpleMessage, id="id", control="code"),
    lambda body: SimpleMessage(body=body),
)
ARRAY = Kind(
    InArray,
    rpc.MessagePackCodec(send=InArray, receive=InArray, id="id", control="code"),
    lambda body: InArray(body=body),
)
MAP = Kind(
    InMap,
    rpc.MessagePackCodec(send=InMap, receive=InMap, id="id", control="code"),
    lambda body: InMap(body=body),
)
NO_DEFAULTS = Kind(
    NoDefaults,
    rpc.MessagePackCodec(
        send=NoDefaults,
        receive=NoDefaults,
        id="id",
        control="code",
        empty_send=NoDefaults(b"", 0, 0),
        empty_receive=NoDefaults(b"", 0, 0),
    ),
    lambda body: NoDefaults(body, 0, 0),
)
_native: Any = NativeMessages(SimpleMessage)
NATIVE = Kind(
    _native.Simple,
    rpc.NativeCodec(send=_native.Simple, receive=_native.Simple, id="id", control="code"),
    lambda body: _native.Simple(body=body),
)
KINDS = {"protobuf": PROTOBUF, "native": NATIVE, "array": ARRAY, "map": MAP, "no defaults": NO_DEFAULTS}

CODEC = PROTOBUF.codec
LAYOUT = samples.protobuf_layout("samples.Simple")


def message(body: bytes = b"") -> Any:
    """A protobuf message with this body."""
    return SimpleMessage(body=body)


class Service(rpc.Service):
    """Does what a request's body says, written ``verb argument``, and notes what happens to its handlers.

    ``echo``, ``sync``, ``wait NAME`` (until ``open(NAME)``), ``count N`` and ``endless`` (streams),
    ``fail``, ``reject``, ``nothing`` (returns what cannot be encoded).
    """

    def __init__(self, kind: Kind = PROTOBUF) -> None:
        self.kind = kind
        self.notes: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.running = 0
        self.most_running = 0
        self.started = 0
        self.sent = 0

    def open(self, name: str) -> None:
        """Let the handlers of ``wait NAME`` answer."""
        self.gates.setdefault(name, asyncio.Event()).set()

    def connected(self) -> None:
        self.notes.append("connected")

    def disconnected(self) -> None:
        self.notes.append("disconnected")

    def select(self, request: Any) -> Handler:
        verb = bytes(request.body).split(b" ")[0].decode()
        method: Handler = getattr(self, f"do_{verb}")
        return method

    def argument(self, request: Any) -> str:
        return bytes(request.body).partition(b" ")[2].decode()

    async def do_echo(self, request: Any) -> Any:
        self.started += 1
        return self.kind.make(request.body)

    def do_sync(self, request: Any) -> Any:
        return self.kind.make(request.body)

    async def do_wait(self, request: Any) -> Any:
        name = self.argument(request)
        self.started += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gates.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.notes.append(f"cancelled {name}")
            raise
        finally:
            self.running -= 1
        return self.kind.make(request.body)

    async def do_count(self, request: Any) -> AsyncIterator[Any]:
        for number in range(int(self.argument(request))):
            yield self.kind.make(b"%d" % number)

    async def do_endless(self, request: Any) -> AsyncIterator[Any]:
        filler = bytes(int(self.argument(request) or 0))
        self.running += 1
        try:
            while True:
                self.sent += 1
                yield self.kind.make(filler)
        finally:
            self.running -= 1
            self.notes.append("endless ended")

    async def do_fail(self, request: Any) -> Any:
        raise LookupError("on purpose")

    def do_reject(self, request: Any) -> Any:
        raise rpc.Rejected("not today")

    async def do_nothing(self, request: Any) -> Any:
        return None


@contextlib.asynccontextmanager
async def served(
    kind: Kind = PROTOBUF, url: str = "tcp://127.0.0.1:0", **settings: Any
) -> AsyncIterator[tuple[str, Service]]:
    """A server with one ``Service`` for all its connections: its address and the service."""
    service = Service(kind)
    async with rpc.serve(url, lambda: service, kind.codec, **settings) as server:
        yield server.addresses[0], service


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds; the test fails if it does not within five seconds."""
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0.001)


class Peer:
    """A connection that speaks hand-written protobuf messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = Decoder(Framing.VARINT, 1 << 24)
        self._messages: list[bytes] = []

    def send(self, call_id: int, control: int = 0, body: bytes = b"") -> None:
        """Send a message with this header."""
        encoded = SimpleMessage(id=call_id, code=control, body=body).SerializeToString()
        self.writer.write(frame(Framing.VARINT, encoded))

    def raw(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)

    async def encoded(self) -> bytes:
        """The next message as it is; ``EOFError`` at the end."""
        async with asyncio.timeout(HANG):
            while not self._messages:
                data = await self.reader.read(1 << 16)
                if not data:
                    raise EOFError
                self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    async def receive(self) -> tuple[Header, bytes]:
        """The next message: its header and its body; ``EOFError`` at the end."""
        encoded = await self.encoded()
        return LAYOUT.scan(encoded), SimpleMessage.FromString(encoded).body

    async def nothing_before(self, call_id: int) -> None:
        """Make a call that is answered at once; fail if anything else arrives before its answer."""
        self.send(call_id, body=b"echo barrier")
        assert await self.receive() == (Header(call_id, Control.NORMAL), b"echo barrier")

    async def close(self) -> None:
        """End the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[Peer]:
    """A client that speaks bytes to the server at ``url``."""
    host, port = url.removeprefix("tcp://").rsplit(":", 1)
    peer = Peer(*await asyncio.open_connection(host, int(port)))
    try:
        yield peer
    finally:
        await peer.close()


class RawServer:
    """A server that speaks bytes; its connections come out of ``accept``."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> RawServer:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = Peer(reader, writer)
            self._peers.append(peer)
            self._accepted.put_nowait(peer)

        self._server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        self.url = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def accept(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(HANG):
            return await self._accepted.get()

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self._peers:
            await peer.close()


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{sock.getsockname()[1]}"
