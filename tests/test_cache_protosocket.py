"""The cache over protosocket: real servers and sockets, storages that come and go, peers that misbehave."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cache_messages import get_command, set_command
from tests.oracle.vectors import load, to_bytes
from tests.patience import HANG
from tests.places import Raw, turns

from protosocket import ConnectionOptions
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.auth import TokenPolicy
from protosocket.cache.engine import create_engine
from protosocket.cache.grpc_backend import GrpcStreamBackend, GrpcUnaryBackend
from protosocket.cache.grpc_client import GrpcCacheClient
from protosocket.cache.grpc_router import serve_router_grpc
from protosocket.cache.grpc_storage import serve_storage_grpc
from protosocket.cache.interface import Backend, CacheClient, Listening
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.cache.protosocket_router import ProtosocketBackend, serve_router
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.cache.results import Hit, Miss
from protosocket.cache.ring import Ring
from protosocket.cache.storage import StorageHandler
from protosocket.errors import (
    CacheError,
    CacheUnavailable,
    DeadlineExceeded,
    OptionError,
    Unauthenticated,
)

ANYWHERE = "tcp://127.0.0.1:0"
OPEN = TokenPolicy()


async def storage(url: str = ANYWHERE, tokens: TokenPolicy = OPEN, memory: int = 1 << 26) -> Listening:
    return await serve_storage(url, StorageHandler(create_engine(memory)), tokens=tokens)


@dataclass
class System:
    """Storages, a router and a client, all joined over real sockets."""

    storages: list[Any]
    backend: ProtosocketBackend
    router: Any
    client: ProtosocketCacheClient
    others: list[ProtosocketCacheClient] = field(default_factory=list)

    def another(self, **options: Any) -> ProtosocketCacheClient:
        self.others.append(ProtosocketCacheClient(self.router.url, **options))
        return self.others[-1]

    def key_on(self, storage: int, salt: str = "") -> bytes:
        """A key that lives on ``storage``."""
        keys = (f"{salt}{number}".encode() for number in range(10_000))
        return next(key for key in keys if self.backend.routes.storage_of(key) == storage)


@asynccontextmanager
async def system(
    storages: list[Any] | int = 2,
    *,
    connections: int = 1,
    token: str | None = None,
    tokens: TokenPolicy = OPEN,
    options: ConnectionOptions | None = None,
) -> AsyncIterator[System]:
    servers = [await storage() for _ in range(storages)] if isinstance(storages, int) else storages
    backend = ProtosocketBackend([server.url for server in servers], connections=connections, options=options)
    await backend.connect(10)
    router = await serve_router(ANYWHERE, backend, tokens=tokens, options=options)
    made = System(servers, backend, router, ProtosocketCacheClient(router.url, token=token))
    try:
        yield made
    finally:
        for client in [made.client, *made.others]:
            await client.close()
        await made.router.close(0)
        await backend.close()
        for server in servers:
            await server.close(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until ``condition`` holds; the test's time limit ends it otherwise."""
    while not condition():  # noqa: ASYNC110 - sockets and other loops have no event to wait for
        await asyncio.sleep(0.001)


class FakeStorage:
    """A listener that takes commands and does with them what the test says."""

    def __init__(self, answer: Callable[[pb.CacheCommand], bytes | None]) -> None:
        self.answer = answer
        self.commands: list[pb.CacheCommand] = []
        self.connections: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.url = ""
        self.reading = asyncio.Event()
        self.reading.set()

    async def start(self) -> FakeStorage:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while True:
                await self.reading.wait()
                command = pb.CacheCommand.FromString(await reader.readexactly(await _length(reader)))
                self.commands.append(command)
                answer = self.answer(command)
                if answer is not None:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    async def close(self, grace: float = 0) -> None:
        self.reading.set()
        assert self._server is not None
        self._server.close()
        for writer in self.connections:
            writer.transport.abort()
        await turns()


async def _length(reader: asyncio.StreamReader) -> int:
    value = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7


def framed(message: pb.CacheCommand | pb.CacheResponse) -> bytes:
    content = message.SerializeToString()
    length, prefix = len(content), b""
    while length >= 0x80:
        prefix += bytes([length & 0x7F | 0x80])
        length >>= 7
    return prefix + bytes([length]) + content


def silent(command: pb.CacheCommand) -> None:
    """No answer, ever."""


def command(message_id: int, namespace: str = "ns", key: bytes = b"key") -> pb.CacheCommand:
    made = get_command(namespace, key)
    made.message_id = message_id
    return made


async def read_response(raw: Raw) -> pb.CacheResponse:
    size = shift = 0
    while True:
        byte = (await raw.receive(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return pb.CacheResponse.FromString(await raw.receive(size))


@asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[Raw]:
    async with Raw() as raw:
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        await asyncio.get_running_loop().sock_connect(raw.socket, (host, int(port)))
        yield raw


# What it does when all is well.


@pytest.mark.every_loop
@pytest.mark.parametrize("through_router", [True, False])
async def test_get_set_delete(through_router: bool) -> None:
    async with system() as made:
        url = made.router.url if through_router else made.storages[0].url
        async with ProtosocketCacheClient(url) as client:
            assert await client.get("ns", b"key") == Miss()
            await client.set("ns", b"key", b"value", 60)
            assert await client.get("ns", b"key", timeout=HANG) == Hit(b"value")
            assert await client.get("other", b"key") == Miss()
            await client.set("ns", b"", b"", 60)
            assert await client.get("ns", b"") == Hit(b"")
            await client.delete("ns", b"key")
            await client.delete("ns", b"key")
            assert await client.get("ns", b"key") == Miss()
            await client.set("ns", b"short", b"value", 0.001)
            while await client.get("ns", b"short") != Miss():  # noqa: ASYNC110 - the clock has to go on
                await asyncio.sleep(0.001)
            with pytest.raises(OptionError, match="ttl"):
                await client.set("ns", b"key", b"value", 0)
            with pytest.raises(CacheError, match="namespace") as caught:
                await client.get("", b"key")
            assert caught.value.code == pb.INVALID_ARGUMENT


@pytest.mark.every_loop
@pytest.mark.parametrize("is_connected", [True, False])
async def test_calls_are_started_without_tasks(is_connected: bool) -> None:
    async with system() as made:
        client = made.another()
        if is_connected:
            await client.get("ns", b"key")
        ended: list[Any] = []
        stored: Any = client.set("ns", b"key", b"value", 60).start(ended.append)
        assert await stored is None
        calls: list[Any] = [
            client.get("ns", b"key").start(ended.append),
            client.get("ns", b"other").start(ended.append),
            client.get("", b"key").start(ended.append),
        ]
        await until(lambda: len(ended) == 4)
        assert [call.result() for call in (stored, *calls[:2])] == [None, Hit(b"value"), Miss()]
        assert calls[0].exception() is None
        for _ in range(2):
            with pytest.raises(CacheError, match="namespace"):
                calls[2].result()
        assert isinstance(calls[2].exception(), CacheError)
        await made.router.close()
        failed: Any = client.get("ns", b"key").start()
        with pytest.raises(CacheUnavailable):
            await failed
        assert isinstance(failed.exception(), CacheUnavailable)


async def test_thousands_in_flight_get_their_own_answers() -> None:
    chance = random.Random(7)
    async with system(3, connections=2) as made:
        clients = [made.client, made.another(), made.another(connections=3)]
        keys = [chance.randbytes(chance.randrange(40)) + b"%d" % number for number in range(1000)]
        values = {key: chance.randbytes(int(10 ** (chance.random() * 4.2))) for key in keys}
        await asyncio.gather(*(clients[len(key) % 3].set("ns", key, values[key], 60) for key in keys))

        async def check(client: CacheClient, key: bytes) -> None:
            assert await client.get("ns", key) == Hit(values[key])

        await asyncio.gather(*(check(client, key) for client in clients for key in keys))
        assert all(connection.statistics().in_flight == 0 for connection in made.router.protocols)


async def test_the_largest_values_and_what_is_larger() -> None:
    options = ConnectionOptions(receive_limit=1 << 20)
    backing = await serve_storage(
        ANYWHERE, StorageHandler(create_engine(1 << 24)), tokens=OPEN, options=options
    )
    async with system([backing], options=options) as made:
        # Ids of two bytes on the way to the storage, of one byte from the client.
        await asyncio.gather(*(made.client.get("ns", b"key") for _ in range(200)))
        value = b"x" * (
            (1 << 20)
            - len(set_command("ns", b"key", b"x" * (1 << 20), 60).SerializeToString())
            + (1 << 20)
            - 2
        )
        other = made.another()
        await other.set("ns", b"key", value, 60)
        assert await made.client.get("ns", b"key") == Hit(value)
        with pytest.raises(CacheUnavailable, match=r"closed|lost|reset"):
            await other.set("ns", b"key", value + b"xx", 60)
        # Nobody else is disturbed, and the client connects again.
        assert await other.get("ns", b"key") == Hit(value)


async def test_what_can_never_fit_is_refused() -> None:
    small = await storage(memory=1 << 16)
    async with ProtosocketCacheClient(small.url) as client:
        with pytest.raises(CacheError) as caught:
            await client.set("ns", b"key", b"x" * (1 << 17), 60)
        assert caught.value.code == pb.RESOURCE_EXHAUSTED
        keys = [b"%d" % number for number in range(500)]
        await asyncio.gather(*(client.set("ns", key, b"x" * 100, 60) for key in keys))
        found = await asyncio.gather(*(client.get("ns", key) for key in keys))
        assert 0 < found.count(Miss()) < 500
    await small.close(0)


async def test_many_large_answers_at_once() -> None:
    async with system() as made:
        value = b"x" * (1 << 20)
        await made.client.set("ns", b"key", value, 60)
        answers = await asyncio.gather(*(made.client.get("ns", b"key") for _ in range(64)))
        assert answers == [Hit(value)] * 64


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 65535), min_size=1, max_size=6, unique=True), st.lists(st.binary(max_size=40)))
def test_the_relay_finds_the_storage_that_the_ring_says(ports: list[int], keys: list[bytes]) -> None:
    async def main() -> None:
        urls = [f"tcp://127.0.0.1:{port}" for port in ports]
        ring = Ring(urls)
        backend = ProtosocketBackend(urls)
        assert [backend.routes.storage_of(key) for key in keys] == [ring.get(key) for key in keys]
        await backend.close()

    asyncio.run(main())


async def test_each_key_is_on_its_storage() -> None:
    async with system(3) as made:
        direct = [ProtosocketCacheClient(server.url) for server in made.storages]
        ring = Ring([server.url for server in made.storages])
        for number in range(30):
            key = b"%d" % number
            await made.client.set("ns", key, b"value", 60)
            found = [isinstance(await each.get("ns", key), Hit) for each in direct]
            assert found == [index == ring.get(key) for index in range(3)]
        for each in direct:
            await each.close()


async def test_the_wire_is_that_of_the_golden_vectors() -> None:
    """What the published Rust crates write is understood, and answered as they expect."""
    vectors = {vector["name"]: to_bytes(vector["framed"]) for vector in load("momento").values()}
    async with system(1) as made:
        for url in (made.router.url, made.storages[0].url):
            async with raw_client(url) as raw:
                await raw.send(vectors["set"])
                answer = await read_response(raw)
                assert (answer.message_id, answer.WhichOneof("kind")) == (300, "set")
                await raw.send(vectors["get"])
                answer = await read_response(raw)
                assert (answer.message_id, answer.get.value) == (200, b"v" * 100)
                await raw.send(vectors["set 20 kB"] + vectors["get"] + vectors["delete"])
                assert [(await read_response(raw)).message_id for _ in range(3)] == [500, 200, 600]
                await raw.send(vectors["cancelled"] + vectors["ended"] + vectors["get"])
                assert (await read_response(raw)).error == pb.CommandError(
                    code=pb.NOT_FOUND, message="Key not found"
                )


# Tokens.


@pytest.mark.parametrize("through_router", [True, False])
async def test_tokens(through_router: bool) -> None:
    tokens = TokenPolicy(["secret", "other"])
    server = await storage(tokens=tokens)
    backend = ProtosocketBackend([server.url], token="other")
    await backend.connect(10)
    router = await serve_router(ANYWHERE, backend, tokens=tokens)
    url = router.url if through_router else server.url
    async with ProtosocketCacheClient(url, token="secret") as client:
        assert await client.get("ns", b"key") == Miss()
    for token in (None, "", "wrong"):
        async with ProtosocketCacheClient(url, token=token) as client:
            for _ in range(2):
                with pytest.raises(Unauthenticated):
                    await client.get("ns", b"key")
    async with raw_client(url) as raw:
        await raw.send(framed(command(1)))
        assert (await read_response(raw)).error.code == pb.UNAUTHENTICATED
        await raw.send(framed(pb.CacheCommand(message_id=2)))
        assert (await read_response(raw)).error.code == pb.INVALID_ARGUMENT
        auth = pb.CacheCommand(message_id=3)
        auth.unary.auth.token = "wrong"
        await raw.send(framed(auth) + framed(command(4)))
        assert [(await read_response(raw)).error.code for _ in range(2)] == [pb.UNAUTHENTICATED] * 2
        auth.unary.auth.token = "secret"
        await raw.send(framed(auth) + framed(command(5)))
        first, second = await read_response(raw), await read_response(raw)
        assert (first.WhichOneof("kind"), second.error.code) == ("auth", pb.NOT_FOUND)
    await router.close(0)
    await backend.close()
    await server.close(0)


async def test_a_storage_that_does_not_take_the_token(caplog: pytest.LogCaptureFixture) -> None:
    server = await storage(tokens=TokenPolicy(["secret"]))
    backend = ProtosocketBackend([server.url], token="wrong")
    await until(lambda: "not authenticated" in caplog.text)
    with pytest.raises(CacheUnavailable):
        await backend.call(b"key", 1, get_command("ns", b"key").SerializeToString())
    await backend.close()
    await server.close(0)


async def test_tokens_are_needed_where_others_can_connect() -> None:
    with pytest.raises(OptionError, match="token"):
        await storage("tcp://0.0.0.0:0")
    backend = ProtosocketBackend(["tcp://127.0.0.1:1"])
    with pytest.raises(OptionError, match="token"):
        await serve_router("tcp://0.0.0.0:0", backend, tokens=OPEN)
    await backend.close()
    with pytest.raises(OptionError, match="connections"):
        ProtosocketBackend(["tcp://127.0.0.1:1"], connections=0)


# Storages and routers that come and go.


async def test_a_storage_that_goes_and_comes_back() -> None:
    async with system(2) as made:
        gone, stays = made.key_on(0), made.key_on(1)
        await made.client.set("ns", stays, b"value", 60)
        url = made.storages[0].url
        await made.storages[0].close(0)
        await until(lambda: made.backend.routes.connections(0) == 0)
        with pytest.raises(CacheUnavailable, match="is down"):
            await made.client.get("ns", gone)
        with pytest.raises(CacheUnavailable, match="is down"):
            await made.backend.call(gone, 1, get_command("ns", gone).SerializeToString())
        assert await made.client.get("ns", stays) == Hit(b"value")
        made.storages[0] = await storage(url)
        await made.backend.connect(10)
        assert await made.client.get("ns", gone) == Miss()
        assert len(made.router.protocols) == 1


@pytest.mark.parametrize("cut", ["abort", "eof", "garbage"])
async def test_calls_under_way_at_a_storage_that_goes(cut: str) -> None:
    fake = await FakeStorage(silent).start()
    async with system([fake, await storage()]) as made:
        key = made.key_on(0)
        calls: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(made.client.get("ns", key)) for _ in range(50)
        ]
        own = asyncio.ensure_future(made.backend.call(key, 5, get_command("ns", key).SerializeToString()))
        await until(lambda: len(fake.commands) == 51)
        if cut == "abort":
            fake.connections[0].transport.abort()
        elif cut == "eof":
            fake.connections[0].write_eof()
        else:
            fake.connections[0].write(b"\x03\xff\xff\xff")
        for result in await asyncio.gather(*([*calls, own]), return_exceptions=True):
            assert isinstance(result, CacheUnavailable)
        assert [front.statistics().in_flight for front in made.router.protocols] == [0]
        assert await made.client.get("ns", made.key_on(1)) == Miss()


async def test_a_router_that_comes_back() -> None:
    async with system() as made:
        await made.client.set("ns", b"key", b"value", 60)
        url = made.router.url
        await made.router.close(0)
        with pytest.raises(CacheUnavailable):
            await made.client.get("ns", b"key")
        made.router = await serve_router(url, made.backend, tokens=OPEN)
        assert await made.client.get("ns", b"key") == Hit(b"value")


async def test_a_router_that_closes_lets_commands_end() -> None:
    fake = await FakeStorage(silent).start()
    async with system([fake]) as made:
        call = asyncio.ensure_future(made.client.get("ns", b"key"))
        await until(lambda: len(fake.commands) == 1)
        closing = asyncio.ensure_future(made.router.close(10))
        await turns(20)
        with pytest.raises(CacheUnavailable):
            await made.client.get("ns", b"late")
        answer = pb.CacheResponse(message_id=fake.commands[0].message_id)
        answer.get.value = b"value"
        fake.connections[0].write(framed(answer))
        assert await call == Hit(b"value")
        await closing
        assert not made.router.protocols


async def test_a_closed_backend_and_client_fail_their_calls() -> None:
    fake = await FakeStorage(silent).start()
    async with system([fake]) as made:
        own = asyncio.ensure_future(
            made.backend.call(b"key", 5, get_command("ns", b"key").SerializeToString())
        )
        call = asyncio.ensure_future(made.client.get("ns", b"key"))
        await until(lambda: len(fake.commands) == 2)
        await made.client.close()
        await made.client.close()
        with pytest.raises(CacheUnavailable):
            await call
        with pytest.raises(CacheUnavailable):
            await made.client.get("ns", b"key")
        await made.backend.close()
        await made.backend.close()
        with pytest.raises(CacheUnavailable):
            await own


async def test_a_client_closed_while_it_connects() -> None:
    fake = await FakeStorage(silent).start()
    client = ProtosocketCacheClient(fake.url, token="secret")
    call = asyncio.ensure_future(client.get("ns", b"key"))
    await until(lambda: len(fake.commands) == 1)
    await client.close()
    with pytest.raises(CacheUnavailable):
        await call
    await fake.close()


# Cancels and timeouts.


async def test_cancels_and_timeouts_reach_the_storage() -> None:
    fake = await FakeStorage(silent).start()
    async with system([fake]) as made:
        calls = [asyncio.ensure_future(made.client.get("ns", b"key")) for _ in range(100)]
        own = asyncio.ensure_future(
            made.backend.call(b"key", 5, get_command("ns", b"key").SerializeToString())
        )
        await until(lambda: len(fake.commands) == 101)
        for call in [*calls, own]:
            call.cancel()
        await until(lambda: len(fake.commands) == 202)
        started = {sent.message_id for sent in fake.commands[:101]}
        assert {sent.message_id for sent in fake.commands[101:] if sent.control_code == 1} == started
        with pytest.raises(DeadlineExceeded):
            await made.client.get("ns", b"key", timeout=0.01)
        await until(lambda: len(fake.commands) == 204)
        assert_nothing_in_flight(made)


def assert_nothing_in_flight(made: System) -> None:
    assert [front.statistics().in_flight for front in made.router.protocols] == [0] * len(
        made.router.protocols
    )
    link: Any = made.backend.routes.connection_for(b"key", 0)
    assert link.statistics().in_flight == 0


async def test_a_cancel_names_one_call_and_only_its_own() -> None:
    fake = await FakeStorage(silent).start()
    async with (
        system([fake]) as made,
        raw_client(made.router.url) as raw,
        raw_client(made.router.url) as other,
    ):
        await other.send(framed(command(7)))
        await until(lambda: len(fake.commands) == 1)
        cancel = framed(pb.CacheCommand(message_id=7, control_code=1))
        # One that is not under way, two calls with the same id, and calls begun behind a Cancel.
        await raw.send(framed(command(7)) + framed(command(7)) + framed(command(8)))
        unknown = framed(pb.CacheCommand(message_id=99, control_code=1))
        again = framed(pb.CacheCommand(message_id=9, control_code=1))
        await raw.send(unknown + framed(command(9)) + again + cancel)
        answers = [await read_response(raw) for _ in range(2)]
        assert [(answer.message_id, answer.control_code) for answer in answers] == [(9, 1), (7, 1)]
        await until(lambda: len([sent for sent in fake.commands if sent.control_code == 1]) == 2)
        fronts = sorted(front.statistics().in_flight for front in made.router.protocols)
        assert fronts == [1, 2]
    assert not made.router.protocols


async def test_a_client_that_disconnects_with_commands_under_way() -> None:
    fake = await FakeStorage(silent).start()
    async with system([fake]) as made:
        async with raw_client(made.router.url) as raw:
            await raw.send(b"".join(framed(command(number)) for number in range(100)))
            await until(lambda: len(fake.commands) == 100)
        await until(lambda: len(fake.commands) == 200)
        assert all(sent.control_code == 1 for sent in fake.commands[100:])
        assert_nothing_in_flight(made)


# Peers that misbehave.


def oneof(*members: bytes) -> bytes:
    unary = b"".join(members)
    message = b"\x10\x05\x52" + bytes([len(unary)]) + unary
    return bytes([len(message)]) + message


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 20,
        b"\x05\xff\xff\xff\xff\xff",
        b"\x80\x80\x80\x80\x10",
        oneof(b"\x12\x03\x0a\x01\xff"),
        oneof(b"\x12\x03\x0a\x01\xff", b"\x12\x00"),
        oneof(b"\x0a\x03\x0a\x01\xff"),
        oneof(b"\x12\x02\x0a\x07"),
        oneof(b"\x92\x80\x80\x80\x80\x00\x00"),
    ],
    ids=["no varint", "no message", "too large", "text", "text before", "token", "cut", "long tag"],
)
async def test_what_is_no_command_ends_just_that_connection(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with system(1) as made:
        await made.client.set("ns", b"key", b"value", 60)
        link = made.backend.routes.connection_for(b"key", 0)
        async with raw_client(made.router.url) as raw:
            host, port = raw.socket.getsockname()
            await raw.send(sent)
            await raw.ended()
        assert f"tcp://{host}:{port}" in caplog.text
        assert await made.client.get("ns", b"key") == Hit(b"value")
        assert made.backend.routes.connection_for(b"key", 0) is link


@pytest.mark.every_loop
async def test_whatever_a_client_sends_the_storage_keeps_the_router() -> None:
    """The connection to a storage is shared: no client may make the storage end it."""
    chance = random.Random(3)
    sound = framed(set_command("ns", b"key", b"value", 60))
    async with system(1) as made:
        link = made.backend.routes.connection_for(b"key", 0)
        for _ in range(300):
            bad = bytearray(sound)
            for _ in range(chance.randrange(1, 4)):
                bad[chance.randrange(1, len(bad))] = chance.choice(
                    [0, 1, 0x0A, 0x12, 0x80, 0xFF, chance.randrange(256)]
                )
            async with raw_client(made.router.url) as raw:
                await raw.send(bytes(bad))
        await until(lambda: not made.router.protocols)
        await made.client.get("ns", b"key")
        assert made.backend.routes.connection_for(b"key", 0) is link


async def test_fields_of_the_future_are_passed_on() -> None:
    async with system(1) as made, raw_client(made.router.url) as raw:
        get = command(5).unary.get.SerializeToString()
        await raw.send(oneof(b"\x12" + bytes([len(get)]) + get, b"\x7a\x01x"))
        assert (await read_response(raw)).error.message == "Key not found"


async def test_a_slow_drip_of_a_command_disturbs_nobody() -> None:
    async with system(1) as made, raw_client(made.router.url) as raw:
        for byte in framed(command(3)):
            await raw.send(bytes([byte]))
            assert await made.client.get("ns", b"key") == Miss()
        assert (await read_response(raw)).message_id == 3


async def test_empty_messages_by_the_thousand_leave_others_their_turns() -> None:
    async with system(1) as made, raw_client(made.router.url) as raw:
        flood = asyncio.ensure_future(raw.send(bytes(1 << 18)))
        drain = asyncio.ensure_future(raw.ended())
        await until(lambda: len(made.router.protocols) == 1)
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert await made.client.get("ns", b"key") == Miss()
        assert asyncio.get_running_loop().time() - began < 2
        flood.cancel()
        drain.cancel()
        await asyncio.gather(flood, drain, return_exceptions=True)


async def test_a_client_that_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    options = ConnectionOptions(receive_limit=1 << 18, send_queue_bytes=1 << 18)
    async with system([await storage()], options=options) as made:
        await made.client.set("ns", b"key", b"x" * 200_000, 60)
        async with raw_client(made.router.url) as raw:
            await raw.send(b"".join(framed(command(number)) for number in range(1000)))
            await until(lambda: "of answers unread" in caplog.text)
            assert caplog.text.count("of answers unread") == 1
            assert isinstance(await made.client.get("ns", b"key"), Hit)
        await until(lambda: len(made.router.protocols) == 1)
        link: Any = made.backend.routes.connection_for(b"key", 0)
        await until(lambda: link.statistics().in_flight == 0)


async def test_a_client_that_reads_late_loses_nothing() -> None:
    async with system(1) as made, raw_client(made.router.url) as raw:
        await made.client.set("ns", b"key", b"x" * 500, 60)
        sent = asyncio.ensure_future(
            raw.send(b"".join(framed(command(number)) for number in range(1, 30_001)))
        )
        await until(lambda: any(front.statistics().read_pauses for front in made.router.protocols))
        assert isinstance(await made.client.get("ns", b"key"), Hit)
        reader, writer = await asyncio.open_connection(sock=raw.socket.dup())
        ids = [
            pb.CacheResponse.FromString(await reader.readexactly(await _length(reader))).message_id
            for _ in range(30_000)
        ]
        assert ids == list(range(1, 30_001))
        await sent
        writer.close()


async def test_a_storage_that_does_not_read_stalls_and_loses_nothing() -> None:
    def answer(sent: pb.CacheCommand) -> bytes:
        return framed(pb.CacheResponse(message_id=sent.message_id, set=pb.SetResponse()))

    fake = await FakeStorage(answer).start()
    options = ConnectionOptions(send_queue_bytes=1 << 17)
    async with system([fake, await storage()], options=options) as made:
        fake.reading.clear()
        key = made.key_on(0)
        writing = [asyncio.ensure_future(made.client.set("ns", key, b"x" * 20_000, 60)) for _ in range(2000)]
        own = [
            asyncio.ensure_future(_own(made.backend, key, set_command("ns", key, b"x" * 20_000, 60)))
            for _ in range(50)
        ]
        other = made.another()
        await until(lambda: any(front.statistics().read_pauses for front in made.router.protocols))
        assert await other.get("ns", made.key_on(1)) == Miss()
        fake.reading.set()
        await asyncio.gather(*writing)
        assert {answer.WhichOneof("kind") for answer in await asyncio.gather(*own)} == {"set"}
        assert_nothing_in_flight(made)


async def _own(backend: Backend, key: bytes, sent: pb.CacheCommand) -> pb.CacheResponse:
    return pb.CacheResponse.FromString(await backend.call(key, 5, sent.SerializeToString()))


async def test_calls_that_wait_for_room_hear_of_the_end() -> None:
    fake = await FakeStorage(silent).start()
    async with system([fake], options=ConnectionOptions(send_queue_bytes=1 << 17)) as made:
        fake.reading.clear()
        big = set_command("ns", b"key", b"x" * 1_000_000, 60)
        own = [asyncio.ensure_future(_own(made.backend, b"key", big)) for _ in range(30)]
        await turns()
        own[-1].cancel()
        await turns()
        fake.connections[0].transport.abort()
        results = await asyncio.gather(*own, return_exceptions=True)
        assert {type(result) for result in results} == {CacheUnavailable, asyncio.CancelledError}


# Mixed transports.


async def test_grpc_in_front_of_protosocket_storages() -> None:
    async with system(2) as made:
        router = await serve_router_grpc("grpc://127.0.0.1:0", made.backend)
        async with GrpcCacheClient(router.url) as client:
            keys = [b"key %d" % number for number in range(200)]
            await asyncio.gather(*(client.set("ns", key, b"value of " + key, 60) for key in keys))
            results = await asyncio.gather(*(made.client.get("ns", key) for key in keys))
            assert results == [Hit(b"value of " + key) for key in keys]
            for server in made.storages:
                await server.close(0)
            await until(lambda: made.backend.routes.connections(0) + made.backend.routes.connections(1) == 0)
            with pytest.raises(CacheUnavailable, match="is down"):
                await client.get("ns", b"key")
        await router.close(0)


async def test_protosocket_in_front_of_grpc_storages() -> None:
    server = await serve_storage_grpc(
        "grpc://127.0.0.1:0", StorageHandler(create_engine(1 << 20)), tokens=OPEN
    )
    backend = GrpcStreamBackend([server.url])
    await backend.connect(10)
    router = await serve_router(ANYWHERE, backend, tokens=TokenPolicy(["secret"]))
    async with ProtosocketCacheClient(router.url, token="secret") as client:
        await client.set("ns", b"key", b"value", 60)
        assert await client.get("ns", b"key") == Hit(b"value")
        await server.close(0)
        with pytest.raises(CacheUnavailable):
            await client.get("ns", b"key")
    async with ProtosocketCacheClient(router.url) as client:
        with pytest.raises(Unauthenticated):
            await client.get("ns", b"key")
    await router.close(0)
    await backend.close()


def test_the_implementations_fit_their_interfaces() -> None:
    # For the type checkers; a wrong signature fails there.
    clients: list[type[CacheClient]] = [ProtosocketCacheClient]
    backends: list[type[Backend]] = [ProtosocketBackend]
    assert all((clients, backends))


async def test_an_ended_connection_leaves_nothing_behind() -> None:
    import gc
    import weakref

    async with system(1) as made:
        for _ in range(3):
            await made.another().get("ns", b"key")
        gone = [weakref.ref(front) for front in made.router.protocols]
        link = weakref.ref(made.backend.routes.connection_for(b"key", 0))
    await turns()
    logging.getLogger("protosocket").handlers.clear()
    del made
    gc.collect()
    assert [front() for front in gone] == [None] * 3
    assert link() is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tcp://127.0.0.1:1", "TCP://127.0.0.1:01"),
        ("tcp://storage.example:1", "tcp://STORAGE.example.:1"),
        ("tls://[::1]:1", "tls://[0:0::1]:1"),
        ("tcp://127.0.0.1:1", "tcp://[::ffff:127.0.0.1]:1"),
    ],
)
async def test_one_storage_however_it_is_written(one: str, other: str) -> None:
    for backend in (ProtosocketBackend, GrpcUnaryBackend, GrpcStreamBackend):
        storages = [one, "tcp://elsewhere:2", other]
        if backend is not ProtosocketBackend:
            storages = [f"grpc{url[3:]}" for url in storages]
        with pytest.raises(OptionError, match="there twice"):
            backend(storages)
    # Routers whose lists are written differently agree on where a key is.
    first, second = (ProtosocketBackend([url, "tcp://elsewhere:2"]) for url in (one, other))
    keys = [b"%d" % number for number in range(50)]
    assert [first.routes.storage_of(key) for key in keys] == [second.routes.storage_of(key) for key in keys]
    for each in (first, second):
        await each.close()
