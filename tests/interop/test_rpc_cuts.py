"""A connection with the published crate that is cut after each byte of a short exchange, both ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.interop.conftest import Feature
from tests.interop.cutting import Direction, cutting
from tests.interop.rpc_peers import FINISHED, LOST, MESSAGEPACK, PROGRAMS, PROTOBUF, Wire, right
from tests.interop.rpc_service import Happenings, PeerService
from tests.interop.table import Peer
from tests.patience import HANG

from protosocket import rpc
from protosocket.errors import ConnectError, ConnectionClosed

if TYPE_CHECKING:
    from tests.conftest import Certificates

# Over TLS the exchange begins with a handshake of some thousand bytes, whose length varies a little.
TLS_STEP = 97
TLS_SURE = 400

PLAIN = [Wire(line, encoding) for line in PROGRAMS for encoding in (PROTOBUF, MESSAGEPACK)]
SECURE = [Wire(line, PROTOBUF, tls=True) for line in PROGRAMS]


@pytest.fixture
def peer(wire: Wire, end: str) -> Peer:
    return wire.peer(end)


async def unary(client: rpc.Client[Any, Any], request_of: Any) -> bool:
    """Whether a call is answered, and not lost."""
    try:
        response = await client.unary(request_of(command="echo", number=3, body=b"?"))
    except (ConnectionClosed, ConnectError):
        return False
    assert (response.number, response.body) == (3, b"?")
    return True


async def stream(client: rpc.Client[Any, Any], request_of: Any) -> bool:
    """Whether a stream comes to its end."""
    items = []
    try:
        async for item in client.stream(request_of(command="count", number=2, body=b"?")):
            items.append((item.number, item.body))
            assert items == [(0, b"?"), (1, b"?")][: len(items)]
    except (ConnectionClosed, ConnectError):
        return False
    assert len(items) == 2
    return True


@pytest.mark.parametrize("end", ["server"])
@pytest.mark.parametrize("wire", [*PLAIN, *SECURE], ids=str)
@pytest.mark.parametrize("direction", ["requests", "answers"])
@pytest.mark.parametrize("exchange", [unary, stream])
async def test_our_client(
    feature: Feature,
    wire: Wire,
    programs: Path,
    certificates: Certificates,
    direction: Direction,
    exchange: Callable[[rpc.Client[Any, Any], Any], Awaitable[bool]],
) -> None:
    feature(f"cut after each byte of the {direction}")
    codec, tls, request_of = wire.encoding.client, wire.client_tls(certificates), wire.encoding.request
    with wire.rust_server(programs, certificates) as server:
        async with cutting(server.place, wire.scheme) as plan:
            plan.direction = direction
            async with rpc.connect(plan.url, codec, tls=tls) as client:
                assert await exchange(client, request_of)
            length = plan.passed[direction]
            surely_lost = length - TLS_SURE if wire.tls else length
            for after in range(0, length + 1, TLS_STEP if wire.tls else 1):
                for reset in (False, True):
                    plan.after, plan.reset = after, reset
                    async with rpc.connect(plan.url, codec, tls=tls) as client:
                        answered = await asyncio.wait_for(exchange(client, request_of), HANG)
                        assert not (answered and after < surely_lost)
                        plan.after = None
                        again = await asyncio.wait_for(exchange(client, request_of), HANG)
                        # After an answer it may have been on the connection that was about to be cut.
                        assert again or (answered and await exchange(client, request_of))
            if not wire.tls and direction == "answers":
                plan.after, plan.reset = length, False
                async with rpc.connect(plan.url, codec) as client:
                    assert await exchange(client, request_of)
        async with rpc.connect(server.url, codec, tls=tls) as client:
            assert await exchange(client, request_of)


@pytest.mark.parametrize("end", ["client"])
@pytest.mark.parametrize("wire", PLAIN, ids=str)
@pytest.mark.parametrize(("direction", "op"), [("requests", "unary"), ("answers", "stream")])
async def test_our_server(
    feature: Feature,
    wire: Wire,
    programs: Path,
    direction: Direction,
    op: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    feature(f"cut after each byte of the {direction}")
    happenings = Happenings()
    call = ("unary", "echo", 3, 1) if op == "unary" else ("stream", "count", 2, 1)
    whole = right(3, 1) if op == "unary" else {"items": 2, "ordered": True, "end": FINISHED}

    def service() -> PeerService:
        return PeerService(wire.encoding.response, happenings)

    async with (
        rpc.serve("tcp://127.0.0.1:0", service, wire.encoding.server) as server,
        cutting(server.addresses[0].removeprefix("tcp://"), "tcp") as plan,
    ):
        plan.direction = direction
        async with wire.rust_client(programs, plan.url) as client:
            assert await client.call(*call) == whole
        await happenings.disconnected.get()
        length = plan.passed[direction]
        for after in range(length + 1):
            plan.after, plan.reset = after, after % 2 == 1
            async with wire.rust_client(programs, plan.url) as client:
                tag = client.begin(*call)
                # Our side gives the connection up, wherever it was cut.
                await asyncio.wait_for(happenings.disconnected.get(), HANG)
                if wire.line == "0.12":
                    # It may wait for ever: OLD_LOSS.
                    continue
                told = await asyncio.wait_for(client.result(tag), HANG)
                if after < length:
                    assert told != whole or op == "stream"
                    assert told.get("items", 0) <= 2
                    assert told.get("error", LOST) in (LOST, "Connection is closed")
        async with wire.rust_client(programs, server.addresses[0]) as client:
            assert await client.call(*call) == whole
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
