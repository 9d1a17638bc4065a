"""Native messages on streams and in RPC, with native and with protoc's classes at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import protosocket
from protosocket import Connection, codecs, rpc
from protosocket.cache import protosocket_cache_pb2
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse, Status
from protosocket.errors import ConnectionClosed, EncodeError, InvalidMessage, OptionError
from protosocket.rpc.service import Handler

LOOPBACK = "tcp://127.0.0.1:0"

cache: Any = codecs.NativeMessages(protosocket_cache_pb2)
FIELDS: Any = {"id": "message_id", "control": "control_code"}
NATIVE: Any = rpc.NativeCodec(send=cache.CacheCommand, receive=cache.CacheResponse, **FIELDS)
UPB: Any = rpc.ProtobufCodec(send=CacheCommand, receive=CacheResponse, **FIELDS)


class Store(rpc.Service):
    """Answers a read with the key, in native messages; streams the key byte by byte."""

    def select(self, request: Any) -> Handler:
        get = request.unary and request.unary.get
        return self.stream if get and get.namespace == "stream" else self.unary

    async def unary(self, request: Any) -> Any:
        if request.unary is None or request.unary.get is None:
            return cache.CacheResponse(
                error=cache.CommandError(code=cache.Status.NOT_FOUND, message="no get")
            )
        return cache.CacheResponse(get=cache.GetResponse(value=request.unary.get.key))

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        for byte in request.unary.get.key:
            yield cache.CacheResponse(get=cache.GetResponse(value=bytes([byte])))


class UpbStore(rpc.Service):
    """The same with protoc's classes."""

    async def unary(self, request: Any) -> Any:
        return CacheResponse(get={"value": request.unary.get.key})


def native_get(key: bytes, namespace: str = "n") -> Any:
    return cache.CacheCommand(unary=cache.Unary(get=cache.GetCommand(namespace=namespace, key=key)))


async def test_native_at_both_ends() -> None:
    async with (
        rpc.serve(LOOPBACK, Store, NATIVE) as server,
        rpc.connect(server.addresses[0], NATIVE) as client,
    ):
        keys = [b"%d" % number for number in range(100)]
        answers = await asyncio.gather(*(client.unary(native_get(key)) for key in keys))
        assert [answer.get.value for answer in answers] == keys
        assert len({answer.message_id for answer in answers}) == len(keys)
        streamed = [item.get.value async for item in client.stream(native_get(b"abc", "stream"))]
        assert streamed == [b"a", b"b", b"c"]
        missing = await client.unary(cache.CacheCommand())
        assert missing.error == cache.CommandError(code=5, message="no get")


async def test_native_and_upb_talk_to_each_other() -> None:
    async with (
        rpc.serve(LOOPBACK, Store, NATIVE) as native_server,
        rpc.serve(LOOPBACK, UpbStore, UPB) as upb_server,
        rpc.connect(native_server.addresses[0], UPB) as upb_client,
        rpc.connect(upb_server.addresses[0], NATIVE) as native_client,
    ):
        answer = await upb_client.unary(CacheCommand(unary={"get": {"key": b"k"}}))
        assert answer.get.value == b"k"
        error = await upb_client.unary(CacheCommand())
        assert error.error.code == Status.NOT_FOUND
        answer = await native_client.unary(native_get(b"k"))
        assert answer.get == cache.GetResponse(value=b"k")


async def test_a_wrong_request_reaches_its_caller_and_the_connection_lives() -> None:
    async with (
        rpc.serve(LOOPBACK, Store, NATIVE) as server,
        rpc.connect(server.addresses[0], NATIVE) as client,
    ):
        with pytest.raises(EncodeError, match=r"GetCommand\.key takes bytes, not str"):
            await client.unary(native_get("text"))  # type: ignore[arg-type]
        with pytest.raises(EncodeError, match="CacheCommand"):
            await client.unary(cache.CacheResponse())
        assert (await client.unary(native_get(b"k"))).get.value == b"k"


async def test_streams_of_native_messages() -> None:
    async def echo(connection: Connection[Any, Any]) -> None:
        async for message in connection:
            await connection.send(message)

    native = codecs.Native(send=cache.SetCommand, receive=cache.SetCommand)
    upb = codecs.Protobuf(send=protosocket_cache_pb2.SetCommand, receive=protosocket_cache_pb2.SetCommand)
    async with (
        protosocket.listen(LOOPBACK, native, echo) as server,
        protosocket.connect(server.addresses[0], native) as client,
        protosocket.connect(server.addresses[0], upb) as other,
    ):
        message = cache.SetCommand(namespace="n", key=b"k", value=bytes(100_000), ttl_milliseconds=2**64 - 1)
        for each in (message, cache.SetCommand(), message):
            await client.send(each)
        assert [await client.receive() for _ in range(3)] == [message, cache.SetCommand(), message]
        await other.send(cache.to_protobuf(message))
        assert await other.receive() == cache.to_protobuf(message)


async def test_bytes_that_are_no_message_end_the_connection() -> None:
    closed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def take(connection: Connection[Any, Any]) -> None:
        try:
            await connection.receive()
        except ConnectionClosed as error:
            closed.set_result(error)

    native = codecs.Native(send=cache.SetCommand, receive=cache.SetCommand)
    async with (
        protosocket.listen(LOOPBACK, native, take) as server,
        protosocket.connect(server.addresses[0], codecs.Bytes()) as client,
    ):
        await client.send(b"\x0a\x05x")
        error = await closed
        assert isinstance(error, InvalidMessage)


@pytest.mark.parametrize("wrong", [CacheCommand, int, None, codecs.NativeMessage])
def test_only_classes_of_native_messages_will_do(wrong: Any) -> None:
    with pytest.raises(OptionError, match="send is a class of NativeMessages"):
        codecs.Native(send=wrong, receive=cache.CacheResponse)
    with pytest.raises(OptionError, match="receive is a class of NativeMessages"):
        rpc.NativeCodec(send=cache.CacheCommand, receive=wrong, **FIELDS)


def test_header_fields_are_checked() -> None:
    with pytest.raises(OptionError, match="has no field 'number'"):
        rpc.NativeCodec(
            send=cache.CacheCommand, receive=cache.CacheResponse, id="number", control="control_code"
        )
