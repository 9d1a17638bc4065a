"""What a connection writes to its socket itself and what it leaves to the transport: all of it, in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracle.framing import Decoder, Framing
from tests.patience import HANG
from tests.places import reset_on_close, turns, until

import protosocket
from protosocket import codecs
from protosocket.errors import ConnectionClosed
from protosocket.options import ConnectionOptions

pytestmark = pytest.mark.every_loop

KiB = 1024


@contextlib.asynccontextmanager
async def connected(
    kernel: int = 1, **options: Any
) -> AsyncIterator[tuple[protosocket.Connection[bytes, bytes], socket.socket]]:
    """A connection to a socket on the same loop; the kernel keeps about so many bytes for each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kernel)
        listener.setblocking(False)
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        async with protosocket.connect(
            url, codecs.Bytes(), options=ConnectionOptions(**options)
        ) as connection:
            own = connection._protocol._transport.get_extra_info("socket")  # type: ignore[union-attr] # noqa: SLF001
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel)
            peer, _ = await asyncio.get_running_loop().sock_accept(listener)
            with peer:
                yield connection, peer
            connection.abort()


async def all_arrives(messages: list[bytes], reads: list[int], patience: list[int]) -> None:
    """The messages are sent in one go, and read as slowly as these numbers say."""
    async with connected(send_queue_messages=50) as (connection, peer):

        async def send() -> None:
            for message in messages:
                await connection.send(message)
            await connection.close()

        sending = asyncio.create_task(send())
        decoder, received, number = Decoder(Framing.VARINT, 1 << 20), list[bytes](), 0
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANG):
            while data := await loop.sock_recv(peer, reads[number % len(reads)]):
                received += decoder.feed(data)
                await turns(patience[number % len(patience)])
                number += 1
            await sending
        assert received == messages
        counts = connection.statistics()
        assert counts.messages_sent == len(messages)
        assert counts.bytes_sent >= sum(map(len, messages))


sizes = st.one_of(st.integers(0, 300), st.integers(0, 20 * KiB), st.sampled_from([64 * KiB, 100 * KiB]))


@pytest.mark.parametrize("loops", [uvloop, asyncio], ids=["uvloop", "asyncio"])
@settings(
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    lengths=st.lists(sizes, min_size=1, max_size=60),
    reads=st.lists(st.integers(1 * KiB, 40 * KiB), min_size=1, max_size=8),
    patience=st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_all_arrives_in_order_however_slowly_it_is_read(
    loops: Any, lengths: list[int], reads: list[int], patience: list[int]
) -> None:
    messages = [bytes([number]) * length for number, length in enumerate(lengths)]
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(all_arrives(messages, reads, patience))


@pytest.mark.parametrize("kernel", [1, 1024 * KiB])
async def test_nothing_overtakes_what_waits(kernel: int) -> None:
    async with connected(kernel, send_queue_messages=1000) as (connection, peer):
        messages = [bytes([number]) * size for number in range(120) for size in (70 * KiB, 10)]
        sending = asyncio.create_task(_send_all(connection, messages))
        await until(lambda: connection.statistics().write_stalls > 0)
        decoder, received = Decoder(Framing.VARINT, 1 << 20), list[bytes]()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANG):
            while len(received) < len(messages):
                received += decoder.feed(await loop.sock_recv(peer, max(3 * KiB, kernel)))
        await sending
        assert received == messages


async def _send_all(connection: protosocket.Connection[bytes, bytes], messages: list[bytes]) -> None:
    for number, message in enumerate(messages):
        await connection.send(message)
        if number % 3 == 0:
            await asyncio.sleep(0)


async def test_nothing_is_written_after_an_abort() -> None:
    async with connected() as (connection, peer):
        await connection.send(b"first")
        await turns()
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(peer, 100) == b"\5first"
        await connection.send(b"second")
        connection.abort()
        await connection.wait_closed()
        with contextlib.suppress(ConnectionResetError):
            assert await loop.sock_recv(peer, 100) == b""


async def test_a_reset_that_a_write_finds_is_told_as_a_reset() -> None:
    async with connected() as (connection, peer):
        await connection.send(b"first")
        await turns()
        # A reset, of which the event loop has no time to learn.
        reset_on_close(peer)
        peer.close()
        await connection.send(b"second")
        with pytest.raises(ConnectionClosed, match="Connection reset by peer") as caught:
            await asyncio.wait_for(connection.receive(), HANG)
        cause = caught.value.__cause__
        assert isinstance(cause, ConnectionResetError)
        assert cause.errno == errno.ECONNRESET


async def test_a_reset_found_as_writing_goes_on_ends_the_connection_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(transport="loop") as (connection, peer):
        transport: Any = connection._protocol._transport  # noqa: SLF001
        # Writing goes on when all is written: then the next write is one on the socket.
        transport.set_write_buffer_limits(high=64 * KiB, low=0)
        resumes = connection._protocol.resume_writing  # noqa: SLF001

        def resume() -> None:
            reset_on_close(peer)
            peer.close()
            resumes()

        monkeypatch.setattr(type(connection._protocol), "resume_writing", lambda _: resume())  # noqa: SLF001

        async def send() -> None:
            while True:
                await connection.send(bytes(16 * KiB))

        sending = asyncio.ensure_future(send())
        loop = asyncio.get_running_loop()
        while peer.fileno() >= 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(peer, KiB), 0.01)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(sending, HANG)
        await connection.wait_closed()
        await turns()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_program_that_wants_to_be_killed_by_broken_pipes_is_not_killed_by_a_connection() -> None:
    program = """
        import asyncio, signal, socket
        import protosocket
        from protosocket import codecs

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

        async def main():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
                async with protosocket.connect(url, codecs.Bytes()) as connection:
                    peer, _ = listener.accept()
                    # More than a connection takes in that nobody receives from: it does not see the end.
                    peer.sendall(b"\\4many" * 5000)
                    await asyncio.sleep(0.1)
                    peer.close()
                    try:
                        for _ in range(3):
                            await connection.send(b"to nobody")
                            await asyncio.sleep(0.05)
                        while True:
                            await connection.receive()
                    except protosocket.errors.ConnectionClosed as error:
                        print("told:", error)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("told: the connection to")
