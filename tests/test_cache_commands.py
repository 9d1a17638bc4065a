"""Everyday commands without message objects: the same bytes and the same answers as with them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.framing import Framing, frame
from tests.patience import HANG
from tests.rpc_support import raw_client, until

from protosocket._core import CacheCommands
from protosocket.cache import Hit, Miss, StorageHandler, TokenPolicy, create_engine
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.commands import KEY_NOT_FOUND, execute
from protosocket.cache.commands.delete import DELETE
from protosocket.cache.commands.get import GET
from protosocket.cache.commands.set import SET
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.errors import CacheError, CacheUnavailable, OptionError

get_command, set_command, delete_command = GET.request, SET.request, DELETE.request
read_get, read_set, read_delete = GET.read, SET.read, DELETE.read

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
octets = st.binary(max_size=300)


@given(names, octets, octets, st.floats(min_value=0.001, max_value=1e12))
def test_commands_are_encoded_as_upb_encodes_them(name: str, key: bytes, value: bytes, ttl: float) -> None:
    get = pb.CacheCommand(unary=pb.Unary(get=pb.GetCommand(namespace=name, key=key)))
    assert get_command(name, key) == get.SerializeToString()
    delete = pb.CacheCommand(unary=pb.Unary(delete=pb.DeleteCommand(namespace=name, key=key)))
    assert delete_command(name, key) == delete.SerializeToString()
    encoded = set_command(name, key, value, ttl)
    put = pb.CacheCommand.FromString(encoded).unary.set
    assert (put.namespace, put.key, put.value) == (name, key, value)
    assert ttl * 1000 <= put.ttl_milliseconds < ttl * 1000 * 1.001 + 1
    assert encoded == pb.CacheCommand(unary=pb.Unary(set=put)).SerializeToString()


def test_what_is_no_command_is_refused_before_anything_is_sent() -> None:
    command: Any = get_command
    for arguments in (("n", "k"), (b"n", b"k"), ("n",), ("n", None)):
        with pytest.raises(TypeError):
            command(*arguments)
    with pytest.raises(UnicodeEncodeError):
        get_command("\ud800", b"k")
    for ttl in (0, -1, float("nan"), float("inf")):
        with pytest.raises(OptionError):
            set_command("n", b"k", b"v", ttl)


@given(octets, st.integers(0, 2**64 - 1), st.booleans())
def test_a_response_is_read_with_anything_beside_it(value: bytes, message_id: int, unknown: bool) -> None:
    found = pb.CacheResponse(message_id=message_id, get=pb.GetResponse(value=value)).SerializeToString()
    more = b"\xf8\x07\x01" if unknown else b""
    assert read_get(found + more) == Hit(value)
    assert read_get(more + found + found) == Hit(value)


def test_other_responses() -> None:
    missing = pb.CommandError(code=pb.NOT_FOUND, message=KEY_NOT_FOUND)
    assert read_get(pb.CacheResponse(error=missing).SerializeToString()) == Miss()
    unavailable = pb.CacheResponse(error=pb.CommandError(code=pb.UNAVAILABLE, message="down"))
    stored = pb.CacheResponse(message_id=7, set=pb.SetResponse()).SerializeToString()
    removed = pb.CacheResponse(message_id=7, delete=pb.DeleteResponse()).SerializeToString()
    read_set(stored)
    read_delete(removed)
    readers: list[Any] = [read_get, read_set, read_delete]
    for read in readers:
        with pytest.raises(CacheError, match="down"):
            read(unavailable.SerializeToString())
        with pytest.raises(CacheError, match="something else: nothing"):
            read(b"")
    with pytest.raises(CacheError, match="something else: set"):
        read_get(stored)
    with pytest.raises(CacheError, match="something else: delete"):
        read_set(removed)
    with pytest.raises(CacheError, match="something else: set"):
        read_delete(stored)


key = st.sampled_from([b"", b"a", b"b"])
name = st.sampled_from(["", "n", "é"])
commands = st.one_of(
    st.builds(lambda n, k: pb.Unary(get=pb.GetCommand(namespace=n, key=k)), name, key),
    st.builds(
        lambda n, k, v, t: pb.Unary(set=pb.SetCommand(namespace=n, key=k, value=v, ttl_milliseconds=t)),
        name,
        key,
        st.sampled_from([b"", b"value", bytes(300), bytes(70_000)]),
        st.sampled_from([0, 60_000]),
    ),
    st.builds(lambda n, k: pb.Unary(delete=pb.DeleteCommand(namespace=n, key=k)), name, key),
    st.just(pb.Unary()),
)
# A field that nobody knows, and the command merged with itself: what the native handler leaves to Python.
disguises = st.sampled_from([lambda b: b, lambda b: b + b"\xf8\x07\x01", lambda b: b + b])


@given(st.lists(st.tuples(commands, disguises), min_size=1, max_size=30))
async def test_a_storage_answers_the_same_whoever_carries_a_command_out(script: Any) -> None:
    engine = create_engine(64 * 1024)
    handler = StorageHandler(create_engine(64 * 1024))
    storage = await serve_storage("tcp://127.0.0.1:0", handler, tokens=TokenPolicy())
    async with raw_client(storage.url) as peer:
        for number, (unary, disguise) in enumerate(script, 1):
            encoded = disguise(pb.CacheCommand(unary=unary).SerializeToString())
            peer.raw(frame(Framing.VARINT, b"\x10%c" % number + encoded))
            answer = pb.CacheResponse.FromString(await peer.encoded())
            request = MESSAGES.decode(MESSAGES.CacheCommand, encoded)
            expected: Any = MESSAGES.to_protobuf(execute(engine, request.unary))
            expected.message_id = number
            assert answer == expected
    assert handler.engine.statistics() == engine.statistics()
    await storage.close()


async def test_nothing_is_carried_out_before_the_token() -> None:
    handler = StorageHandler(create_engine())
    storage = await serve_storage("tcp://127.0.0.1:0", handler, tokens=TokenPolicy(["secret"]))
    async with raw_client(storage.url) as peer:

        async def exchange(encoded: bytes) -> pb.CacheResponse:
            peer.raw(frame(Framing.VARINT, encoded))
            return pb.CacheResponse.FromString(await peer.encoded())

        put = set_command("n", b"k", b"v", 60)
        assert (await exchange(put)).error.code == pb.UNAUTHENTICATED
        assert handler.engine.statistics()["items"] == 0
        token = pb.Unary(auth=pb.AuthenticateCommand(token="secret"))
        assert (await exchange(pb.CacheCommand(unary=token).SerializeToString())).HasField("auth")
        assert (await exchange(put)).HasField("set")
        assert (await exchange(get_command("n", b"k"))).get.value == b"v"
    await storage.close()


async def test_a_connection_leaves_nothing_for_the_garbage_collector() -> None:
    def alive() -> int:
        return sum(isinstance(each, CacheCommands) for each in gc.get_objects())

    storage = await serve_storage("tcp://127.0.0.1:0", StorageHandler(create_engine()), tokens=TokenPolicy())
    gc.collect()
    gc.disable()
    try:
        async with raw_client(storage.url) as peer:
            peer.raw(frame(Framing.VARINT, get_command("n", b"k")))
            await peer.encoded()
            assert alive() == 1
        await until(lambda: alive() == 0)
    finally:
        gc.enable()
    await storage.close()


async def test_a_response_that_cannot_be_read_is_the_cache_unavailable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(frame(Framing.VARINT, b"\x08\x01\x4a\x04\x12\x02\xff\xff"))  # an error's text, not UTF-8
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with ProtosocketCacheClient(f"tcp://127.0.0.1:{port}") as cache:
        with pytest.raises(CacheUnavailable, match="UTF-8"):
            await cache.get("n", b"k", timeout=HANG)
    server.close()
