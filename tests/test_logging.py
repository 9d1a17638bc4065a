"""What a peer can make us log: one record an event, by this package's logger, and not many of them."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Certificates
from tests.oracle.framing import Framing, frame
from tests.patience import HANG
from tests.places import reset_on_close, until
from tests.rpc_support import CODEC, Service, SimpleMessage, message, served

import protosocket
from protosocket import TLS, ConnectionOptions, codecs, rpc
from protosocket import grpc as over_protosocket
from protosocket.errors import CancelledRemotely
from protosocket.limited_log import PERIOD, RECORDS, LimitedLog

pytestmark = pytest.mark.every_loop

STREAMS = 50


def foreign(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Records of other loggers than this package's, those for debugging aside."""
    return [
        f"{record.name}: {record.getMessage()}"
        for record in caplog.records
        if not record.name.startswith("protosocket") and record.levelno > logging.DEBUG
    ]


class Endless(rpc.Service):
    """Streams without an end."""

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        while True:
            yield message(bytes(100))


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_a_client_that_leaves_with_answers_unread(
    scheme: str, transport: Any, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    tls = None
    if scheme == "tls":
        tls = TLS(certificate=certificates.server_certificate, key=certificates.server_key)

    def leave(port: int) -> None:
        """Ask for streams, read a little, and have the kernel reset the connection."""
        messages = [SimpleMessage(id=number, body=b"x") for number in range(1, STREAMS + 1)]
        requests = b"".join(frame(Framing.VARINT, each.SerializeToString()) for each in messages)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            reset_on_close(plain)
            peer = plain
            if scheme == "tls":
                context = ssl.create_default_context(cafile=certificates.ca)
                peer = context.wrap_socket(plain, server_hostname="localhost")
            peer.sendall(requests)
            for _ in range(20):
                peer.recv(65536)
            peer.close()

    options = ConnectionOptions(transport=transport)
    async with rpc.serve(f"{scheme}://127.0.0.1:0", Endless, CODEC, options=options, tls=tls) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        async with asyncio.timeout(HANG):
            await asyncio.gather(*(asyncio.to_thread(leave, port) for _ in range(3)))
            await until(lambda: server.connections == 0)
    assert foreign(caplog) == []
    assert len(caplog.records) <= 3


async def send_to(url: str, data: bytes, connections: int) -> None:
    """As many connections, one after the other, each with these bytes and read to its end."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    for _ in range(connections):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()


async def echo(connection: protosocket.Connection[Any, Any]) -> None:
    async for each in connection:
        await connection.send(each)


async def refuse(connection: protosocket.Connection[Any, Any]) -> None:
    raise LookupError("nobody is served")


def no_service() -> rpc.Service:
    raise LookupError("there is none")


class Talkative:
    """A codec whose errors are long."""

    def encode(self, message: bytes) -> bytes:
        return message

    def decode(self, unread: memoryview) -> Any:
        raise ValueError("?" * 100_000)


@contextlib.asynccontextmanager
async def grpc_server() -> AsyncIterator[str]:
    server = over_protosocket.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def under_attack(what: str) -> AsyncIterator[str]:
    """The address of a server of this kind."""
    url = "tcp://127.0.0.1:0"
    if what == "grpc":
        async with grpc_server() as address:
            yield address
        return
    small = ConnectionOptions(receive_limit=1000)
    servers: dict[str, Any] = {
        "stream": lambda: protosocket.listen(url, codecs.Bytes(), echo, options=small),
        "codec": lambda: protosocket.listen(url, Talkative(), echo),
        "handler": lambda: protosocket.listen(url, codecs.Bytes(), refuse),
        "rpc": lambda: rpc.serve(url, Service, CODEC),
        "no service": lambda: rpc.serve(url, no_service, CODEC),
    }
    async with servers[what]() as server:
        yield server.addresses[0]


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("stream", b"\xff\xff\xff\x7f"),
        ("codec", b"a"),
        ("handler", b"a"),
        ("rpc", b"\xff" * 100),
        ("no service", b""),
        ("grpc", b"\xff" * 100),
        ("grpc", b"\x02\x12\x00"),
    ],
)
async def test_many_bad_peers(
    what: str, data: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with under_attack(what) as address, asyncio.timeout(HANG):
        await send_to(address, data, 3 * RECORDS)
        records = [record.getMessage() for record in caplog.records]
        assert len(records) == RECORDS
        assert foreign(caplog) == []
        assert all(len(record) < 2000 for record in records)
        assert "more like it are left out for up to 10 s" in records[-1]
        assert not any("left out" in record for record in records[:-1])
        # The next period says how many were left out.
        monkeypatch.setattr("protosocket.limited_log.PERIOD", 0.0)
        await send_to(address, data, 1)
    assert f"({2 * RECORDS} more like it were left out before)" in caplog.records[-1].getMessage()


async def test_many_calls_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (address, _), rpc.connect(address, CODEC) as client:
        for body in [*[b"fail"] * 100, b"nothing", b"unknown"]:
            with pytest.raises(CancelledRemotely):
                await client.unary(message(body))
    kinds = [type(record.exc_info[1]).__name__ for record in caplog.records if record.exc_info]
    # One that comes often hides no other.
    assert kinds == ["LookupError"] * RECORDS + ["EncodeError", "AttributeError"]
    assert {record.name for record in caplog.records} == {"protosocket"}
    assert {record.filename for record in caplog.records} == {"handling.py"}


async def test_handlers_that_fail_in_the_same_function_do_not_hide_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def check() -> None:
        raise LookupError("on purpose")

    async def often() -> None:
        check()

    async def seldom() -> None:
        check()

    class Checking(rpc.Service):
        def select(self, request: Any) -> Any:
            return lambda request: often() if request.body == b"often" else seldom()

    async with (
        rpc.serve("tcp://127.0.0.1:0", Checking, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        for body in [*[b"often"] * (3 * RECORDS), b"seldom"]:
            with pytest.raises(CancelledRemotely):
                await client.unary(message(body))
    assert len(caplog.records) == RECORDS + 1
    assert "in seldom\n" in caplog.text


async def test_a_text_of_the_peers_in_an_exception_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    class Quoting(rpc.Service):
        async def unary(self, request: Any) -> Any:
            raise LookupError(f"there is no {request.body!r}")

    async with (
        rpc.serve("tcp://127.0.0.1:0", Quoting, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        with pytest.raises(CancelledRemotely):
            await client.unary(message(bytes(1_000_000)))
    assert len(caplog.text) < 30_000
    assert "in unary\n" in caplog.text
    assert "LookupError: there is no b'" in caplog.text


def test_a_record_names_the_line_that_made_it(caplog: pytest.LogCaptureFixture) -> None:
    log = LimitedLog()
    caplog.set_level(logging.DEBUG)
    log.debug("one")
    log.warning("two")
    log.error("three")
    log.log(logging.INFO, "four")
    assert [record.funcName for record in caplog.records] == ["test_a_record_names_the_line_that_made_it"] * 4


KINDS = [f"kind {number}: %d" for number in range(4)]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.1, 3.0, 30.0])), max_size=200))
def test_every_record_is_written_or_counted(events: list[tuple[int, float]]) -> None:
    now, written, asked = 0.0, list[str](), collections.Counter[int]()
    logger = logging.getLogger("protosocket.test")
    log = LimitedLog(logger.name, clock=lambda: now)
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        for kind, seconds in [*events, (0, PERIOD), (1, 0.0), (2, 0.0), (3, 0.0)]:
            now += seconds
            log.warning(KINDS[kind], kind)
            asked[kind] += 1
    finally:
        logger.removeHandler(handler)
    for kind in range(4):
        lines = [line for line in written if line.startswith(f"kind {kind}: {kind}")]
        told = sum(int(found) for line in lines for found in re.findall(r"\((\d+) more like", line))
        assert len(lines) + told == asked[kind]
        assert len(lines) <= RECORDS * (1 + now // PERIOD)
