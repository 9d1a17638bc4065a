"""What belongs to an event loop, used from another one, another thread, or after that was closed: one error.

And a loop that moves to another thread, as in programs that set it up before they start a thread for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest
import uvloop
from tests.grpc_parity.world import generic_handler, method
from tests.patience import HANG
from tests.rpc_support import CODEC, Service, message

import protosocket
import protosocket.grpc
from protosocket import TLS, ConnectionOptions, rpc
from protosocket.cache import StorageHandler, TokenPolicy, create_engine
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.cache.protosocket_storage import serve_storage
from protosocket.codecs import Bytes
from protosocket.errors import EventLoopError

if TYPE_CHECKING:
    from tests.conftest import Certificates

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
TIMEOUTS = [None, HANG]


async def unary_unary(request: bytes, context: Any) -> bytes:
    return request.upper()


async def unary_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for _ in range(int(request or b"3")):
        yield b"item"


async def stream_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b"".join([each async for each in requests])


async def stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for each in requests:
        yield each.upper()


class Pausing(Service):
    """Has a stream that goes on when it is told to."""

    async def do_pause(self, request: Any) -> AsyncIterator[Any]:
        yield message(b"first")
        await self.gates.setdefault(self.argument(request), asyncio.Event()).wait()
        yield message(b"last")

    async def do_open(self, request: Any) -> Any:
        self.open(self.argument(request))
        return message()


async def echo(connection: Any) -> None:
    async for each in connection:
        await connection.send(each)


class Servers:
    """One of each, on a loop in a thread of its own."""

    def __init__(self, certificates: Certificates) -> None:
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.tls = TLS(certificate=certificates.server_certificate, key=certificates.server_key)
        self.client_tls = TLS(ca=certificates.ca)
        self.stack = contextlib.AsyncExitStack()
        self.run(self._start())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(HANG)

    async def _start(self) -> None:
        enter = self.stack.enter_async_context
        self.rpc = (await enter(rpc.serve("tcp://127.0.0.1:0", Pausing, CODEC))).addresses[0]
        secure = rpc.serve("tls://127.0.0.1:0", Service, CODEC, tls=self.tls)
        self.secure_rpc = (await enter(secure)).addresses[0]
        self.lines = (await enter(protosocket.listen("tcp://127.0.0.1:0", Bytes(), echo))).addresses[0]
        server: Any = protosocket.grpc.server()
        kinds: Any = (unary_unary, unary_stream, stream_unary, stream_stream)
        server.add_generic_rpc_handlers((generic_handler(**{each.__name__: each for each in kinds}),))
        self.grpc = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self.stack.push_async_callback(server.stop, 0)
        handler = StorageHandler(create_engine())
        storage = await serve_storage("tcp://127.0.0.1:0", handler, tokens=TokenPolicy())
        self.cache = storage.url
        self.stack.push_async_callback(storage.close)

    def stop(self) -> None:
        self.run(self.stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def servers(certificates: Certificates) -> Iterator[Servers]:
    servers = Servers(certificates)
    yield servers
    servers.stop()


@pytest.fixture(params=LOOPS)
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return LOOPS[request.param]


class Made:
    """Objects that belong to the loop in which this is made, connected or not, and ways to use them."""

    async def make(self, servers: Servers, connected: bool, options: ConnectionOptions | None = None) -> Made:
        self.servers = servers
        self.client = await rpc.connect(servers.rpc, CODEC, options=options)
        self.channel: Any = protosocket.grpc.insecure_channel(servers.grpc)
        self.either: Any = protosocket.grpc.fallback_channel(servers.grpc)
        self.cache = await ProtosocketCacheClient(servers.cache).__aenter__()
        self.lines = await protosocket.connect(servers.lines, Bytes(), options=options)
        self.server = await rpc.serve("tcp://127.0.0.1:0", Service, CODEC, options=options)
        self.aio: Any = protosocket.grpc.server()
        self.aio.add_insecure_port("127.0.0.1:0")
        await self.aio.start()
        self.started: Any = None
        self.stream: Any = None
        self.calls: list[Any] = []
        if connected:
            await self.client.ready()
            unary: Any = self.channel.unary_unary(method("unary_unary"))
            await unary(b"a")
            await self.either.unary_unary(method("unary_unary"))(b"a")
            await self.cache.set("n", b"k", b"v", ttl=60)
            await self.lines.send(b"a")
            assert await self.lines.receive() == b"a"
            self.started = self.client.unary(message(b"wait for-ever")).start()
            self.stream = self.client.stream(message(b"pause here"))
            await anext(self.stream)
            self.calls = [self.channel.stream_stream(method("stream_stream"))() for _ in range(2)]
            self.calls.append(self.channel.stream_unary(method("stream_unary"))())
            await self.calls[0].write(b"a")
            await self.calls[0].read()
        else:
            self.channel.get_state(try_to_connect=True)
            self.either.get_state(try_to_connect=True)
        return self

    async def close(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()
        await self.client.close()
        await self.channel.close()
        await self.either.close()
        await self.cache.__aexit__(None, None, None)
        await self.lines.close()
        await self.server.close()
        await self.aio.stop(0)

    def uses(self, timeout: float | None) -> dict[str, Callable[[], Any]]:
        """What can be done with them; each gives a coroutine or does it at once."""
        client, channel, cache = self.client, self.channel, self.cache

        def call(kind: str, given: Any) -> Any:
            return getattr(channel, kind)(method(kind))(given, timeout=timeout)

        async def awaited(make: Callable[[], Any]) -> Any:
            return await make()

        async def all_of(make: Callable[[], Any]) -> list[Any]:
            return [each async for each in make()]

        uses: dict[str, Callable[[], Any]] = {
            "unary": lambda: awaited(lambda: client.unary(message(b"echo"), timeout=timeout)),
            "started": lambda: client.unary(message(b"echo"), timeout=timeout).start(),
            "stream": lambda: all_of(lambda: client.stream(message(b"count 3"), timeout=timeout)),
            "ready": client.ready,
            "cache get": lambda: awaited(lambda: cache.get("n", b"k", timeout=timeout)),
            "cache set": lambda: awaited(lambda: cache.set("n", b"k", b"v", 1.0, timeout=timeout)),
            "cache delete": lambda: awaited(lambda: cache.delete("n", b"k", timeout=timeout)),
            "grpc unary": lambda: awaited(lambda: call("unary_unary", b"a")),
            "grpc stream": lambda: all_of(lambda: call("unary_stream", b"3")),
            "grpc stream of requests": lambda: awaited(lambda: call("stream_unary", iter([b"a"]))),
            "grpc chat": lambda: all_of(lambda: call("stream_stream", iter([b"a"]))),
            "grpc read": lambda: awaited(lambda: call("unary_stream", b"3").read()),
            "either unary": lambda: awaited(
                lambda: self.either.unary_unary(method("unary_unary"))(b"a", timeout=timeout)
            ),
            "either stream": lambda: all_of(
                lambda: self.either.unary_stream(method("unary_stream"))(b"3", timeout=timeout)
            ),
            "either ready": self.either.channel_ready,
            "either close": self.either.close,
            "grpc ready": channel.channel_ready,
            "grpc state": lambda: channel.wait_for_state_change(channel.get_state()),
            "grpc close": channel.close,
            "send": lambda: self.lines.send(b"a"),
            "receive": self.lines.receive,
            "iterate": lambda: all_of(lambda: self.lines),
            "close": self.lines.close,
            "abort": self.lines.abort,
            "wait closed": self.lines.wait_closed,
            "server close": self.server.close,
            "serve forever": self.server.serve_forever,
            "grpc stop": lambda: self.aio.stop(0),
            "grpc wait": lambda: self.aio.wait_for_termination(timeout),
        }
        if self.started is not None:
            chat, untouched, collecting = self.calls
            uses |= {
                "client close": client.close,
                "await what was started": lambda: awaited(lambda: self.started),
                "the next of a stream": lambda: anext(self.stream),
                "await a call": lambda: awaited(lambda: collecting),
                "read a call": chat.read,
                "the next of a call": lambda: awaited(lambda: anext(aiter(untouched))),
                "write": lambda: chat.write(b"a"),
                "done writing": chat.done_writing,
                "code": chat.code,
                "details": collecting.details,
                "initial metadata": untouched.initial_metadata,
                "trailing metadata": collecting.trailing_metadata,
                "wait for connection": untouched.wait_for_connection,
                "cancel": untouched.cancel,
            }
        return uses


def use(make: Callable[[], Any]) -> Any:
    """What using something in this thread raises, in an event loop of this thread."""

    async def go() -> Any:
        async with asyncio.timeout(HANG):
            made = make()
            return await made if asyncio.iscoroutine(made) or hasattr(made, "__await__") else made

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(go())
    except BaseException as error:
        return error
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def refused(made: Made, timeout: float | None, where: str) -> None:
    results = {name: use(make) for name, make in made.uses(timeout).items()}
    wrong = {name: each for name, each in results.items() if type(each) is not EventLoopError}
    assert wrong == {}
    for each in results.values():
        assert where in str(each)


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("connected", [True, False])
class TestElsewhere:
    """Every object of ours, and everything that can be done with it."""

    def test_in_another_loop_while_the_own_one_is_idle(
        self, servers: Servers, new_loop: Any, connected: bool, timeout: float | None
    ) -> None:
        loop = new_loop()
        made = loop.run_until_complete(Made().make(servers, connected))
        refused(made, timeout, "another one than runs here")
        loop.run_until_complete(asyncio.wait_for(made.close(), HANG))
        loop.close()

    def test_in_another_loop_while_the_own_one_runs_in_its_thread(
        self, servers: Servers, new_loop: Any, connected: bool, timeout: float | None
    ) -> None:
        loop = new_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            made = asyncio.run_coroutine_threadsafe(Made().make(servers, connected), loop).result(HANG)
            refused(made, timeout, "another one than runs here")
            asyncio.run_coroutine_threadsafe(made.close(), loop).result(HANG)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @pytest.mark.filterwarnings("ignore")
    def test_after_the_loop_was_closed(
        self, servers: Servers, new_loop: Any, connected: bool, timeout: float | None
    ) -> None:
        loop = new_loop()
        made = loop.run_until_complete(Made().make(servers, connected))
        loop.close()
        refused(made, timeout, "is closed")
        # What Python and asyncio say of a loop that was closed with everything open belongs to this test.
        del made, loop
        gc.collect()


def test_without_a_loop_in_another_thread(servers: Servers, new_loop: Any) -> None:
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        made = asyncio.run_coroutine_threadsafe(Made().make(servers, True), loop).result(HANG)
        for act in (
            lambda: made.client.unary(message(b"echo")).start(),
            made.lines.abort,
            made.calls[1].cancel,
        ):
            with pytest.raises(EventLoopError, match="runs in another thread"):
                act()
        asyncio.run_coroutine_threadsafe(made.close(), loop).result(HANG)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_between_two_runs_of_its_loop_everything_goes(servers: Servers, new_loop: Any) -> None:
    """Nobody is waiting in vain: the loop will run."""
    loop = new_loop()
    made = loop.run_until_complete(Made().make(servers, True))
    call = made.client.unary(message(b"echo again")).start()

    async def wait() -> Any:
        return await call

    assert loop.run_until_complete(wait()).body == b"echo again"
    made.calls[1].cancel()
    made.lines.abort()
    loop.run_until_complete(made.lines.wait_closed())
    loop.run_until_complete(made.close())
    loop.close()


class Moved:
    """Runs a loop in a thread, and stops it there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def __enter__(self) -> Moved:
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(HANG)


async def everything_works(made: Made) -> None:
    async with asyncio.timeout(HANG):
        assert (await made.client.unary(message(b"echo x"), timeout=HANG)).body == b"echo x"
        assert [each.body async for each in made.client.stream(message(b"count 3"))] == [b"0", b"1", b"2"]
        assert await made.channel.unary_unary(method("unary_unary"))(b"a") == b"A"
        assert [each async for each in made.channel.unary_stream(method("unary_stream"))(b"2")] == [
            b"item"
        ] * 2
        await made.cache.set("n", b"k", b"v", ttl=60)
        await made.lines.send(b"line")
        assert await made.lines.receive() == b"line"
        # What was under way goes on.
        await made.calls[0].write(b"b")
        assert await made.calls[0].read() == b"B"
        # More than a socket takes at once.
        big = bytes(3_000_000)
        await made.lines.send(big)
        assert await made.lines.receive() == big


async def the_stream_goes_on(made: Made) -> None:
    await made.client.unary(message(b"open here"))
    assert [each.body async for each in made.stream] == [b"last"]


@pytest.mark.parametrize("debug", [False, True])
def test_a_loop_that_moves_to_another_thread_takes_its_connections_along(
    servers: Servers, new_loop: Any, transport: Literal["aiofastnet", "loop"], debug: bool
) -> None:
    loop = new_loop()
    loop.set_debug(debug)
    options = ConnectionOptions(transport=transport)
    made = loop.run_until_complete(Made().make(servers, True, options))
    with Moved(loop) as first:
        first.run(everything_works(made))
    with Moved(loop) as second:
        second.run(everything_works(made))
    # And back again.
    loop.run_until_complete(everything_works(made))
    with Moved(loop) as third:
        third.run(the_stream_goes_on(made))
        third.run(made.close())
    loop.close()


@pytest.mark.parametrize("secure", [False, True])
def test_the_end_of_a_connection_that_nobody_used_since_is_no_failure(
    servers: Servers, new_loop: Any, secure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    loop = new_loop()
    gone = asyncio.run_coroutine_threadsafe(_doomed(servers, secure), servers.loop).result(HANG)
    tls = servers.client_tls if secure else None
    connection = loop.run_until_complete(_connected(gone.addresses[0], tls))

    async def has_ended() -> None:
        while not connection.closed:  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0.001)

    with Moved(loop) as moved:
        asyncio.run_coroutine_threadsafe(gone.close(), servers.loop).result(HANG)
        moved.run(asyncio.wait_for(has_ended(), HANG))
        moved.run(connection.close())
    loop.close()
    assert [each for each in caplog.records if each.levelname != "DEBUG"] == []


async def _doomed(servers: Servers, secure: bool) -> Any:
    url = "tls://127.0.0.1:0" if secure else "tcp://127.0.0.1:0"
    return await protosocket.listen(url, Bytes(), echo, tls=servers.tls if secure else None)


async def _connected(url: str, tls: TLS | None) -> Any:
    connection = await protosocket.connect(url, Bytes(), tls=tls)
    await connection.send(b"a")
    assert await connection.receive() == b"a"
    return connection


def test_tls_moves_too(servers: Servers, new_loop: Any, transport: Literal["aiofastnet", "loop"]) -> None:
    loop = new_loop()
    options = ConnectionOptions(transport=transport)

    async def make() -> Any:
        client = await rpc.connect(servers.secure_rpc, CODEC, options=options, tls=servers.client_tls)
        await client.ready()
        return client, client.statistics()[0]

    async def works(client: Any) -> Any:
        big = b"echo " + bytes(2_000_000)
        assert (await client.unary(message(big))).body == big
        assert len([each async for each in client.stream(message(b"count 2000"))]) == 2000
        return client.statistics()

    client, _ = loop.run_until_complete(make())
    with Moved(loop) as moved:
        # The connection is the same one.
        (statistics,) = moved.run(works(client))
        assert statistics.messages_received >= 2001
        moved.run(client.close())
    loop.close()


def test_a_server_moves_with_the_connections_it_has(
    new_loop: Any, transport: Literal["aiofastnet", "loop"]
) -> None:
    """Those that were accepted before and after, calls that wait, and both ways to end."""
    server_loop, client_loop = new_loop(), asyncio.new_event_loop()
    options = ConnectionOptions(transport=transport)
    service = Service()

    async def serve() -> Any:
        aio: Any = protosocket.grpc.server()
        aio.add_generic_rpc_handlers((generic_handler(unary_unary=unary_unary, stream_stream=stream_stream),))
        port = aio.add_insecure_port("127.0.0.1:0")
        await aio.start()
        return await rpc.serve("tcp://127.0.0.1:0", lambda: service, CODEC, options=options), aio, port

    server, aio, port = server_loop.run_until_complete(serve())
    with Moved(client_loop) as clients:

        async def connect() -> Any:
            client = await rpc.connect(server.addresses[0], CODEC)
            channel: Any = protosocket.grpc.insecure_channel(f"127.0.0.1:{port}")
            waiting = asyncio.ensure_future(client.unary(message(b"wait x")))
            chat = channel.stream_stream(method("stream_stream"))()
            await chat.write(b"a")
            assert await chat.read() == b"A"
            return client, channel, waiting, chat

        async def until_it_waits() -> None:
            while not service.running:  # noqa: ASYNC110 - what it waits for is no event
                await asyncio.sleep(0.001)

        joining = asyncio.run_coroutine_threadsafe(connect(), client_loop)

        async def until_joined() -> Any:
            return await asyncio.wrap_future(joining)

        client, channel, waiting, chat = server_loop.run_until_complete(until_joined())
        server_loop.run_until_complete(until_it_waits())

        async def use() -> None:
            async with asyncio.timeout(HANG):
                big = b"echo " + bytes(1_000_000)
                assert (await client.unary(message(big))).body == big
                await chat.write(b"b")
                assert await chat.read() == b"B"
                async with rpc.connect(server.addresses[0], CODEC) as other:
                    assert (await other.unary(message(b"echo"))).body == b"echo"

        with Moved(server_loop) as moved:
            clients.run(use())
            server_loop.call_soon_threadsafe(service.open, "x")

            async def answered() -> Any:
                return await waiting

            assert clients.run(answered()).body == b"wait x"
            clients.run(use())
            moved.run(server.close())
            moved.run(aio.stop(0))

        async def end() -> None:
            await client.close()
            await channel.close()

        clients.run(end())
    server_loop.close()
    client_loop.close()


def broken(*_: object) -> None:
    raise RuntimeError("aiofastnet has changed")


def test_who_cannot_take_a_connection_along_makes_a_new_one(
    servers: Servers, new_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protosocket.connection.fast_tls.FastTLS.come_here", broken)
    loop = new_loop()
    tls = servers.client_tls
    listening = asyncio.run_coroutine_threadsafe(_doomed(servers, True), servers.loop).result(HANG)

    async def make() -> tuple[Any, Any, Any]:
        client = await rpc.connect(servers.secure_rpc, CODEC, tls=tls)
        await client.ready()
        started = client.unary(message(b"wait for-ever")).start()
        return await _connected(listening.addresses[0], tls), client, started

    lines, client, started = loop.run_until_complete(make())

    async def recovers() -> None:
        async with asyncio.timeout(HANG):
            with contextlib.suppress(protosocket.errors.ConnectionClosed):
                await lines.send(b"a")
            with pytest.raises(protosocket.errors.ConnectionClosed, match="aiofastnet has changed"):
                await lines.receive()
            for _ in range(2):
                with contextlib.suppress(protosocket.errors.ConnectionClosed):
                    await client.unary(message(b"echo"))
            assert (await client.unary(message(b"echo"))).body == b"echo"
            with pytest.raises(protosocket.errors.ConnectionClosed):
                await started
            await client.close()

    with Moved(loop) as moved:
        moved.run(recovers())
    asyncio.run_coroutine_threadsafe(listening.close(), servers.loop).result(HANG)
    loop.close()
