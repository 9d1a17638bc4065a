"""A connection that reads on after a batch, in one turn of the event loop: what others get, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.oracle.framing import Decoder, Framing, frame
from tests.patience import HANG
from tests.places import reset_on_close
from tests.rpc_support import CODEC, LAYOUT, SimpleMessage, message

from protosocket import rpc
from protosocket.errors import ConnectionClosed
from protosocket.options import ConnectionOptions

pytestmark = pytest.mark.every_loop

# So many turns without luck are followed by one that tries to read on.
TURNS = 18


def framed(call_id: int, body: bytes = b"") -> bytes:
    encoded: bytes = SimpleMessage(id=call_id, body=body).SerializeToString()
    return frame(Framing.VARINT, encoded)


class Feeding(rpc.Service):
    """Each request is followed by the next before its handler ends; notes the event loop's turn of each."""

    def __init__(self) -> None:
        self.feeder: socket.socket | None = None
        self.turn = 0
        self.turns: list[int] = []
        self.left = 0

    def select(self, request: Any) -> Any:
        return self.answer

    def answer(self, request: Any) -> Any:
        self.turns.append(self.turn)
        if self.left > 0:
            self.left -= 1
            assert self.feeder is not None
            self.feeder.sendall(framed(len(self.turns) + 1))
        return message(request.body)


@contextlib.asynccontextmanager
async def fed(requests: int, **options: Any) -> AsyncIterator[Feeding]:
    """A service whose one client has made so many requests, and has every answer."""
    service = Feeding()
    loop = asyncio.get_running_loop()
    counting = True

    def count() -> None:
        service.turn += 1
        if counting:
            loop.call_soon(count)

    async with rpc.serve(
        "tcp://127.0.0.1:0", lambda: service, CODEC, options=ConnectionOptions(**options)
    ) as server:
        host, port = server.addresses[0].removeprefix("tcp://").rsplit(":", 1)
        with socket.create_connection((host, int(port))) as feeder:
            service.feeder, service.left = feeder, requests - 1
            feeder.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            count()
            feeder.sendall(framed(1))
            feeder.setblocking(False)
            decoder, answers = Decoder(Framing.VARINT, 1 << 24), 0
            async with asyncio.timeout(HANG):
                while answers < requests:
                    answers += len(decoder.feed(await loop.sock_recv(feeder, 1 << 16)))
            counting = False
            yield service


async def test_what_comes_while_a_batch_is_handled_is_read_in_the_same_turn() -> None:
    async with fed(1000) as service:
        assert len(service.turns) == 1000
        most = max(Counter(service.turns).values())
        assert 1 < most <= 9
        # Not in the first few turns alone.
        assert len(set(service.turns)) < 300


@pytest.mark.parametrize("budget", [1, 2, 5])
async def test_others_get_their_turn_after_the_budget(budget: int) -> None:
    async with fed(300, read_budget_messages=budget) as service:
        assert len(service.turns) == 300
        assert max(Counter(service.turns).values()) <= budget


async def test_transports_of_the_event_loop_do_all_the_reading() -> None:
    async with fed(100, transport="loop") as service:
        assert max(Counter(service.turns).values()) == 1


@contextlib.asynccontextmanager
async def waiting_call() -> AsyncIterator[tuple[asyncio.Task[Any], asyncio.Task[Any], int, socket.socket]]:
    """Two calls on their way, the id of the first, and the other end of their connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        async with rpc.connect(url, CODEC) as client:
            first = asyncio.create_task(client.unary(message(b"first")))
            other = asyncio.create_task(client.unary(message(b"other")))
            loop = asyncio.get_running_loop()
            listener.setblocking(False)
            accepted, _ = await loop.sock_accept(listener)
            with accepted:
                decoder, requests = Decoder(Framing.VARINT, 1 << 24), list[bytes]()
                async with asyncio.timeout(HANG):
                    while len(requests) < 2:
                        requests += decoder.feed(await loop.sock_recv(accepted, 1 << 16))
                yield first, other, LAYOUT.scan(requests[0]).id, accepted


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_reset_is_told_as_ever(turns: int) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with waiting_call() as (first, other, call_id, peer):
        for _ in range(turns):
            peer.sendall(framed(1_000_000))
            await asyncio.sleep(0.001)
        # Both are there before the client looks.
        peer.sendall(framed(call_id, b"answer"))
        reset_on_close(peer)
        peer.close()
        assert (await first).body == b"answer"
        with pytest.raises(ConnectionClosed, match="Connection reset by peer") as caught:
            await other
        cause = caught.value.__cause__
        assert isinstance(cause, ConnectionResetError)
        assert cause.errno == errno.ECONNRESET
    assert complaints == []


@pytest.mark.parametrize("turns", range(TURNS))
async def test_the_end_is_seen_as_ever(turns: int) -> None:
    async with waiting_call() as (first, other, call_id, peer):
        for _ in range(turns):
            peer.sendall(framed(1_000_000))
            await asyncio.sleep(0.001)
        peer.sendall(framed(call_id, b"answer"))
        peer.close()
        assert (await first).body == b"answer"
        with pytest.raises(ConnectionClosed, match="closed") as caught:
            await other
        assert caught.value.__cause__ is None
