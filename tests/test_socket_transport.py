"""The transport of a plain socket: what the documentation of asyncio.Transport and BufferedProtocol says.

The same is asked of the event loops' own transports, which shows that it is not asked of ours alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.patience import HANG
from tests.places import reset_on_close, turns, until

from protosocket.connection.handover import start_plain

pytestmark = pytest.mark.every_loop

KiB = 1024


class Recorder(asyncio.BufferedProtocol):
    """Notes what it is told."""

    def __init__(self, room: int = 16 * KiB) -> None:
        self.events: list[str] = []
        self.received = bytearray()
        self.room = bytearray(room)
        self.transport: Any = None
        self.error: Exception | None = None
        self.lost = asyncio.Event()
        self.keeps_open = False
        self.raises: dict[str, Exception] = {}

    def _told(self, event: str) -> None:
        self.events.append(event)
        if event in self.raises:
            raise self.raises[event]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._told("made")

    def get_buffer(self, sizehint: int) -> bytearray:
        self._told("buffer")
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        assert nbytes > 0
        assert self.transport.is_reading(), "it was told of bytes while it wanted none"
        self.received += self.room[:nbytes]
        self._told("bytes")

    def eof_received(self) -> bool:
        self._told("end")
        return self.keeps_open

    def pause_writing(self) -> None:
        self._told("pause")

    def resume_writing(self) -> None:
        self._told("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()
        self._told("lost")


Make = Callable[[socket.socket, asyncio.BufferedProtocol], Awaitable[Any]]


async def ours(sock: socket.socket, protocol: asyncio.BufferedProtocol) -> Any:
    return start_plain(sock, protocol)


async def the_loops_own(sock: socket.socket, protocol: asyncio.BufferedProtocol) -> Any:
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
    return transport


def pair(family: str = "tcp", kernel: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that do not block, between which the kernel keeps about so many bytes."""
    if family == "unix":
        near, far = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            if kernel is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kernel)
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if kernel is not None:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


@contextlib.asynccontextmanager
async def connected(
    make: Make = ours, kernel: int | None = None, protocol: Recorder | None = None, family: str = "tcp"
) -> AsyncIterator[tuple[Any, Recorder, socket.socket]]:
    near, far = pair(family, kernel)
    protocol = protocol or Recorder()
    with far:
        transport = await make(near, protocol)
        try:
            yield transport, protocol, far
        finally:
            if not protocol.lost.is_set():
                transport.abort()
            async with asyncio.timeout(HANG):
                await protocol.lost.wait()
            await turns(2)
            assert near.fileno() == -1 or make is the_loops_own


async def everything_from(far: socket.socket) -> bytes:
    """What a peer gets until the end."""
    loop, got = asyncio.get_running_loop(), bytearray()
    async with asyncio.timeout(HANG):
        while data := await loop.sock_recv(far, 1 << 16):
            got += data
    return bytes(got)


# Whatever is done with a transport, in whatever order.


@dataclass
class Story:
    """What both ends do, and how it ends."""

    steps: list[tuple[str, int]] = field(default_factory=list)
    ending: str = "close"
    room: int = 1000


steps = st.tuples(
    st.sampled_from(["write", "write", "take", "send", "pause", "resume", "turns"]), st.integers(1, 90 * KiB)
)
stories = st.builds(
    Story,
    st.lists(steps, max_size=25),
    st.sampled_from(["close", "abort", "write_eof", "peer closes", "peer resets", "peer ends writing"]),
    st.sampled_from([1, 1000, 64 * KiB]),
)


def numbered(start: int, count: int) -> bytes:
    """Bytes that tell where they belong."""
    return bytes((start + index) % 251 for index in range(count))


class Telling:
    """A story in progress: what was written and sent, and how much of it the other end has."""

    def __init__(self, transport: Any, protocol: Recorder, far: socket.socket) -> None:
        self.transport, self.protocol, self.far = transport, protocol, far
        self.written = self.sent = b""
        self.taken = bytearray()

    async def step(self, what: str, size: int) -> None:
        if what == "write":
            data = numbered(len(self.written), size)
            self.transport.write(data if size % 2 else memoryview(data))
            self.written += data
        elif what == "take":
            with contextlib.suppress(BlockingIOError):
                self.taken += self.far.recv(size)
        elif what == "send":
            with contextlib.suppress(BlockingIOError):
                data = numbered(len(self.sent), size % 3000)
                self.sent += data[: self.far.send(data)]
        elif what in ("pause", "resume"):
            getattr(self.transport, f"{what}_reading")()
            assert self.transport.is_reading() == (what == "resume")
        else:
            await turns(size % 5)
        low, high = self.transport.get_write_buffer_limits()
        told = [event for event in self.protocol.events if event in ("pause", "resume")]
        assert told == ["pause", "resume"] * (len(told) // 2) + ["pause"] * (len(told) % 2)
        unsent = self.transport.get_write_buffer_size()
        assert unsent <= high if not told or told[-1] == "resume" else unsent > low

    async def end(self, how: str) -> None:
        async with asyncio.timeout(HANG):
            if how in ("close", "write_eof"):
                await self._end_here(how)
            elif how == "abort":
                self.transport.abort()
                assert self.transport.is_closing()
                await self.protocol.lost.wait()
                assert self.protocol.error is None
            else:
                await self._end_there(how)
        events = self.protocol.events
        assert events[0] == "made"
        assert events[-1] == "lost"
        assert events.count("made") == events.count("lost") == 1
        assert self.sent.startswith(self.protocol.received)

    async def _end_here(self, how: str) -> None:
        # A socket that is closed with something unread is reset by the kernel.
        self.transport.resume_reading()
        await until(lambda: self.protocol.received == self.sent)
        getattr(self.transport, how)()
        self.transport.close()
        assert not self.transport.is_reading()
        assert bytes(self.taken) + await everything_from(self.far) == self.written
        self.far.close()
        await self.protocol.lost.wait()
        assert self.protocol.error is None

    async def _end_there(self, how: str) -> None:
        self.transport.resume_reading()
        # The end is seen although nobody takes what was written.
        if how == "peer resets":
            reset_on_close(self.far)
        if how == "peer ends writing":
            self.far.shutdown(socket.SHUT_WR)
            assert bytes(self.taken) + await everything_from(self.far) == self.written
        self.far.close()
        await self.protocol.lost.wait()
        if how == "peer ends writing":
            assert self.protocol.received == self.sent
            assert "end" in self.protocol.events
            assert self.protocol.error is None
        else:
            assert self.protocol.error is None or isinstance(self.protocol.error, ConnectionError)


@pytest.mark.parametrize("make", [ours, the_loops_own])
@pytest.mark.parametrize("loops", [uvloop, asyncio], ids=["uvloop", "asyncio"])
@settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(story=stories)
def test_whatever_both_ends_do(loops: Any, make: Make, story: Story) -> None:
    async def tell() -> None:
        async with connected(make, 4 * KiB, Recorder(story.room)) as (transport, protocol, far):
            telling = Telling(transport, protocol, far)
            for what, size in story.steps:
                await telling.step(what, size)
            await telling.end(story.ending)

    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(tell())


# What is particular.


@pytest.mark.parametrize("count", [1, 1000, 100 * KiB])
async def test_a_reset_together_with_data(count: int) -> None:
    async with connected() as (_, protocol, far):
        far.sendall(bytes(count))
        reset_on_close(far)
        far.close()
        async with asyncio.timeout(HANG):
            await protocol.lost.wait()
        assert len(protocol.received) == count
        assert isinstance(protocol.error, ConnectionResetError)
        assert protocol.error.errno == errno.ECONNRESET
        assert protocol.events[-1] == "lost"


async def test_a_reset_while_reading_is_paused_is_told_when_it_is_not() -> None:
    async with connected() as (transport, protocol, far):
        transport.pause_reading()
        far.sendall(b"data")
        reset_on_close(far)
        far.close()
        await turns()
        assert protocol.events == ["made"]
        transport.resume_reading()
        async with asyncio.timeout(HANG):
            await protocol.lost.wait()
        assert protocol.received == b"data"
        assert isinstance(protocol.error, ConnectionResetError)


async def test_a_peer_that_ends_first_still_gets_answers() -> None:
    protocol = Recorder()
    protocol.keeps_open = True
    async with connected(protocol=protocol, kernel=4 * KiB) as (transport, _, far):
        far.sendall(b"question")
        far.shutdown(socket.SHUT_WR)
        await until(lambda: "end" in protocol.events)
        transport.pause_reading()
        transport.resume_reading()
        answer = numbered(0, 300 * KiB)
        transport.write(answer)
        transport.write_eof()
        assert await everything_from(far) == answer
        await turns()
        assert protocol.events.count("end") == 1
        assert not transport.is_closing()


async def test_the_end_of_writing_leaves_reading() -> None:
    async with connected(kernel=4 * KiB) as (transport, protocol, far):
        transport.write(numbered(0, 200 * KiB))
        assert transport.can_write_eof()
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"more")
        assert await everything_from(far) == numbered(0, 200 * KiB)
        far.sendall(b"answer")
        await until(lambda: protocol.received == b"answer")


async def test_closing_flushes_and_takes_nothing_more() -> None:
    async with connected(kernel=4 * KiB) as (transport, protocol, far):
        transport.writelines([numbered(0, 100 * KiB), numbered(100 * KiB, 100 * KiB)])
        transport.close()
        transport.close()
        transport.write(b"ignored")
        assert await everything_from(far) == numbered(0, 200 * KiB)
        async with asyncio.timeout(HANG):
            await protocol.lost.wait()
        assert protocol.events[-1] == "lost"


async def test_a_closing_transport_that_nobody_reads_from_can_be_aborted() -> None:
    async with connected(kernel=4 * KiB) as (transport, protocol, far):
        transport.write(bytes(1000 * KiB))
        transport.close()
        await turns()
        assert not protocol.lost.is_set()
        transport.abort()
        async with asyncio.timeout(HANG):
            await protocol.lost.wait()
        assert transport.get_write_buffer_size() == 0
        assert len(await everything_from(far)) < 1000 * KiB


@pytest.mark.parametrize("event", ["made", "buffer", "bytes", "end"])
async def test_a_protocol_that_raises_is_reported_and_loses_its_connection(event: str) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    protocol = Recorder()
    protocol.raises[event] = ValueError("a mistake")
    async with connected(protocol=protocol) as (transport, _, far):
        far.sendall(b"data")
        far.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(HANG):
            await protocol.lost.wait()
        assert protocol.error is protocol.raises[event]
        assert [context["exception"] for context in reported] == [protocol.error]
        assert reported[0]["transport"] is transport


async def test_a_protocol_without_room_is_reported() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with connected(protocol=Recorder(0)) as (_, protocol, far):
        far.sendall(b"data")
        async with asyncio.timeout(HANG):
            await protocol.lost.wait()
        assert "empty buffer" in str(reported[0]["exception"])


@pytest.mark.parametrize("what", ["abort", "close", "pause_reading"])
async def test_what_is_done_while_the_connection_is_made(what: str) -> None:
    class Deciding(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            getattr(transport, what)()

    async with connected(protocol=Deciding()) as (transport, protocol, far):
        far.sendall(b"data")
        await turns()
        assert protocol.received == b""
        assert protocol.lost.is_set() == (what != "pause_reading")
        assert not transport.is_reading()


async def test_another_protocol_takes_over() -> None:
    async with connected() as (transport, first, far):
        second = Recorder()
        second.transport = transport
        far.sendall(b"one")
        await until(lambda: first.received == b"one")
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        far.sendall(b"two")
        await until(lambda: second.received == b"two")
        transport.abort()
        await second.lost.wait()
        first.lost.set()
        assert "lost" not in first.events


async def test_limits_of_what_is_unsent() -> None:
    async with connected(kernel=4 * KiB) as (transport, protocol, far):
        assert transport.get_write_buffer_limits() == (16 * KiB, 64 * KiB)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.set_write_buffer_limits(high=0)
        transport.write(bytes(300 * KiB))
        assert protocol.events[-1] == "pause"
        transport.set_write_buffer_limits(low=100 * KiB)
        assert transport.get_write_buffer_limits() == (100 * KiB, 400 * KiB)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANG):
            while "resume" not in protocol.events:
                await loop.sock_recv(far, 4 * KiB)
        assert 0 < transport.get_write_buffer_size() <= 100 * KiB


@pytest.mark.parametrize("family", ["tcp", "unix"])
async def test_what_it_tells_of_itself(family: str) -> None:
    async with connected(family=family) as (transport, _, far):
        own = transport.get_extra_info("socket")
        assert own.getsockname() == transport.get_extra_info("sockname")
        assert transport.get_extra_info("peername") == far.getsockname()
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 1) == 1
        assert "open" in repr(transport)


async def test_descriptor_numbers_are_used_again() -> None:
    numbers = set()
    for round_ in range(50):
        async with connected(kernel=4 * KiB) as (transport, protocol, far):
            numbers.add(transport.get_extra_info("socket").fileno())
            # Watched for both, and then lost with one thing or another to do.
            transport.write(bytes(200 * KiB))
            far.sendall(b"%d" % round_)
            while protocol.received != b"%d" % round_:  # noqa: ASYNC110 - it is no event
                await asyncio.sleep(0)
            if round_ % 3 == 0:
                reset_on_close(far)
                far.close()
                await protocol.lost.wait()
    assert len(numbers) < 50


async def test_a_forked_process_that_ends_leaves_the_connection_alone() -> None:
    async with connected() as (_, protocol, far):
        child = os.fork()
        if child == 0:
            os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        far.sendall(b"still here")
        await until(lambda: protocol.received == b"still here")


@pytest.mark.parametrize("loops", [uvloop, asyncio], ids=["uvloop", "asyncio"])
def test_an_event_loop_that_moves_to_another_thread(loops: Any) -> None:
    loop = loops.new_event_loop()
    near, far = pair(kernel=4 * KiB)

    async def make() -> tuple[Any, Recorder]:
        protocol = Recorder()
        return start_plain(near, protocol), protocol

    transport, protocol = loop.run_until_complete(make())
    failures: list[BaseException] = []

    async def use() -> None:
        async with asyncio.timeout(HANG):
            transport.write(numbered(0, 200 * KiB))
            far.sendall(b"data")
            transport.pause_reading()
            transport.resume_reading()
            await until(lambda: protocol.received == b"data")
            transport.close()
            assert await everything_from(far) == numbered(0, 200 * KiB)
            await protocol.lost.wait()

    def run() -> None:
        try:
            loop.run_until_complete(use())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    loop.close()
    far.close()
    assert failures == []
