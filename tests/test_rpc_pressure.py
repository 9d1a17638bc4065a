"""Who does not read, or asks for too much, is made to wait, and memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from tests.oracle.framing import Framing, frame
from tests.oracle.header import Control
from tests.patience import HANG
from tests.rpc_support import CODEC, RawServer, Service, SimpleMessage, message, served, until

from protosocket import ConnectionOptions, rpc

SMALL = ConnectionOptions(send_queue_messages=16, send_queue_bytes=64 * 1024, receive_limit=1 << 20)


async def settled(count: Any) -> int:
    """The value of ``count()`` once it does not change any more."""
    last = -1
    async with asyncio.timeout(HANG):
        while (now := count()) != last:
            last = now
            await asyncio.sleep(0.05)
    return last


class Silent:
    """A plain socket that sends requests and reads when told to."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("tcp://").rsplit(":", 1)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        self.socket.connect((host, int(port)))
        self.socket.setblocking(False)
        self.unsent = b""

    async def send(self, *bodies: bytes) -> int:
        """Send requests until the server takes no more; how many bytes it took."""
        messages = [SimpleMessage(id=at + 1, body=body).SerializeToString() for at, body in enumerate(bodies)]
        self.unsent += b"".join(frame(Framing.VARINT, encoded) for encoded in messages)
        before = len(self.unsent)
        with contextlib.suppress(TimeoutError):
            while self.unsent:
                async with asyncio.timeout(0.2):
                    await self._some()
        return before - len(self.unsent)

    async def _some(self) -> None:
        while True:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent[: 1 << 18]) :]
                return
            except BlockingIOError:
                await asyncio.sleep(0.005)

    async def read(self, most: int = 1 << 30) -> int:
        """Read until nothing arrives or ``most`` bytes have; how many there were."""
        loop = asyncio.get_running_loop()
        count = 0
        with contextlib.suppress(TimeoutError):
            while count < most:
                async with asyncio.timeout(0.2):
                    more = await loop.sock_recv(self.socket, 1 << 20)
                if not more:
                    break
                count += len(more)
        return count

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()


async def test_a_peer_that_never_reads_starts_no_more_handlers(transport: Any) -> None:
    options = ConnectionOptions(send_queue_messages=16, send_queue_bytes=64 * 1024, transport=transport)
    async with served(options=options) as (url, service):
        with Silent(url) as peer:
            await peer.send(*[b"echo " + bytes(20_000)] * 800)
            started = await settled(lambda: service.started)
            assert 16 <= started < 700
            # It goes on where it stopped.
            received = await peer.read()
            while peer.unsent:
                await peer.send()
                received += await peer.read()
            assert service.started == 800
            assert received >= 800 * 20_000


async def test_a_stream_pauses_while_the_peer_does_not_read(transport: Any) -> None:
    options = ConnectionOptions(send_queue_messages=16, send_queue_bytes=64 * 1024, transport=transport)
    async with served(options=options) as (url, service):
        with Silent(url) as peer:
            await peer.send(b"endless 10000")
            sent = await settled(lambda: service.sent)
            assert 16 <= sent < 1500
            assert await peer.read(sent * 10_000) >= sent * 10_000
            assert await settled(lambda: service.sent) > sent
        await until(lambda: service.running == 0)


async def test_a_stream_without_a_pause_leaves_others_their_turn() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC, connections=2) as client:
        await client.ready()
        async with contextlib.aclosing(client.stream(message(b"endless"))) as stream:
            await anext(stream)
            assert (await client.unary(message(b"echo a"), timeout=HANG)).body == b"echo a"


@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_no_more_handlers_than_max_calls(limit: int) -> None:
    async with served(max_calls=limit) as (url, service), rpc.connect(url, CODEC) as client:
        calls = [asyncio.ensure_future(client.unary(message(b"wait %d" % n))) for n in range(200)]
        for number in range(200):
            service.open(str(number))
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
        assert service.most_running <= limit
        assert service.started == 200


async def test_requests_over_max_calls_wait_with_bounded_memory() -> None:
    options = ConnectionOptions(receive_limit=100_000, read_budget_messages=10, close_timeout=0.1)
    async with rpc.serve("tcp://127.0.0.1:0", Service, CODEC, max_calls=10, options=options) as server:
        with Silent(server.addresses[0]) as peer:
            taken = await peer.send(*[b"wait x" + b" " * 20_000] * 1000)
            # The kernel's buffers hold most of it.
            assert taken < 18_000_000
            [connection] = server.protocols
            assert connection.statistics().in_flight == 10
            assert connection.statistics().messages_received <= 10 + 10


async def test_a_stream_nobody_reads_stops_its_connection_and_goes_on() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC, options=SMALL) as client:
        async with contextlib.aclosing(client.stream(message(b"endless 5000"))) as stream:
            await anext(stream)
            sent = await settled(lambda: service.sent)
            # The client's sixteen, and what the kernel and the server's queue hold.
            assert client.statistics()[0].messages_received <= 2 * 16
            waiting = asyncio.ensure_future(client.unary(message(b"echo later")))
            for _ in range(sent - 100):
                await anext(stream)
            assert await settled(lambda: service.sent) > sent
            assert not waiting.done()
        # Nobody will read the rest: the connection is free again.
        assert (await asyncio.wait_for(waiting, HANG)).body == b"echo later"
        assert client.statistics()[0].in_flight == 0


async def test_slow_readers_of_several_streams() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC, options=SMALL) as client:

        async def read(pace: int) -> list[bytes]:
            bodies = []
            async with contextlib.aclosing(client.stream(message(b"count 300"))) as stream:
                async for item in stream:
                    bodies.append(item.body)
                    for _ in range(pace):
                        await asyncio.sleep(0)
            return bodies

        results = await asyncio.gather(*(read(pace) for pace in (0, 1, 5)))
        assert results == [[b"%d" % n for n in range(300)]] * 3


async def test_callers_wait_while_the_server_does_not_read() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC, options=SMALL) as client:
        await client.ready()
        peer = await server.accept()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        calls = [asyncio.ensure_future(client.unary(message(bytes(50_000)))) for _ in range(500)]
        sent = await settled(lambda: client.statistics()[0].in_flight)
        assert sent < 400
        assert client.statistics()[0].send_queue_bytes < 64 * 1024 + 51_000
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in calls:
            header, body = await peer.receive()
            assert (header.control, len(body)) == (Control.NORMAL, 50_000)
            peer.send(header.id)
        await asyncio.gather(*calls)
