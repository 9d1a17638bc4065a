"""The cache over gRPC: real servers, clients and processes, both back hops, storages that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from tests.cache_messages import get_command, set_command
from tests.patience import HANG

from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.auth import TokenPolicy
from protosocket.cache.cache_service_pb2_grpc import CacheStub
from protosocket.cache.engine import create_engine
from protosocket.cache.grpc_address import parse_grpc_address
from protosocket.cache.grpc_backend import GrpcStreamBackend, GrpcUnaryBackend
from protosocket.cache.grpc_client import GrpcCacheClient
from protosocket.cache.grpc_router import serve_router_grpc
from protosocket.cache.grpc_server import GrpcServer
from protosocket.cache.grpc_storage import serve_storage_grpc
from protosocket.cache.grpc_stream import GrpcStream
from protosocket.cache.interface import Backend, CacheClient, Listening
from protosocket.cache.results import Hit, Miss
from protosocket.cache.ring import Ring
from protosocket.cache.storage import StorageHandler
from protosocket.errors import (
    AddressError,
    CacheError,
    CacheUnavailable,
    ConnectError,
    DeadlineExceeded,
    OptionError,
    Unauthenticated,
)

ANYWHERE = "grpc://127.0.0.1:0"
BACKENDS = [GrpcUnaryBackend, GrpcStreamBackend]
MakeBackend = Callable[..., Backend]


async def storage(url: str = ANYWHERE, tokens: TokenPolicy | None = None) -> GrpcServer:
    handler = StorageHandler(create_engine(1 << 20))
    return await serve_storage_grpc(url, handler, tokens=tokens or TokenPolicy())


@asynccontextmanager
async def system(
    make: MakeBackend, storages: int = 2, connections: int = 1
) -> AsyncIterator[GrpcCacheClient]:
    """Storages, a router and a client, all joined over real sockets."""
    servers = [await storage() for _ in range(storages)]
    backend = make([server.url for server in servers], connections=connections)
    await backend.connect(10)
    router = await serve_router_grpc(ANYWHERE, backend)
    try:
        async with GrpcCacheClient(router.url) as client:
            yield client
    finally:
        await router.close(0)
        await backend.close()
        for server in servers:
            await server.close(0)


@pytest.mark.every_loop
@pytest.mark.parametrize("make", BACKENDS)
async def test_get_set_delete_through_a_router(make: MakeBackend) -> None:
    async with system(make) as client:
        assert await client.get("ns", b"key") == Miss()
        await client.set("ns", b"key", b"value", 60)
        assert await client.get("ns", b"key", timeout=HANG) == Hit(b"value")
        assert await client.get("other", b"key") == Miss()
        await client.delete("ns", b"key")
        assert await client.get("ns", b"key") == Miss()


@pytest.mark.parametrize("make", BACKENDS)
@pytest.mark.parametrize("connections", [1, 3])
async def test_many_calls_at_once_get_their_own_answers(make: MakeBackend, connections: int) -> None:
    async with system(make, connections=connections) as client:
        keys = [b"key %d" % number for number in range(200)]
        await asyncio.gather(*(client.set("ns", key, b"value of " + key, 60) for key in keys))
        results = await asyncio.gather(*(client.get("ns", key) for key in keys))
        assert results == [Hit(b"value of " + key) for key in keys]


@pytest.mark.parametrize("make", BACKENDS)
async def test_each_key_is_on_the_storage_the_ring_says(make: MakeBackend) -> None:
    servers = [await storage() for _ in range(3)]
    urls = [server.url for server in servers]
    backend = make(urls)
    router = await serve_router_grpc(ANYWHERE, backend)
    await backend.connect(10)
    ring = Ring(urls)
    direct = [GrpcCacheClient(url) for url in urls]
    async with GrpcCacheClient(router.url) as client:
        for number in range(30):
            key = b"%d" % number
            await client.set("ns", key, b"value", 60)
            found = [isinstance(await storage.get("ns", key), Hit) for storage in direct]
            assert found == [index == ring.get(key) for index in range(3)]
    for each in direct:
        await each.close()
    await router.close(0)
    await backend.close()
    for server in servers:
        await server.close(0)


@pytest.mark.parametrize("make", BACKENDS)
async def test_generated_stubs_work_and_ids_are_echoed(make: MakeBackend) -> None:
    server = await storage()
    backend = make([server.url])
    await backend.connect(10)
    router = await serve_router_grpc(ANYWHERE, backend)
    for url in (router.url, server.url):
        async with aio.insecure_channel(parse_grpc_address(url).target) as channel:
            stub = CacheStub(channel)
            command = set_command("ns", b"key", b"value", 60)
            for message_id in (0, 1, 300, 2**64 - 1):
                command.message_id = message_id
                assert (await stub.Set(command)).message_id == message_id
            stream = stub.Stream()
            for message_id in range(1, 101):
                command = get_command("ns", b"key" if message_id % 2 else b"none")
                command.message_id = message_id
                await stream.write(command)
            await stream.done_writing()
            answers = {answer.message_id: answer.WhichOneof("kind") async for answer in stream}
            assert answers == {number: "get" if number % 2 else "error" for number in range(1, 101)}
    await router.close(0)
    await backend.close()
    await server.close(0)


@pytest.mark.parametrize("make", BACKENDS)
async def test_a_command_without_a_key_is_refused(make: MakeBackend) -> None:
    async with system(make) as client:
        with pytest.raises(CacheError, match="namespace") as caught:
            await client.get("", b"key")
        assert caught.value.code == pb.INVALID_ARGUMENT
    server = await storage()
    backend = make([server.url])
    router = await serve_router_grpc(ANYWHERE, backend)
    async with aio.insecure_channel(parse_grpc_address(router.url).target) as channel:
        answer = await CacheStub(channel).Get(pb.CacheCommand(message_id=9))
        assert (answer.message_id, answer.error.code) == (9, pb.INVALID_ARGUMENT)
    await router.close(0)
    await backend.close()
    await server.close(0)


@pytest.mark.parametrize("make", BACKENDS)
async def test_a_dead_storage_is_told_at_once_and_used_again_when_back(make: MakeBackend) -> None:
    alive, dying = await storage(), await storage()
    url = dying.url
    backend = make([alive.url, url])
    await backend.connect(10)
    router = await serve_router_grpc(ANYWHERE, backend)
    ring = Ring([alive.url, url])
    keys = [b"%d" % number for number in range(100)]
    key_alive = next(key for key in keys if ring.get(key) == 0)
    key_dead = next(key for key in keys if ring.get(key) == 1)
    async with GrpcCacheClient(router.url) as client:
        await client.set("ns", key_dead, b"value", 60)
        await dying.close(0)
        for _ in range(3):
            with pytest.raises(CacheUnavailable, match="not connected") as caught:
                await client.get("ns", key_dead, timeout=HANG)
            assert caught.value.code == pb.UNAVAILABLE
        await client.set("ns", key_alive, b"value", 60)
        revived = await storage(url)
        async with asyncio.timeout(HANG):
            while True:
                try:
                    result = await client.get("ns", key_dead)
                    break
                except CacheUnavailable:
                    await asyncio.sleep(0.01)
        assert result == Miss()
    await router.close(0)
    await backend.close()
    await alive.close(0)
    await revived.close(0)


class Held:
    """A storage that takes commands and never answers."""

    def __init__(self) -> None:
        self.taken = asyncio.Event()

    async def unary(self, _command: bytes, _context: aio.ServicerContext[bytes, bytes]) -> bytes:
        self.taken.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def stream(
        self, _commands: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        await context.send_initial_metadata(())
        await context.read()
        self.taken.set()
        await asyncio.get_running_loop().create_future()

    async def listen(self) -> GrpcServer:
        unary: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self.unary)
        stream: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self.stream)
        return await GrpcServer.listen(
            ANYWHERE, {"Get": unary, "Set": unary, "Delete": unary, "Stream": stream}, TokenPolicy()
        )


@pytest.mark.parametrize("make", BACKENDS)
@pytest.mark.parametrize("who", ["storage", "backend"])
async def test_calls_under_way_fail_when_the_hop_breaks(make: MakeBackend, who: str) -> None:
    held = Held()
    server = await held.listen()
    backend = make([server.url])
    await backend.connect(10)
    command = get_command("ns", b"key").SerializeToString()
    call = asyncio.ensure_future(backend.call(b"key", 0, command))
    await held.taken.wait()
    if who == "storage":
        await server.close(0)
    else:
        await backend.close()
    with pytest.raises(CacheUnavailable):
        await asyncio.wait_for(call, HANG)
    await backend.close()
    await server.close(0)


async def test_timeout_cancel_and_close_of_a_client() -> None:
    held = Held()
    server = await held.listen()
    client = GrpcCacheClient(server.url)
    with pytest.raises(DeadlineExceeded) as caught:
        await client.get("ns", b"key", timeout=0.05)
    assert caught.value.timeout == 0.05
    waiting = asyncio.ensure_future(client.get("ns", b"key"))
    held.taken.clear()
    await held.taken.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.ensure_future(client.get("ns", b"key"))
    held.taken.clear()
    await held.taken.wait()
    await client.close()
    with pytest.raises(CacheUnavailable, match="closed"):
        await waiting
    with pytest.raises(CacheUnavailable, match="closed"):
        await client.get("ns", b"key")
    await client.close()
    await server.close(0)


async def test_a_cancelled_call_on_a_stream_leaves_the_others_alone() -> None:
    server = await storage()
    stream = GrpcStream(server.url)
    assert await stream.connect(10)
    command = get_command("ns", b"key").SerializeToString()
    calls = [stream.call(number, command) for number in range(10)]
    calls[3].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[3], asyncio.CancelledError)
    ids = [answer.message_id for answer in answers if isinstance(answer, pb.CacheResponse)]
    assert ids == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    await stream.close()
    with pytest.raises(CacheUnavailable):
        stream.call(1, command)
    await server.close(0)


@pytest.mark.parametrize("make", BACKENDS)
async def test_a_router_starts_without_its_storages(make: MakeBackend) -> None:
    server = await storage()
    await server.close(0)
    backend = make([server.url])
    await backend.connect(0.05)
    router = await serve_router_grpc(ANYWHERE, backend)
    async with GrpcCacheClient(router.url) as client:
        with pytest.raises(CacheUnavailable):
            await client.get("ns", b"key", timeout=HANG)
    await router.close(0)
    await backend.close()


@pytest.mark.parametrize("make", BACKENDS)
async def test_tokens_on_both_hops(make: MakeBackend) -> None:
    server = await storage(tokens=TokenPolicy(["storage secret"]))
    backend = make([server.url], token="storage secret")
    await backend.connect(10)
    router = await serve_router_grpc(ANYWHERE, backend, tokens=TokenPolicy(["secret", "other"]))
    async with GrpcCacheClient(router.url, token="other") as client:
        assert await client.get("ns", b"key") == Miss()
    for token in (None, "", "storage secret"):
        async with GrpcCacheClient(router.url, token=token) as client:
            with pytest.raises(Unauthenticated):
                await client.get("ns", b"key")
    async with aio.insecure_channel(parse_grpc_address(router.url).target) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            async for _ in CacheStub(channel).Stream():
                pass
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    stranger = make([server.url], token="wrong")
    await stranger.connect(0.05)
    with pytest.raises(CacheUnavailable):
        await stranger.call(b"key", 0, get_command("ns", b"key").SerializeToString())
    for each in (backend, stranger):
        await each.close()
    await router.close(0)
    await server.close(0)


async def test_listening_where_it_makes_no_sense() -> None:
    with pytest.raises(OptionError, match="token"):
        await storage("grpc://0.0.0.0:0")
    with pytest.raises(AddressError, match="grpc://"):
        await storage("tcp://127.0.0.1:0")
    with pytest.raises(ConnectError) as caught:
        await storage("grpc://192.0.2.1:1", TokenPolicy(["secret"]))
    assert caught.value.address == "grpc://192.0.2.1:1"
    with pytest.raises(OptionError, match="connections"):
        GrpcUnaryBackend(["grpc://127.0.0.1:1"], connections=0)


@pytest.mark.parametrize(
    ("url", "target"), [("grpc://localhost:1", "localhost:1"), ("GRPC://[::1]:65535", "[::1]:65535")]
)
def test_grpc_addresses(url: str, target: str) -> None:
    address = parse_grpc_address(url)
    assert address.target == target
    assert str(address) == f"grpc://{target}"


def test_the_implementations_fit_their_interfaces() -> None:
    # For the type checkers; a wrong signature fails there.
    clients: list[type[CacheClient]] = [GrpcCacheClient]
    backends: list[type[Backend]] = [GrpcUnaryBackend, GrpcStreamBackend]
    servers: list[type[Listening]] = [GrpcServer]
    assert all((clients, backends, servers))


class Program:
    """A running ``protosocket`` server program."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "protosocket", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on grpc://127.0.0.1:")
        self.url = line.split()[-1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def run(*arguments: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "protosocket", "cache", *arguments],
        input=content,
        capture_output=True,
        timeout=HANG,
        check=False,
        env=os.environ | {"PROTOSOCKET_CACHE_TOKEN": "secret"},
    )


def test_the_programs(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    server = Program("storage", "--grpc-listen", ANYWHERE, "--max-memory", "1MiB")
    router = Program(
        *("router", "--grpc-listen", ANYWHERE, "--storage", server.url),
        *("--transport", "grpc-stream", "--token-file", str(tokens)),
    )
    there = ("--router", router.url, "--transport", "grpc")
    try:
        missing = run("get", "key", *there)
        assert (missing.returncode, missing.stdout, missing.stderr) == (1, b"", b"Key not found\n")
        assert run("set", "key", "-", "--ttl", "60", *there, content=b"\x00value").returncode == 0
        assert run("get", "key", *there).stdout == b"\x00value"
        assert run("delete", "key", *there).returncode == 0
        refused = run("get", "key", "--token", "wrong", *there)
        assert refused.returncode == 3
        assert refused.stderr.startswith(b"protosocket: not authenticated")
    finally:
        codes = [router.stop(), server.stop(signal.SIGINT)]
    assert codes == [0, 0]
