"""The end of connections and servers: gracefully, cut off, by the peer; and that nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import weakref
from typing import Any

import pytest
from tests.places import Place, Raw, echo, make_place, turns, until, write_raw

from protosocket import Connection, codecs
from protosocket.errors import ConnectError, ConnectionClosed

pytestmark = pytest.mark.every_loop

KiB = 1024
DEEP: dict[str, Any] = {"send_queue_messages": 1000, "send_queue_bytes": 64 * KiB * KiB}


async def test_close_sends_everything_that_is_queued(place: Place) -> None:
    """More than the kernel takes, so writing is paused when the close begins."""
    message = b"m" * 64 * KiB
    async with place.pair(codecs.Bytes(), **DEEP) as (client, served):
        for _ in range(200):
            await client.send(message)
        assert client.statistics().send_queue_messages > 0
        closing = asyncio.create_task(client.close())
        count = 0
        async for received in served:
            assert received == message
            count += 1
        assert count == 200
        await closing


async def test_close_is_cut_off_in_time(place: Place) -> None:
    async with place.pair(codecs.Bytes(), **DEEP, close_timeout=0.05) as (client, _):
        for _ in range(600):  # more than the kernel's buffers take
            await client.send(b"m" * 64 * KiB)
        started = asyncio.get_running_loop().time()
        await client.close()
        assert 0.03 < asyncio.get_running_loop().time() - started < 2
        assert client.closed


async def test_cancelling_close_cuts_off(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes(), **DEEP, close_timeout=0.5) as (
        client,
        _,
    ):
        for _ in range(600):  # more than the kernel's buffers take
            await client.send(b"m" * 64 * KiB)
        closing = asyncio.create_task(client.close())
        await turns()
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await client.wait_closed()


async def test_a_peer_that_closes_and_does_not_read_is_cut_off_in_time() -> None:
    place = Place("tcp", "tcp://127.0.0.1:0")
    accepted: asyncio.Future[Connection[bytes, bytes]] = asyncio.get_running_loop().create_future()

    async def served(connection: Connection[bytes, bytes]) -> None:
        accepted.set_result(connection)
        await connection.wait_closed()

    async with (
        place.listen(codecs.Bytes(), served, close_timeout=0.05, **DEEP) as server,
        await Raw().connect(server) as raw,
    ):
        connection = await accepted
        for _ in range(600):  # more than the kernel's buffers take
            await connection.send(b"m" * 64 * KiB)
        raw.socket.shutdown(1)
        with pytest.raises(ConnectionClosed):
            await connection.receive()
        await connection.wait_closed()


async def test_abort(place: Place) -> None:
    async with place.pair(codecs.Bytes()) as (client, served):
        waiting = asyncio.create_task(client.receive())
        await turns()
        client.abort()
        client.abort()
        assert client.closed
        with pytest.raises(ConnectionClosed):
            await waiting
        with pytest.raises(ConnectionClosed):
            await client.send(b"")
        with pytest.raises(ConnectionClosed):
            await served.receive()
        await client.close()
        assert [message async for message in client] == []


async def test_closing_twice_and_waiting_often(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes()) as (client, _):
        waiting = [asyncio.create_task(client.wait_closed()) for _ in range(3)]
        await turns()
        waiting[0].cancel()
        await asyncio.gather(client.close(), client.close())
        await asyncio.gather(*waiting[1:])
        assert waiting[0].cancelled()


async def test_what_had_arrived_can_be_received_after_the_end(some_place: Place) -> None:
    async with some_place.pair(codecs.Bytes()) as (client, served):
        for number in range(100):
            await client.send(b"%d" % number)
        await client.close()
        await served.wait_closed()
        assert [int(await served.receive()) for _ in range(100)] == list(range(100))
        with pytest.raises(ConnectionClosed):
            await served.receive()


async def test_a_tls_connection_cut_off_in_the_middle_of_a_message(certificates: Any, unix_path: str) -> None:
    """No close_notify, only the end of the TCP stream underneath."""
    place = make_place("tls-aiofastnet", certificates, unix_path)
    async with place.pair(codecs.Bytes()) as (client, served):
        await client.send(b"whole")
        assert await served.receive() == b"whole"
        write_raw(client, b"\x05hal")
        await until(lambda: served.statistics().bytes_received >= 10)
        client.abort()
        with pytest.raises(ConnectionClosed, match=r"in the middle of a message|lost"):
            async for _ in served:
                pass


async def test_closing_a_server_ends_its_handlers_and_flushes(place: Place) -> None:
    states: list[str] = []

    async def served(connection: Connection[bytes, bytes]) -> None:
        try:
            await echo(connection)
        except asyncio.CancelledError:
            await connection.send(b"goodbye")
            states.append("cancelled")
            raise

    server = await place.listen(codecs.Bytes(), served)
    forever = asyncio.create_task(server.serve_forever())
    async with place.connect(server, codecs.Bytes()) as client:
        await client.send(b"hello")
        assert await client.receive() == b"hello"
        assert server.connections == 1
        closing = asyncio.create_task(server.close())
        assert [message async for message in client] == [b"goodbye"]
        await closing
        await forever
        assert states == ["cancelled"]
        assert server.connections == 0
        with pytest.raises(ConnectError):
            await place.connect(server, codecs.Bytes())
        await server.close()


async def test_cancelling_a_servers_close_cuts_off(some_place: Place) -> None:
    async def stubborn(connection: Connection[bytes, bytes]) -> None:
        while not connection.closed:
            try:
                await connection.wait_closed()
            except asyncio.CancelledError:
                continue

    server = await some_place.listen(codecs.Bytes(), stubborn)
    async with some_place.connect(server, codecs.Bytes()) as client:
        await until(lambda: server.connections > 0)
        closing = asyncio.create_task(server.close())
        await turns()
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ConnectionClosed):
            await client.receive()
        await server.serve_forever()


async def test_a_handler_that_returns_closes_and_one_that_fails_is_logged(
    some_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async def served(connection: Connection[bytes, bytes]) -> None:
        if await connection.receive() == b"fail":
            raise ZeroDivisionError("on purpose")
        await connection.send(b"answer")

    async with some_place.listen(codecs.Bytes(), served) as server:
        async with some_place.connect(server, codecs.Bytes()) as client:
            await client.send(b"work")
            assert [message async for message in client] == [b"answer"]
        assert caplog.records == []
        async with some_place.connect(server, codecs.Bytes()) as client:
            await client.send(b"fail")
            with pytest.raises(ConnectionClosed):
                await client.receive()
        async with some_place.connect(server, codecs.Bytes()) as client:
            await client.send(b"work")
            assert await client.receive() == b"answer"
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "on purpose" in caplog.text


async def test_an_error_of_another_connection_is_logged(
    some_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async def served(connection: Connection[bytes, bytes]) -> None:
        raise ConnectionClosed("the other one")

    async with (
        some_place.listen(codecs.Bytes(), served) as server,
        some_place.connect(server, codecs.Bytes()) as client,
    ):
        with pytest.raises(ConnectionClosed):
            await client.receive()
    assert "the other one" in caplog.text


async def test_a_protocol_that_cannot_be_made_is_logged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        made = 0

        def fresh(self) -> Broken:
            Broken.made += 1
            if Broken.made == 2:
                raise ZeroDivisionError("no state")
            return self

        def encode(self, message: bytes) -> bytes:
            return message

        def decode(self, unread: memoryview) -> codecs.Decoded[bytes]:
            return codecs.Decoded(bytes(unread), len(unread))

    asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
    async with place.listen(Broken(), echo) as server:
        try:
            async with place.connect(server, codecs.Bytes(), close_timeout=1, connect_timeout=1) as client:
                with pytest.raises(ConnectionClosed):
                    await client.receive()
        except ConnectError:
            assert place.kind.startswith("tls")
        assert "its protocol could not be made" in caplog.text
        assert "no state" in caplog.text
        async with place.connect(server, Broken()) as client:
            await client.send(b"hello")
            assert await client.receive() == b"hello"


async def test_an_address_that_is_taken(place: Place) -> None:
    async with place.listen(codecs.Bytes(), echo) as server:
        again = Place(place.kind, server.addresses[0], place.transport, place.server_tls)
        with pytest.raises(ConnectError, match="somebody is listening there already"):
            await again.listen(codecs.Bytes(), echo)
    async with again.listen(codecs.Bytes(), echo):
        pass


async def test_nothing_is_left_of_a_connection(place: Place) -> None:
    """By reference counts alone, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        left: list[weakref.ref[Any]] = []
        for end in ("close", "abort", "peer", "broken"):
            async with place.pair(codecs.Bytes(), receive_limit=100) as (client, served):
                left += [weakref.ref(client._protocol), weakref.ref(served._protocol)]  # noqa: SLF001
                await client.send(b"x")
                await served.receive()
                if end == "close":
                    await client.close()
                elif end == "abort":
                    client.abort()
                elif end == "peer":
                    await served.close()
                else:
                    await client.send(b"x" * 101)
                    with pytest.raises(ConnectionClosed):
                        await served.receive()
                await client.wait_closed()
                await served.wait_closed()
            del client, served
        await turns()
        if place.kind.endswith("loop"):
            gc.collect()  # the loops' own TLS makes cycles
        assert [reference() for reference in left if reference() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("transport", ["aiofastnet", "loop"])
def test_what_nobody_closed_is_found_by_the_garbage_collector(transport: Any) -> None:
    """It sees through the native half, so that the transport can warn and let go of its socket."""
    left: list[weakref.ref[Any]] = []

    async def main(url: str) -> None:
        client = await Place("tcp", url, transport).connect_to(url, codecs.Bytes())
        await client.send(b"x")
        left.append(weakref.ref(client._protocol))  # noqa: SLF001

    with socket.create_server(("127.0.0.1", 0)) as peer:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main(f"tcp://127.0.0.1:{peer.getsockname()[1]}"))
        loop.close()
        del loop
        with pytest.warns(ResourceWarning, match="unclosed"):
            gc.collect()
    assert left[0]() is None
