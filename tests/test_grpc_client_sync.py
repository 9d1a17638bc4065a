"""Blocking channels: the four kinds of call, threads, errors, interceptors of blocking code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tests.grpc_support import Backend, method

from protosocket.grpc import SyncChannel, sync_insecure_channel

PATIENCE = 5.0


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A backend in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    backend = Backend("x")

    def run(coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)

    run(backend.start())
    yield backend
    run(backend.server.stop(None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def channel(backend: Backend) -> Iterator[SyncChannel]:
    with sync_insecure_channel(backend.target) as channel:
        yield channel


def test_all_kinds_of_call(channel: SyncChannel) -> None:
    assert channel.unary_unary(method("Name"))(b"!") == b"x!"
    assert list(channel.unary_stream(method("Count"))(b"200")) == [b"%d" % number for number in range(200)]
    assert channel.stream_unary(method("Sum"))(iter([b"1", b"2"])) == b"3"
    assert list(channel.stream_stream(method("Echo"))(iter([b"1", b"2"]))) == [b"1", b"2"]


def test_requests_may_depend_on_responses(channel: SyncChannel) -> None:
    answers: list[bytes] = []
    answered = threading.Semaphore(0)

    def requests() -> Iterator[bytes]:
        yield b"1"
        while len(answers) < 5:
            answered.acquire()
            yield answers[-1] + b"1"

    for each in channel.stream_stream(method("Echo"))(requests()):
        answers.append(each)
        answered.release()
    assert answers[:5] == [b"1" * count for count in range(1, 6)]


def test_the_call_beside_the_response(channel: SyncChannel) -> None:
    response, call = channel.unary_unary(method("Name")).with_call(b"", timeout=PATIENCE)
    assert response == b"x"
    assert (call.code(), call.details()) == (grpc.StatusCode.OK, "")
    assert call.initial_metadata() == call.trailing_metadata() == ()
    assert 0 < call.time_remaining() <= PATIENCE
    assert not call.is_active()
    assert not call.cancel()
    _, call = channel.stream_unary(method("Sum")).with_call(iter([b"1"]))
    assert call.time_remaining() is None


def test_errors_are_calls(backend: Backend, channel: SyncChannel) -> None:
    backend.fail, backend.pushback = [grpc.StatusCode.NOT_FOUND] * 2, "7"
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method("Name"))(b"")
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "as told")
    assert ("grpc-retry-pushback-ms", "7") in error.trailing_metadata()
    assert error.initial_metadata() == ()
    assert "NOT_FOUND" in str(error)
    assert all(isinstance(error, kind) for kind in (grpc.Call, grpc.Future))
    assert error.done()
    assert not error.running()
    assert not error.cancelled()
    assert not error.cancel()
    assert error.exception() is error
    with pytest.raises(grpc.RpcError):
        error.result()
    with pytest.raises(grpc.RpcError, match="as told"):
        next(channel.unary_stream(method("Count"))(b"1"))


def test_futures(backend: Backend, channel: SyncChannel) -> None:
    say = channel.unary_unary(method("Name"))
    done = threading.Event()
    future = say.future(b"!")
    future.add_done_callback(lambda _: done.set())
    assert future.result(PATIENCE) == b"x!"
    assert done.wait(PATIENCE)
    assert future.done()
    assert future.exception() is future.traceback() is None
    backend.hold = asyncio.Event()
    future = say.future(b"")
    with pytest.raises(grpc.FutureTimeoutError):
        future.result(0.05)
    assert future.running()
    assert future.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        future.result(PATIENCE)
    assert future.cancelled()


def test_a_stream_that_is_cancelled(channel: SyncChannel) -> None:
    stream = channel.stream_stream(method("Echo"))(iter([b"1", b"2"]))
    assert next(stream) == b"1"
    ended = threading.Event()
    if stream.add_callback(ended.set):
        stream.cancel()
        assert ended.wait(PATIENCE)
    endless = channel.stream_stream(method("Echo"))(_never(stop := threading.Event()))
    endless.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        next(endless)
    error: Any = caught.value
    assert error.code() is endless.code() is grpc.StatusCode.CANCELLED
    stop.set()


def _never(stop: threading.Event) -> Iterator[bytes]:
    stop.wait(PATIENCE)
    yield from ()


def test_deadlines(backend: Backend, channel: SyncChannel) -> None:
    backend.hold = asyncio.Event()
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method("Name"))(b"", timeout=0.05)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_many_threads_share_a_channel(channel: SyncChannel) -> None:
    say = channel.unary_unary(method("Name"))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: say(b"%d" % number), range(500)))
    assert answers == [b"x%d" % number for number in range(500)]


def test_channel_ready_future(channel: SyncChannel) -> None:
    grpc.channel_ready_future(channel).result(PATIENCE)


def test_states_are_reported(channel: SyncChannel) -> None:
    seen: list[grpc.ChannelConnectivity] = []
    ready = threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        seen.append(state)
        if state is grpc.ChannelConnectivity.READY:
            ready.set()

    channel.subscribe(note, try_to_connect=True)
    assert ready.wait(PATIENCE)
    assert seen[0] is grpc.ChannelConnectivity.IDLE
    channel.unsubscribe(note)


def test_interceptors_of_blocking_code(backend: Backend, channel: SyncChannel) -> None:
    class Shout(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return continuation(client_call_details, request.upper())

    say: Any = grpc.intercept_channel(channel, Shout()).unary_unary(method("Name"))
    assert say(b"loud") == b"xLOUD"
    backend.fail = [grpc.StatusCode.ABORTED]
    with pytest.raises(grpc.RpcError):
        say(b"loud")


def test_a_closed_channel(backend: Backend) -> None:
    channel = sync_insecure_channel(backend.target)
    say = channel.unary_unary(method("Name"))
    assert say(b"") == b"x"
    channel.close()
    channel.close()
    with pytest.raises(ValueError, match="closed channel"):
        say(b"")


def test_closing_ends_calls_that_wait(backend: Backend) -> None:
    backend.hold = asyncio.Event()
    channel = sync_insecure_channel(backend.target)
    future = channel.unary_unary(method("Name")).future(b"")
    assert not future.done()
    channel.close()
    with pytest.raises(grpc.FutureCancelledError):
        future.result(PATIENCE)
