"""What the tests with the Rust RPC crates share: versions, messages, codecs, and how to run the programs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tests.interop.conftest import Feature, locked_version
from tests.interop.processes import Serving, Steered, serving, steered
from tests.interop.table import Peer
from tests.oracle import samples

from protosocket import TLS, codecs, rpc

if TYPE_CHECKING:
    from tests.conftest import Certificates

MiB = 1024 * 1024

_HEADER = ["uint64 id = 1", "uint64 code = 2"]
_MESSAGES: Any = samples.declare(
    "interop",
    {
        "Request": [
            "uint64 id = 1",
            "uint64 code = 2",
            "string command = 3",
            "uint64 number = 4",
            "bytes body = 5",
        ],
        "Response": ["uint64 id = 1", "uint64 code = 2", "uint64 number = 3", "bytes body = 4"],
    },
)
ProtobufRequest = _MESSAGES["interop.Request"]
ProtobufResponse = _MESSAGES["interop.Response"]
_NATIVE = codecs.NativeMessages(ProtobufRequest, ProtobufResponse)


class ArrayRequest(msgspec.Struct, array_like=True):
    """As ``rmp-serde`` writes a struct."""

    id: int = 0
    code: int = 0
    command: str = ""
    number: int = 0
    body: bytes = b""


class ArrayResponse(msgspec.Struct, array_like=True):
    """As ``rmp-serde`` writes a struct."""

    id: int = 0
    code: int = 0
    number: int = 0
    body: bytes = b""


class MapRequest(msgspec.Struct):
    """In the form that ``rmp-serde`` only reads."""

    id: int = 0
    code: int = 0
    command: str = ""
    number: int = 0
    body: bytes = b""


class MapResponse(msgspec.Struct):
    """In the form that ``rmp-serde`` only reads."""

    id: int = 0
    code: int = 0
    number: int = 0
    body: bytes = b""


@dataclass(frozen=True)
class Encoding:
    """How messages are written: by us as these classes, by the crate under its own name for it."""

    feature: str
    crate: str
    request: Any
    response: Any
    client: rpc.Codec[Any, Any]
    server: rpc.Codec[Any, Any]


def _messagepack(request: Any, response: Any) -> rpc.Codec[Any, Any]:
    return rpc.MessagePackCodec(send=request, receive=response, id="id", control="code")


_protobuf = rpc.ProtobufCodec(send=ProtobufRequest, receive=ProtobufResponse, id="id", control="code")
_native = rpc.NativeCodec(send=_NATIVE.Request, receive=_NATIVE.Response, id="id", control="code")
_arrays = _messagepack(ArrayRequest, ArrayResponse)

PROTOBUF = Encoding("protobuf", "protobuf", ProtobufRequest, ProtobufResponse, _protobuf, _protobuf)
NATIVE = Encoding(
    "protobuf, native messages here", "protobuf", _NATIVE.Request, _NATIVE.Response, _native, _native
)
MESSAGEPACK = Encoding("MessagePack", "messagepack", ArrayRequest, ArrayResponse, _arrays, _arrays)
MAPS = Encoding(
    "MessagePack, maps from here",
    "messagepack",
    MapRequest,
    MapResponse,
    _messagepack(MapRequest, ArrayResponse),
    _messagepack(ArrayRequest, MapResponse),
)


PROGRAMS = {"2": "rpc-2", "0.12": "rpc-0-12"}
"""The lines of the crate, and the member of interop/Cargo.toml for each."""


@dataclass(frozen=True)
class Wire:
    """What two peers have in common: a version of the crate, an encoding, TCP or TLS."""

    line: str
    encoding: Encoding
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.line}-{self.encoding.feature}-{self.scheme}".replace(", ", "-").replace(" ", "-")

    @property
    def scheme(self) -> str:
        """Of the addresses."""
        return "tls" if self.tls else "tcp"

    def peer(self, end: str) -> Peer:
        """The crate's ``client`` or ``server``."""
        return Peer("RPC", f"protosocket-rpc, {end}", locked_version("protosocket-rpc", f"{self.line}."))

    def named(self, feature: Feature) -> Feature:
        """``feature``, which also tells what encoding and transport it was seen on."""

        def name(text: str) -> None:
            for each in (self.encoding.feature, "TLS" if self.tls else "TCP", text):
                feature(each)

        return name

    def server_tls(self, certificates: Certificates) -> TLS | None:
        """For our server."""
        if not self.tls:
            return None
        return TLS(certificate=certificates.server_certificate, key=certificates.server_key)

    def client_tls(self, certificates: Certificates) -> TLS | None:
        """For our client."""
        return TLS(ca=certificates.ca) if self.tls else None

    @contextmanager
    def rust_server(self, programs: Path, certificates: Certificates) -> Iterator[Serving]:
        """The crate's server as a process."""
        tls = [certificates.server_certificate, certificates.server_key] if self.tls else []
        with serving(programs / PROGRAMS[self.line], "serve", self.encoding.crate, *tls) as server:
            yield server

    @asynccontextmanager
    async def rust_client(self, programs: Path, url: str) -> AsyncIterator[RustClient]:
        """The crate's client as a process, with one connection to ``url``."""
        async with steered(programs / PROGRAMS[self.line], "client", self.encoding.crate, url) as program:
            yield RustClient(program)


_BOTH = (PROTOBUF, MESSAGEPACK)
WIRES = [
    *(
        Wire(line, encoding, tls)
        for line in PROGRAMS
        for encoding in (PROTOBUF, MESSAGEPACK)
        for tls in (False, True)
    ),
    # What differs is on our side alone.
    Wire("2", NATIVE),
    Wire("2", MAPS),
]

SIZES = [1, 1000, 64 * 1024, MiB, 4 * MiB - 64]
"""Of bodies; the last makes a message that is just below the limit of both sides."""

LOST = "Rpc was cancelled remotely"
"""What the crate's client says of a call that the server cancelled, and of one whose connection was lost."""

FINISHED = "Rpc finished"
"""What the crate's client says of a stream that ended, in whatever way."""


OLD_LIMIT = "the crate notices, but keeps the connection, whose task reads in a busy loop; mended in 2"
"""Why a message over its limit does not end a connection of the crate's 0.12."""


OLD_LOSS = "the call waits for ever: the crate looks at new calls only when an answer comes; mended in 2"
"""Why the crate's 0.12 client does not tell of the end of a call that no answer has followed."""


def pattern(size: int) -> bytes:
    """As many bytes as asked for, each telling where it is: what the programs send."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def right(number: int, size: int) -> dict[str, Any]:
    """What the crate's client says of an answer with this number and the body that it sent."""
    return {"ok": {"number": number, "size": size, "same": True, "pattern": True}}


class RustClient:
    """The crate's client: it begins calls when it is told to, and tells what became of them."""

    def __init__(self, program: Steered) -> None:
        assert program.process.stdin is not None
        assert program.process.stdout is not None
        self._orders = program.process.stdin
        self._results = program.process.stdout
        self.kill = program.kill
        self._told: dict[int, dict[str, Any]] = {}
        self._tag = 0

    def begin(self, op: str, command: str, number: int = 0, size: int = 0, **more: Any) -> int:
        """Let it begin a ``unary`` call, a ``stream`` or ``many`` calls; the tag of what it will tell."""
        self._tag += 1
        call = {"command": command, "number": number, "size": size}
        self._write({"op": op, "tag": self._tag, "call": call, **more})
        return self._tag

    def drop(self, tag: int) -> None:
        """Let it drop a call that it has begun, about which it will tell nothing."""
        self._write({"op": "drop", "tag": tag})

    async def result(self, tag: int) -> dict[str, Any]:
        """What became of a call."""
        while tag not in self._told:
            line = await self._results.readline()
            assert line, "the client has ended"
            told = json.loads(line)
            self._told[told.pop("tag")] = told
        return self._told.pop(tag)

    async def first(self) -> int:
        """The tag of what it tells next."""
        line = await self._results.readline()
        told = json.loads(line)
        tag: int = told.pop("tag")
        self._told[tag] = told
        return tag

    async def call(
        self, op: str, command: str, number: int = 0, size: int = 0, **more: Any
    ) -> dict[str, Any]:
        """Begin and await a call."""
        return await self.result(self.begin(op, command, number, size, **more))

    def _write(self, order: dict[str, Any]) -> None:
        self._orders.write(json.dumps(order).encode() + b"\n")
