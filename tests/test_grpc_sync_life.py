"""The life of blocking channels: who holds whom, callbacks that wait, what is forgotten, closing."""

from __future__ import annotations

import asyncio
import gc
import queue
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import grpc
import pytest

from protosocket import grpc as over_protosocket
from protosocket.grpc import SyncChannel, sync_insecure_channel

PATIENCE = 5.0


class Service:
    """A server in a thread of its own; it says when one of its endless streams was given up."""

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.target = self._run(self._start())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    async def _start(self) -> str:
        self._server = over_protosocket.server()
        kinds: dict[str, Any] = {
            "Shout": grpc.unary_unary_rpc_method_handler(self._shout),
            "Wait": grpc.unary_unary_rpc_method_handler(self._wait),
            "Endless": grpc.unary_stream_rpc_method_handler(self._endless),
            "Answer": grpc.stream_stream_rpc_method_handler(self._endless),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Life", kinds),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    def stop(self) -> None:
        self._run(self._server.stop(None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shout(self, request: bytes, context: Any) -> bytes:
        return request.upper()

    async def _wait(self, request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return request

    async def _endless(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.given_up.set()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def channel(service: Service) -> Iterator[SyncChannel]:
    with sync_insecure_channel(service.target) as channel:
        yield channel


class Stub:
    """What generated code makes of a channel: it keeps nothing but the multicallables."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.Shout: Any = channel.unary_unary("/test.Life/Shout")
        self.Wait: Any = channel.unary_unary("/test.Life/Wait")
        self.Endless: Any = channel.unary_stream("/test.Life/Endless")
        self.Answer: Any = channel.stream_stream("/test.Life/Answer")


def ran_in_time(*targets: Callable[[], object]) -> bool:
    """Whether all ``targets``, each in a thread, have returned."""
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return not any(thread.is_alive() for thread in threads)


def test_a_stub_holds_its_channel(service: Service) -> None:
    stub = Stub(sync_insecure_channel(service.target))
    assert stub.Shout(b"a") == b"A"


def test_calls_hold_their_channel(service: Service) -> None:
    future = Stub(sync_insecure_channel(service.target)).Shout.future(b"a")
    gc.collect()
    assert future.result(PATIENCE) == b"A"
    stream = Stub(sync_insecure_channel(service.target)).Endless(b"")
    gc.collect()
    assert next(stream) == b"first"


def test_a_forgotten_channel_ends_its_thread(service: Service) -> None:
    before = set(threading.enumerate())
    stub = Stub(sync_insecure_channel(service.target))
    (thread,) = set(threading.enumerate()) - before
    assert stub.Shout(b"a") == b"A"
    del stub
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_callbacks_may_wait_for_calls(channel: SyncChannel) -> None:
    stub = Stub(channel)
    said: queue.Queue[Any] = queue.Queue()
    future = stub.Wait.future(b"a", timeout=0.05)
    future.add_done_callback(lambda ended: said.put((ended.code(), stub.Shout(b"b"))))
    assert said.get(timeout=PATIENCE) == (grpc.StatusCode.DEADLINE_EXCEEDED, b"B")
    stream = stub.Endless(b"")
    assert next(stream) == b"first"
    assert stream.add_callback(lambda: said.put(stream.code()))
    stream.cancel()
    assert said.get(timeout=PATIENCE) is grpc.StatusCode.CANCELLED


def test_a_callback_may_close_the_channel(channel: SyncChannel) -> None:
    closed = threading.Event()

    def close(_: Any) -> None:
        channel.close()
        closed.set()

    Stub(channel).Wait.future(b"", timeout=0.05).add_done_callback(close)
    assert closed.wait(PATIENCE)


def test_a_callback_that_fails_is_logged(channel: SyncChannel, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fail(_: Any) -> None:
        try:
            raise LookupError("of the user's")
        finally:
            done.set()

    Stub(channel).Wait.future(b"", timeout=0.05).add_done_callback(fail)
    assert done.wait(PATIENCE)
    # The log is complete when the threads for callbacks have ended, which they do after the channel.
    callers = [each for each in threading.enumerate() if each.name.startswith("protosocket-channel-callb")]
    channel.close()
    for caller in callers:
        caller.join(PATIENCE)
    assert "of the user's" in caplog.text


def test_the_loops_own_thread_does_not_wait_for_itself(channel: SyncChannel) -> None:
    stub = Stub(channel)
    refused: list[str] = []

    def serialize(request: bytes) -> bytes:
        with pytest.raises(RuntimeError) as caught:
            stub.Shout(b"inner")
        refused.append(str(caught.value))
        return request

    assert channel.unary_unary("/test.Life/Shout", serialize)(b"outer", timeout=PATIENCE) == b"OUTER"
    assert "use another thread" in refused[0]


def test_a_forgotten_stream_is_cancelled(service: Service, channel: SyncChannel) -> None:
    for _ in Stub(channel).Endless(b""):
        break
    gc.collect()
    assert service.given_up.wait(PATIENCE)


def test_a_forgotten_stream_is_cancelled_while_its_requests_block(
    service: Service, channel: SyncChannel
) -> None:
    release = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"1"
        release.wait()

    for _ in Stub(channel).Answer(requests()):
        break
    gc.collect()
    assert service.given_up.wait(PATIENCE)
    release.set()


def test_a_stream_forgotten_after_closing(service: Service) -> None:
    channel = sync_insecure_channel(service.target)
    stream = Stub(channel).Endless(b"")
    assert next(stream) == b"first"
    channel.close()
    del stream
    gc.collect()
    assert service.given_up.wait(PATIENCE)


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_switches")
def test_many_threads_close_at_once(service: Service) -> None:
    for _ in range(100):
        channel = sync_insecure_channel(service.target)
        assert ran_in_time(*[channel.close] * 8)


def test_calls_race_with_closing(service: Service) -> None:
    for _ in range(30):
        channel = sync_insecure_channel(service.target)
        stub = Stub(channel)
        assert stub.Shout(b"a") == b"A"
        refused: list[str] = []
        call = partial(call_until_refused, stub, refused)
        assert ran_in_time(call, call, call, channel.close)
        assert refused == ["Cannot invoke RPC on closed channel!"] * 3


def call_until_refused(stub: Stub, refused: list[str]) -> None:
    """Make calls until one raises ``ValueError``, whose text is appended to ``refused``."""
    while True:
        try:
            stub.Shout(b"a")
        except (grpc.RpcError, grpc.FutureCancelledError):
            continue
        except ValueError as error:
            refused.append(str(error))
            return
