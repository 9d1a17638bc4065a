"""The protosocket client of Momento's Rust SDK against our router and storage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.interop.conftest import Feature, locked_version
from tests.interop.momento_support import (
    SECOND_VERSION,
    SECRET,
    Cache,
    cache,
    delete,
    first_version,
    get,
    hit,
    put,
    router,
    sdk,
    storage,
    write_tokens,
)
from tests.interop.processes import Steered
from tests.interop.recording import recording
from tests.interop.table import Peer
from tests.patience import HANG

from protosocket import TLS, rpc
from protosocket.cache import Hit, Miss
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.protosocket_client import ProtosocketCacheClient

CODEC = rpc.ProtobufCodec(
    send=pb.CacheCommand, receive=pb.CacheResponse, id="message_id", control="control_code"
)


@pytest.fixture
def peer() -> Peer:
    return Peer("Momento", "momento (Rust), client", locked_version("momento"))


@pytest.fixture(scope="module", params=["tcp", "tls"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    """The cache's programs, over plain TCP and with a self-signed certificate."""
    with cache(tmp_path_factory.mktemp("cache"), request.param) as running:
        yield running


@pytest.fixture
async def client(programs: Path, system: Cache) -> AsyncIterator[Steered]:
    async with sdk(programs, system.router.url) as program:
        yield program


async def test_get_set_delete(feature: Feature, system: Cache, client: Steered) -> None:
    feature(f"authenticate, get, set, delete, miss over {system.security}")
    assert await client.one(get(b"key")) == "miss"
    assert await client.one(delete(b"key")) == "done"
    for value in (b"value", b"", bytes(range(256))):
        assert await client.one(put(b"key", value)) == "done"
        assert await client.one(get(b"key")) == hit(value)
    assert await client.one(get(b"key", cache="another cache")) == "miss"
    assert await client.one(put(b"", b"under the empty key")) == "done"
    assert await client.one(get(b"")) == hit(b"under the empty key")
    assert await client.one(delete(b"key")) == "done"
    assert await client.one(get(b"key")) == "miss"


async def test_our_client_beside_theirs(feature: Feature, system: Cache, client: Steered) -> None:
    feature("reads what our client wrote, and the other way round")
    tls = TLS(ca=system.certificate) if system.security == "tls" else None
    async with ProtosocketCacheClient(system.router.url, token=SECRET, tls=tls) as ours:
        await ours.set("cache", b"ours", b"\x00written", 60)
        assert await client.one(get(b"ours")) == hit(b"\x00written")
        assert await client.one(put(b"theirs", b"written\xff")) == "done"
        assert await ours.get("cache", b"theirs") == Hit(b"written\xff")
        assert await client.one(delete(b"ours")) == "done"
        assert await ours.get("cache", b"ours") == Miss()


async def test_time_to_live(feature: Feature, client: Steered) -> None:
    feature("time to live in milliseconds, none at all, and the longest there is")
    clock = asyncio.get_running_loop().time
    began = clock()
    assert await client.one(put(b"brief", b"value", ttl=200)) == "done"
    while await client.one(get(b"brief")) != "miss":
        assert clock() - began < 20
    assert clock() - began >= 0.2
    assert await client.one(put(b"at once", b"value", ttl=0)) == "done"
    assert await client.one(get(b"at once")) == "miss"
    assert await client.one(put(b"for ever", b"value", ttl=2**64 - 1)) == "done"
    assert await client.one(get(b"for ever")) == hit(b"value")


async def test_tokens(feature: Feature, programs: Path, system: Cache) -> None:
    feature("tokens of both versions; a wrong one is an AuthenticationError")
    async with sdk(programs, system.router.url, token=SECOND_VERSION) as member:
        assert await member.one(put(b"token", b"is good")) == "done"
    async with sdk(programs, system.router.url, token=first_version("wrong")) as stranger:
        for command in (get(b"token"), put(b"token", b"changed"), delete(b"token")):
            error = (await stranger.one(command))["error"]
            assert error["code"] == "AuthenticationError"
            assert error["text"].endswith("the token is not accepted")
    async with sdk(programs, system.router.url) as member:
        assert await member.one(get(b"token")) == hit(b"is good")


async def test_before_authentication(system: Cache) -> None:
    """Not with the SDK, which always authenticates: with a client that sends what it likes."""
    read = pb.CacheCommand(unary=pb.Unary(get=pb.GetCommand(namespace="cache", key=b"nothing here")))
    remove = pb.CacheCommand(unary=pb.Unary(delete=pb.DeleteCommand(namespace="cache", key=b"nothing here")))
    write = pb.CacheCommand(
        unary=pb.Unary(set=pb.SetCommand(namespace="cache", key=b"k", value=b"v", ttl_milliseconds=60_000))
    )

    def authenticate(token: str) -> pb.CacheCommand:
        return pb.CacheCommand(unary=pb.Unary(auth=pb.AuthenticateCommand(token=token)))

    def error(code: pb.Status, message: str) -> pb.CacheResponse:
        return pb.CacheResponse(error=pb.CommandError(code=code, message=message))

    first = error(pb.UNAUTHENTICATED, "the first command on a connection is Authenticate")
    tls = TLS(verify=False) if system.security == "tls" else None
    async with rpc.connect(system.router.url, CODEC, tls=tls) as raw:

        async def answer(command: pb.CacheCommand) -> pb.CacheResponse:
            response = await raw.unary(command, timeout=HANG)
            response.ClearField("message_id")
            return response

        for command in (read, write, remove):
            assert await answer(command) == first
        assert await answer(pb.CacheCommand()) == error(
            pb.INVALID_ARGUMENT, "there is no command in the message"
        )
        assert await answer(authenticate("")) == error(pb.UNAUTHENTICATED, "the token is not accepted")
        assert await answer(authenticate("wrong")) == error(pb.UNAUTHENTICATED, "the token is not accepted")
        assert await answer(read) == first
        assert await answer(authenticate(SECRET)) == pb.CacheResponse(auth=pb.AuthenticateResponse())
        assert await answer(read) == error(pb.NOT_FOUND, "Key not found")
        assert await answer(write) == pb.CacheResponse(set=pb.SetResponse())
        assert await answer(remove) == pb.CacheResponse(delete=pb.DeleteResponse())
        assert raw.connections == 1  # refusals cost no connection


@pytest.mark.parametrize("size", [1, 127, 128, 65_536, 4 * 1024 * 1024 - 100])
async def test_sizes(feature: Feature, client: Steered, size: int) -> None:
    feature("values of 1 B to 4 MiB")
    value = random.Random(size).randbytes(size)
    assert await client.one(put(b"large", value)) == "done"
    assert await client.one(get(b"large")) == hit(value)


async def test_too_large(feature: Feature, client: Steered) -> None:
    feature("a message above 4 MiB ends its connection, and the next call makes another")
    assert await client.one(put(b"large", b"as it was")) == "done"
    error = (await client.one(put(b"large", bytes(4 * 1024 * 1024))))["error"]
    assert (error["code"], error["status"]) == ("UnknownError", None)
    await recovered(client)
    assert await client.one(get(b"large")) == hit(b"as it was")


async def test_a_cache_without_a_name(feature: Feature, client: Steered) -> None:
    feature("an error of the cache keeps its status number and text")
    error = {"code": "UnknownError", "status": pb.INVALID_ARGUMENT, "text": "the namespace is empty"}
    assert await client.one(get(b"key", cache="")) == {"error": error}


async def test_more_than_the_storage_takes(feature: Feature, programs: Path, tmp_path: Path) -> None:
    feature("status 8 for an entry that the storage cannot hold")
    with cache(tmp_path, memory="256KiB") as system:
        async with sdk(programs, system.router.url) as client:
            assert (await client.one(put(b"key", bytes(500_000))))["error"]["status"] == pb.RESOURCE_EXHAUSTED
            assert await client.one(put(b"key", bytes(50_000))) == "done"


async def test_any_operations(feature: Feature, programs: Path, system: Cache) -> None:
    feature("a thousand random operations, as a dictionary answers them")
    choose = random.Random(7)
    model: dict[tuple[str, bytes], bytes] = {}
    async with sdk(programs, system.router.url, connections=3) as client:
        for _ in range(1000):
            name, key = (
                choose.choice(["one cache", "another"]),
                choose.choice([b"a", b"b", b"\0c", b"d" * 300]),
            )
            match choose.choice(["get", "get", "set", "delete"]):
                case "get":
                    found = model.get((name, key))
                    expected = "miss" if found is None else hit(found)
                    assert await client.one(get(key, cache=name)) == expected
                case "set":
                    model[name, key] = choose.randbytes(choose.choice([0, 1, 100, 5000]))
                    assert await client.one(put(key, model[name, key], cache=name)) == "done"
                case _:
                    model.pop((name, key), None)
                    assert await client.one(delete(key, cache=name)) == "done"


async def test_killed_with_calls_in_flight(
    feature: Feature, programs: Path, system: Cache, client: Steered
) -> None:
    feature("killed with calls in flight; the router serves the next one")
    async with sdk(programs, system.router.url) as other:
        assert await other.one(put(b"there", b"value")) == "done"
        system.router.pause()
        await other.begin([put(b"there", bytes(20_000))] * 100)
        other.kill()
        system.router.resume()
    assert await client.one(put(b"here", b"value")) == "done"
    assert await client.one(get(b"here")) == hit(b"value")


@pytest.mark.parametrize("transport", ["protosocket", "grpc-unary", "grpc-stream"])
async def test_any_hop_behind_the_router(
    feature: Feature, programs: Path, tmp_path: Path, transport: str
) -> None:
    feature("two storages, whatever the hop between router and storage is")
    write_tokens(tmp_path)
    grpc = transport != "protosocket"
    url, listen = ("grpc://127.0.0.1:0", "--grpc-listen") if grpc else ("tcp://127.0.0.1:0", "--listen")
    with (
        storage(url, listen=listen) as first,
        storage(url, listen=listen) as second,
        router(tmp_path, "tcp", first, second, transport=transport) as routed,
    ):
        keys = [b"%d" % number for number in range(200)]
        async with sdk(programs, routed.url) as client:
            assert await client.run(*(put(key, b"value " + key) for key in keys)) == ["done"] * len(keys)
            assert await client.run(*map(get, keys)) == [hit(b"value " + key) for key in keys]
            assert await client.run(*map(delete, keys)) == ["done"] * len(keys)
            assert await client.run(*map(get, keys)) == ["miss"] * len(keys)
            assert (await client.one(get(b"1", cache="")))["error"]["status"] == pb.INVALID_ARGUMENT
        async with sdk(programs, routed.url, token=first_version("wrong")) as stranger:
            assert (await stranger.one(get(b"1")))["error"]["code"] == "AuthenticationError"


@pytest.mark.parametrize("connections", [1, 4])
async def test_many_in_flight(feature: Feature, programs: Path, system: Cache, connections: int) -> None:
    feature("5,000 calls at once, on 1 and 4 connections")
    keys = [b"many %d" % number for number in range(5000)]
    async with sdk(programs, system.router.url, connections=connections) as client:
        assert await client.run(*(put(key, key) for key in keys)) == ["done"] * len(keys)
        assert await client.run(*map(get, keys)) == [hit(key) for key in keys]


async def recovered(client: Steered) -> None:
    """Call until it answers again: a connection that just ended may still be handed out by the SDK's pool."""
    while "error" in (answer := await client.one(get(b"recovered"))):
        assert answer["error"]["status"] in (None, pb.UNAVAILABLE)
    assert answer == "miss"


async def test_timeouts(feature: Feature, programs: Path, tmp_path: Path) -> None:
    feature("a call that times out is cancelled, and the connection lives on")
    with cache(tmp_path) as system:
        async with (
            recording(system.router) as (url, recorder),
            sdk(programs, url, timeout=2) as client,
        ):
            assert await client.one(put(b"slow", b"but there")) == "done"
            system.storage.pause()
            for result in await client.run(*[get(b"slow")] * 100):
                assert result["error"]["code"] == "TimeoutError"
            system.storage.resume()
            await recovered(client)
            assert await client.one(get(b"slow")) == hit(b"but there")
        cancelled = [each for each in recorder.sent if pb.CacheCommand.FromString(each).control_code == 1]
        assert len(cancelled) >= 100
        assert recorder.connections == 1


async def test_a_storage_that_is_down(feature: Feature, programs: Path, tmp_path: Path) -> None:
    feature("status 14 while the storage of a key is down; the same connection works when it is back")
    with cache(tmp_path) as system:
        async with sdk(programs, system.router.url) as client:
            assert await client.one(put(b"key", b"value")) == "done"
            system.storage.kill()
            down = f"the storage {system.storage.url} is down"
            error = {"code": "UnknownError", "status": pb.UNAVAILABLE, "text": down}
            assert await client.one(get(b"key")) == {"error": error}
            # Its own place again, as a restarted storage has.
            with storage(system.storage.url):
                await recovered(client)
                assert await client.one(get(b"key")) == "miss"


async def test_a_router_that_is_restarted(feature: Feature, programs: Path, tmp_path: Path) -> None:
    feature("calls in flight when the router vanishes fail; the pool connects to the next one")
    with cache(tmp_path) as system:
        async with sdk(programs, system.router.url) as client:
            assert await client.one(put(b"key", b"value")) == "done"
            system.router.pause()
            await client.begin([get(b"key")] * 1000)
            system.router.kill()
            assert all("error" in result for result in await client.results())
            gone = await client.one(get(b"key"))
            assert gone["error"]["code"] == "ServerUnavailable"
            with router(tmp_path, "tcp", system.storage, place=system.router.place):
                await recovered(client)
                assert await client.one(get(b"key")) == hit(b"value")


async def test_the_wrong_security(feature: Feature, programs: Path, system: Cache) -> None:
    feature("TLS to a plain router and the other way round fail at once")
    other = {"tcp": "tls", "tls": "tcp"}[system.security]
    async with sdk(programs, f"{other}://{system.router.place}") as client:
        error = (await client.one(get(b"key")))["error"]
        # Which of the two depends on whether the SDK reads or writes when the connection ends.
        assert error["code"] in ("ServerUnavailable", "CancelledError")
    async with sdk(programs, system.router.url) as client:
        assert await client.one(get(b"nothing here")) == "miss"


async def test_a_miss_has_one_text(feature: Feature, programs: Path) -> None:
    feature("only `Key not found` is a miss")

    class Almost(rpc.Service):
        async def unary(self, request: pb.CacheCommand) -> pb.CacheResponse:
            if request.unary.HasField("auth"):
                return pb.CacheResponse(auth=pb.AuthenticateResponse())
            text = request.unary.get.key.decode()
            return pb.CacheResponse(error=pb.CommandError(code=pb.NOT_FOUND, message=text))

    async with (
        rpc.serve("tcp://127.0.0.1:0", Almost, CODEC) as server,
        sdk(programs, server.addresses[0]) as client,
    ):
        assert await client.one(get(b"Key not found")) == "miss"
        for text in ("key not found", "Key not found.", ""):
            error = {"code": "UnknownError", "status": pb.NOT_FOUND, "text": text}
            assert await client.one(get(text.encode())) == {"error": error}
