"""What is particular to connections in memory: names, write buffer limits, EOF, resets, RPC on them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.places import turns

from protosocket.connection import Address, open_transport, parse_address
from protosocket.connection.endpoint import listen
from protosocket.errors import AddressError, ConnectError, OptionError
from protosocket.options import ConnectionOptions

pytestmark = pytest.mark.every_loop

OPTIONS = ConnectionOptions()


class Recorder(asyncio.BufferedProtocol):
    """Writes down what happens to it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.transport: Any = None
        self.keep_open = False
        self._buffer = bytearray(1000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.events.append("made")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.events.append(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(("lost", type(exc)))


async def pair() -> tuple[Recorder, Recorder]:
    """Both ends of a connection whose listener is gone."""
    served: list[Recorder] = []

    def make() -> Recorder:
        served.append(Recorder())
        return served[-1]

    listener = await listen(Address("memory", path="pair"), make, OPTIONS)
    _, client = await open_transport(listener.addresses[0], Recorder, OPTIONS)
    listener.close()
    assert client.events.pop(0) == served[0].events.pop(0) == "made"
    return client, served[0]


async def test_protocols_are_called_by_the_event_loop_only() -> None:
    a, b = await pair()
    a.transport.write(b"hello")
    assert b.events == []
    assert a.transport.get_write_buffer_size() == 5
    await turns()
    assert b.events == [b"hello"]
    assert a.transport.get_write_buffer_size() == 0
    a.transport.close()
    assert a.events == []
    await turns()
    assert a.events == [("lost", type(None))]
    assert b.events == [b"hello", "eof", ("lost", type(None))]
    a.transport.write(b"nobody")
    await turns()
    assert len(b.events) == 3


async def test_write_buffer_limits() -> None:
    a, b = await pair()
    assert a.transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    a.transport.set_write_buffer_limits(high=2000, low=500)
    b.transport.pause_reading()
    assert not b.transport.is_reading()
    a.transport.write(b"x" * 2000)
    assert a.events == []
    a.transport.write(b"x")
    assert a.events == ["pause"]
    await turns()
    assert b.events == []
    b.transport.resume_reading()
    await turns()
    assert b"".join(b.events) == b"x" * 2001
    assert a.events == ["pause", "resume"]
    with pytest.raises(ValueError, match="must be"):
        a.transport.set_write_buffer_limits(high=1, low=2)
    a.transport.abort()
    await turns()


async def test_half_closed() -> None:
    a, b = await pair()
    b.keep_open = True
    assert a.transport.can_write_eof()
    a.transport.write(b"question")
    a.transport.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        a.transport.write(b"more")
    await turns()
    assert b.events == [b"question", "eof"]
    b.transport.write(b"answer")
    b.transport.close()
    await turns()
    assert a.events == [b"answer", "eof", ("lost", type(None))]
    assert b.events[2:] == [("lost", type(None))]


@pytest.mark.parametrize("loses", [True, False])
async def test_abort_is_a_reset_only_if_bytes_are_lost(loses: bool) -> None:
    a, b = await pair()
    if loses:
        a.transport.write(b"lost")
    a.transport.abort()
    await turns()
    assert a.events == [("lost", type(None))]
    assert b.events == ([("lost", ConnectionResetError)] if loses else ["eof", ("lost", type(None))])


async def test_both_ends_close_with_bytes_under_way() -> None:
    a, b = await pair()
    for end in (a, b):
        end.transport.write(b"x" * 100_000)
        end.transport.close()
        end.transport.close()
    await turns()
    assert a.events[-1] == b.events[-1] == ("lost", type(None))


async def test_names() -> None:
    address = parse_address("memory://a.name")
    assert address == Address("memory", path="a.name")
    assert str(address) == "memory://a.name"
    with pytest.raises(ConnectError, match="nobody listens there"):
        await open_transport(address, Recorder, OPTIONS)
    for wrong in ("memory://", "memory://a b", "memory://a/b", "memory://a?b"):
        with pytest.raises(AddressError, match="memory://name"):
            parse_address(wrong)
    with pytest.raises(AddressError, match="no host and no port"):
        Address("memory", port=1, path="x")
    with pytest.raises(OptionError, match="reuse_port"):
        await listen(address, Recorder, OPTIONS, reuse_port=True)
    listener = await listen(address, Recorder, OPTIONS)
    with pytest.raises(ConnectError, match="somebody is listening there already"):
        await listen(address, Recorder, OPTIONS)
    listener.close()
    await listener.wait_closed()
    (await listen(address, Recorder, OPTIONS)).close()


async def test_a_name_belongs_to_its_event_loop() -> None:
    listener = await listen(Address("memory", path="here"), Recorder, OPTIONS)

    async def elsewhere() -> None:
        with pytest.raises(ConnectError):
            await open_transport(listener.addresses[0], Recorder, OPTIONS)

    await asyncio.to_thread(asyncio.run, elsewhere())
    listener.close()


async def test_cancelling_a_connect_aborts() -> None:
    served = Recorder()
    listener = await listen(Address("memory", path="x"), lambda: served, OPTIONS)
    connecting = asyncio.create_task(open_transport(listener.addresses[0], Recorder, OPTIONS))
    await asyncio.sleep(0)
    connecting.cancel()
    await turns()
    assert connecting.cancelled()
    assert served.events in (["made", "eof", ("lost", type(None))], ["eof", ("lost", type(None))])
    listener.close()
