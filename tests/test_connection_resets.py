"""A peer that resets the connection right after its last data: those arrive, and so does the news of it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from socket import create_server, socket
from typing import TYPE_CHECKING, Any

import pytest
from tests.oracle.framing import Framing, frame
from tests.patience import HANG
from tests.places import Place, make_place, reset_on_close

import protosocket
from protosocket import codecs
from protosocket.errors import ConnectionClosed

if TYPE_CHECKING:
    from tests.conftest import Certificates

pytestmark = pytest.mark.every_loop

KiB = 1024
Reset = Callable[[bytes], None]


@pytest.fixture(params=["tcp-aiofastnet", "tcp-loop", "tls-aiofastnet", "tls-loop"])
def place(request: pytest.FixtureRequest, certificates: Certificates, unix_path: str) -> Place:
    """Where a peer can reset."""
    return make_place(request.param, certificates, unix_path)


@contextlib.asynccontextmanager
async def connected(
    place: Place, certificates: Certificates, **options: Any
) -> AsyncIterator[tuple[protosocket.Connection[bytes, bytes], Reset]]:
    """A connection, and what has its peer send bytes and reset before the event loop looks."""
    with create_server(("127.0.0.1", 0)) as listener:
        peers: list[socket] = []

        def accept() -> None:
            peer, _ = listener.accept()
            if place.server_tls is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificates.server_certificate, certificates.server_key)
                peer = context.wrap_socket(peer, server_side=True)
            peers.append(peer)

        def reset(data: bytes) -> None:
            peers[0].sendall(data)
            reset_on_close(peers[0])
            peers[0].close()

        accepting = threading.Thread(target=accept)
        accepting.start()
        scheme = place.url.partition(":")[0]
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with place.connect_to(url, codecs.Bytes(), **options) as connection:
                await asyncio.to_thread(accepting.join)
                yield connection, reset
        finally:
            for peer in peers:
                peer.close()


async def receives(
    place: Place, connection: protosocket.Connection[bytes, bytes], expected: list[bytes]
) -> None:
    """These messages are received, and then the reset; TLS gives nothing out that it read with that."""
    messages: list[bytes] = []

    async def receive_all() -> None:
        while True:
            messages.append(await connection.receive())

    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(receive_all(), HANG)
    if place.server_tls is None:
        assert messages == expected
    else:
        assert messages == expected[: len(messages)]


def messages_of(count: int, size: int) -> bytes:
    return frame(Framing.VARINT, bytes(size)) * count


@pytest.mark.parametrize(("count", "size"), [(1, 10), (40, 1000), (2, 20 * KiB)])
async def test_messages_and_then_the_reset(
    place: Place, certificates: Certificates, count: int, size: int
) -> None:
    async with connected(place, certificates) as (connection, reset):
        reset(messages_of(count, size))
        await receives(place, connection, [bytes(size)] * count)


async def test_a_receiver_that_reads_later(place: Place, certificates: Certificates) -> None:
    async with connected(place, certificates, read_budget_messages=4, receive_limit=64 * KiB) as (
        connection,
        reset,
    ):
        reset(messages_of(100, 1000))
        await asyncio.sleep(0.2)
        await receives(place, connection, [bytes(1000)] * 100)


async def test_part_of_a_message(place: Place, certificates: Certificates) -> None:
    async with connected(place, certificates) as (connection, reset):
        reset(messages_of(3, 100)[:-1])
        await receives(place, connection, [bytes(100)] * 2)


async def test_nobody_receives(place: Place, certificates: Certificates) -> None:
    async with connected(place, certificates) as (connection, reset):
        reset(messages_of(3, 100))
        async with asyncio.timeout(HANG):
            await connection.wait_closed()


@pytest.mark.parametrize("last", ["session tickets", "half a record"])
async def test_a_reset_with_what_tls_keeps_to_itself(certificates: Certificates, last: str) -> None:
    place = make_place("tls-aiofastnet", certificates, "")
    with create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> tuple[socket, ssl.SSLObject, ssl.MemoryBIO]:
            """The peer, without its last bytes: the session tickets."""
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.server_certificate, certificates.server_key)
            arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
            peer, _ = listener.accept()
            tls = context.wrap_bio(arriving, leaving, server_side=True)
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    peer.sendall(leaving.read())
                    arriving.write(peer.recv(1 << 16))
                else:
                    return peer, tls, leaving

        accepting = asyncio.create_task(asyncio.to_thread(shake_hands))
        url = f"tls://127.0.0.1:{listener.getsockname()[1]}"
        async with place.connect_to(url, codecs.Bytes()) as connection:
            peer, tls, leaving = await accepting
            await asyncio.sleep(0.1)
            if last == "half a record":
                peer.sendall(leaving.read())
                await asyncio.sleep(0.1)
                tls.write(bytes(1000))
                peer.sendall(leaving.read()[:500])
            else:
                peer.sendall(leaving.read())
            reset_on_close(peer)
            peer.close()
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(connection.receive(), HANG)


async def test_connections_that_are_quiet_stay(place: Place) -> None:
    async with place.pair(codecs.Bytes()) as (connection, served):
        for number in range(5):
            await connection.send(b"%d" % number)
            assert await served.receive() == b"%d" % number
            await served.send(b"back")
            assert await connection.receive() == b"back"
            await asyncio.sleep(0.05)
