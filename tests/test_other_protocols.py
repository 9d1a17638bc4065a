"""Other protocols on our ports: told and ended, also where little comes of them; what is ours stays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from google.protobuf.api_pb2 import Method
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import protosocket
import protosocket.grpc
from protosocket import ConnectionOptions, codecs, errors, rpc
from protosocket.cache import StorageHandler, TokenPolicy, create_engine
from protosocket.cache.protosocket_router import ProtosocketBackend, serve_router
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.limited_log import limited_log

ANYWHERE = "tcp://127.0.0.1:0"

SOON = ConnectionOptions(connect_timeout=0.05)

HTTP, RESP, PROXY = "it speaks HTTP/1", "it speaks RESP", "it speaks the PROXY protocol"

TOLD = {
    b"GET / HTTP/1.0\r\n\r\n": HTTP,
    b"GET /some/path HTTP/1.1\r\nHost: example.org\r\nUser-Agent: a\r\nAccept: */*\r\nX: 1\r\n\r\n": HTTP,
    b"HEAD / HTTP/1.1\r\n\r\n": HTTP,
    b"POST /a HTTP/1.1\r\n\r\n": HTTP,
    b"DELETE /x HTTP/1.1\r\n\r\n": HTTP,
    b"OPTIONS * HTTP/1.1\r\n\r\n": HTTP,
    b"CONNECT a:443 HTTP/1.1\r\n\r\n": HTTP,
    b"HTTP/1.1 400 Bad Request\r\n\r\n": HTTP,
    b"PING\r\n": RESP,
    b"*1\r\n$4\r\nPING\r\n": RESP,
    b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n": RESP,
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n": PROXY,
    b"PROXY UNKNOWN\r\n": PROXY,
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0": PROXY,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": "it speaks HTTP/2",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "it speaks TLS",
}


class Item(msgspec.Struct, array_like=True):
    id: int = 0
    control: int = 0


class Echo(rpc.Service):
    def unary(self, request: Any) -> Any:
        return request


async def swallow(connection: protosocket.Connection[Any, Any]) -> None:
    async for _ in connection:
        pass


NATIVE = codecs.NativeMessages(Field)

CODECS: dict[str, Any] = {
    "stream": codecs.Protobuf(send=Field, receive=Field),
    "native stream": codecs.Native(send=NATIVE.FieldDescriptorProto, receive=NATIVE.FieldDescriptorProto),
    "rpc": rpc.ProtobufCodec(send=Field, receive=Field, id="number", control="oneof_index"),
    "native rpc": rpc.NativeCodec(
        send=NATIVE.FieldDescriptorProto,
        receive=NATIVE.FieldDescriptorProto,
        id="number",
        control="oneof_index",
    ),
    "messagepack rpc": rpc.MessagePackCodec(send=Item, receive=Item, id="id", control="control"),
}


@asynccontextmanager
async def face(name: str) -> AsyncIterator[str]:
    """Where a server listens."""
    if name in ("storage", "router"):
        storage = await serve_storage(
            ANYWHERE, StorageHandler(create_engine(2**20)), tokens=TokenPolicy(), options=SOON
        )
        backend = ProtosocketBackend([storage.url])
        await backend.connect(10)
        router = await serve_router(ANYWHERE, backend, tokens=TokenPolicy(), options=SOON)
        yield storage.url if name == "storage" else router.url
        await router.close()
        await backend.close()
        await storage.close()
        return
    if name == "grpc":
        grpc_server = protosocket.grpc.server()
        port = grpc_server.add_insecure_port("127.0.0.1:0")
        await grpc_server.start()
        yield f"tcp://127.0.0.1:{port}"
        await grpc_server.stop(None)
        return
    codec = CODECS[name]
    opening = (
        protosocket.listen(ANYWHERE, codec, swallow, options=SOON)
        if "stream" in name
        else rpc.serve(ANYWHERE, Echo, codec, options=SOON)
    )
    async with opening as server:
        yield server.addresses[0]


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize("name", [*CODECS, "storage", "router", "grpc"])
async def test_a_server_ends_them_and_says_what_they_are(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "protosocket")
    async with face(name) as url:
        for sent, what in TOLD.items():
            if name == "grpc" and "HTTP/2" in what:
                continue  # which gets an answer in its own protocol
            caplog.clear()
            limited_log.forget()
            reader, writer = await connected(url)
            writer.write(sent)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            (record,) = caplog.records
            assert what in record.getMessage(), sent


@pytest.mark.parametrize("name", ["rpc", "native rpc", "messagepack rpc"])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n"])
async def test_a_client_that_is_answered_by_another_protocol(name: str, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await reader.read()
        writer.close()

    codec = CODECS[name]
    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        rpc.connect(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", codec) as client,
    ):
        with pytest.raises(errors.InvalidMessage, match="sent bytes that are no message") as caught:
            await client.unary(codec.send())
        assert "HTTP/1" in str(caught.value) or answer.startswith(b"-")


def framed(payload: bytes) -> bytes:
    assert len(payload) < 128
    return bytes([len(payload)]) + payload


async def received(codec: Any, pieces: list[bytes], wanted: int) -> list[Any]:
    """What a stream gets of these bytes, sent one piece after another."""
    got: list[Any] = []
    done = asyncio.Event()

    async def keep(connection: protosocket.Connection[Any, Any]) -> None:
        async for message in connection:
            got.append(message)
            if len(got) == wanted:
                done.set()

    async with protosocket.listen(ANYWHERE, codec, keep) as server:
        _, writer = await connected(server.addresses[0])
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            # A few turns, so that pieces mostly arrive by themselves.
            for _ in range(5):
                await asyncio.sleep(0)
        await done.wait()
        writer.close()
    return got


# Legal messages that begin like commands of Redis: the length "P", then a field of eight bytes called "I".
LIKE_PING = b"ING\r\n" + bytes(4) + b"\x0a\x45" + b"x" * 69
# ... and like HTTP/2: a field called "R" of 73 bytes.
LIKE_HTTP2 = b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"y" * 52 + b"\x0a\x03abc"


@pytest.mark.parametrize("payload", [LIKE_PING, LIKE_HTTP2], ids=["PING", "PRI"])
@pytest.mark.parametrize("name", ["stream", "native stream"])
async def test_a_message_that_begins_like_another_protocol_is_one(name: str, payload: bytes) -> None:
    assert len(payload) == ord("P")
    Field.FromString(payload)
    wire = framed(payload) * 2
    for cut in (6, 7, 24, 30):
        assert len(await received(CODECS[name], [wire[:cut], wire[cut:]], 2)) == 2


async def test_it_has_as_long_as_a_handshake(caplog: pytest.LogCaptureFixture) -> None:
    async with protosocket.listen(ANYWHERE, CODECS["stream"], swallow, options=SOON) as server:
        reader, writer = await connected(server.addresses[0])
        writer.write(framed(LIKE_PING)[:6])
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    assert RESP in caplog.text


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Method,
        name=st.text(max_size=9),
        request_streaming=st.booleans(),
        request_type_url=st.text(max_size=9),
    ),
    st.data(),
)
async def test_messages_arrive_however_they_are_cut(message: Method, data: st.DataObject) -> None:
    wire = framed(message.SerializeToString()) * 2
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire)), max_size=4)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) if a < b]
    assert await received(codecs.Protobuf(send=Method, receive=Method), pieces, 2) == [message] * 2


@pytest.mark.parametrize("codec", [codecs.Bytes(), codecs.Lines()], ids=["bytes", "lines"])
async def test_where_any_byte_is_legal_all_are_taken(codec: Any) -> None:
    text = b"GET / HTTP/1.0" + b"x" * 57 + b"\n"
    (message,) = await received(codec, [text[:16], text[16:]], 1)
    assert len(message) == 71
