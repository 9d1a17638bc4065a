"""Calls that end early: cancelled by the caller, out of time, forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
from typing import Any

import pytest
from tests.oracle.header import Control, Header
from tests.patience import HANG
from tests.rpc_support import CODEC, RawServer, Service, closed_port, message, raw_client, served, until

from protosocket import ConnectionOptions, errors, rpc


@pytest.mark.every_loop
async def test_cancelling_a_call_cancels_its_handler() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        call = asyncio.ensure_future(client.unary(message(b"wait x")))
        await until(lambda: service.running)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: "cancelled x" in service.notes)
        assert client.statistics()[0].in_flight == 0


@pytest.mark.every_loop
async def test_wait_for_and_timeout_cancel_the_call() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(client.unary(message(b"wait x")), 0.05)
        assert not isinstance(caught.value, rpc.DeadlineExceeded)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.unary(message(b"wait y"))
        await until(lambda: service.notes == ["connected", "cancelled x", "cancelled y"])


@pytest.mark.every_loop
async def test_a_deadline_ends_the_call_here_and_there() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        with pytest.raises(rpc.DeadlineExceeded) as caught:
            await client.unary(message(b"wait x"), timeout=0.05)
        assert caught.value.timeout == 0.05
        assert isinstance(caught.value, TimeoutError)
        await until(lambda: "cancelled x" in service.notes)
        with pytest.raises(rpc.DeadlineExceeded) as caught:
            async for _ in client.stream(message(b"endless"), timeout=0.06):
                pass
        assert caught.value.timeout == 0.06
        await until(lambda: "endless ended" in service.notes)
        assert (await client.unary(message(b"echo a"), timeout=HANG)).body == b"echo a"


async def test_deadlines_come_in_their_own_order() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        ended: list[float] = []

        async def call(timeout: float) -> None:
            with pytest.raises(rpc.DeadlineExceeded) as caught:
                await client.unary(message(), timeout=timeout)
            ended.append(caught.value.timeout)

        await client.ready()
        async with asyncio.TaskGroup() as group:
            for timeout in (0.12, 0.04, 0.16, 0.0, 0.08):
                group.create_task(call(timeout))
        assert ended == [0.0, 0.04, 0.08, 0.12, 0.16]
        peer = await server.accept()
        headers = [(await peer.receive())[0] for _ in range(10)]
        assert sorted(header.id for header in headers if header.control is Control.CANCEL) == [1, 2, 3, 4, 5]


async def test_the_time_for_connecting_counts() -> None:
    async def never(call: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async with RawServer() as raw, rpc.connect(raw.url, CODEC, greet=never) as client:
        with pytest.raises(rpc.DeadlineExceeded, match="no call could be sent") as caught:
            await client.unary(message(), timeout=0.05)
        assert caught.value.timeout == 0.05
        with pytest.raises(rpc.DeadlineExceeded):
            async for _ in client.stream(message(), timeout=0.05):
                pass


async def test_the_time_of_waiting_for_room_counts() -> None:
    options = ConnectionOptions(send_queue_messages=2, close_timeout=0.1)
    async with RawServer() as server, rpc.connect(server.url, CODEC, options=options) as client:
        await client.ready()
        await server.accept()
        large = message(bytes(4_000_000))
        calls = [asyncio.ensure_future(client.unary(large)) for _ in range(8)]
        await until(lambda: client.statistics()[0].write_stalls)
        with pytest.raises(rpc.DeadlineExceeded, match="no call could be sent"):
            await client.unary(large, timeout=0.05)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert client.statistics()[0].in_flight == 0


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, math.inf, -math.inf])
async def test_a_timeout_that_is_none(timeout: float) -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        for _ in range(2):
            with pytest.raises(errors.OptionError, match="timeout"):
                await client.unary(message(b"echo"), timeout=timeout)
            with pytest.raises(errors.OptionError, match="timeout"):
                await anext(client.stream(message(b"count 1"), timeout=timeout))
            await client.ready()
        assert client.statistics()[0].messages_sent == 0


async def test_no_connection_in_time_or_at_all() -> None:
    async with rpc.connect(closed_port(), CODEC) as client:
        with pytest.raises(errors.ConnectError):
            await client.unary(message(), timeout=HANG)


async def test_leaving_a_stream_early_sends_cancel() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        async with contextlib.aclosing(client.stream(message(b"endless"))) as stream:
            async for _ in stream:
                break
        await until(lambda: "endless ended" in service.notes)
        async for _ in client.stream(message(b"endless")):
            break
        gc.collect()
        await until(lambda: service.notes.count("endless ended") == 2)
        assert client.statistics()[0].in_flight == 0


async def test_an_error_in_a_streams_loop_sends_cancel() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:

        async def fail() -> None:
            async with contextlib.aclosing(client.stream(message(b"endless"))) as stream:
                async for _ in stream:
                    raise LookupError

        with pytest.raises(LookupError):
            await fail()
        await until(lambda: "endless ended" in service.notes)


async def test_a_call_that_is_closed_instead_of_cancelled() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        call: Any = client.unary(message(b"wait x"))
        call.send(None)
        await until(lambda: service.running)
        call.close()  # GeneratorExit
        await until(lambda: "cancelled x" in service.notes)


@pytest.mark.every_loop
async def test_cancelled_in_the_tick_of_the_answer() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        await client.ready()
        peer = await server.accept()
        for number in range(20):
            call = asyncio.ensure_future(client.unary(message()))
            while (header := (await peer.receive())[0]).control is not Control.NORMAL:
                pass
            peer.send(header.id, body=b"answer")
            for _ in range(number % 5):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled() or call.result().body == b"answer"
        last = asyncio.ensure_future(client.unary(message(b"last")))
        while (received := await peer.receive())[1] != b"last":
            assert received[0].control is Control.CANCEL
        peer.send(received[0].id)
        await last
        assert client.statistics()[0].in_flight == 0


async def test_a_handler_that_swallows_its_cancellation() -> None:
    released = asyncio.Event()

    class Stubborn(Service):
        async def do_stubborn(self, request: Any) -> Any:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.notes.append("swallowed")
            await released.wait()
            self.notes.append("went on")
            return message(b"unwanted")

        async def do_stream(self, request: Any) -> Any:
            while True:
                try:
                    yield message(b"item")
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    self.notes.append("swallowed")

    service = Stubborn()
    async with rpc.serve("tcp://127.0.0.1:0", lambda: service, CODEC) as server:
        async with raw_client(server.addresses[0]) as peer:
            peer.send(1, body=b"stubborn")
            await peer.nothing_before(2)
            peer.send(1, 1)
            assert await peer.receive() == (Header(1, Control.CANCEL), b"")
            await until(lambda: "swallowed" in service.notes)
            released.set()
            await until(lambda: "went on" in service.notes)
            await peer.nothing_before(3)
            peer.send(4, body=b"stream")
            assert await peer.receive() == (Header(4, Control.NORMAL), b"item")
            peer.send(4, 1)
            assert await peer.receive() == (Header(4, Control.CANCEL), b"")
            await until(lambda: service.notes.count("swallowed") == 2)
            await peer.nothing_before(5)
        await until(lambda: server.connections == 0)


async def test_cancels_are_heard_while_every_place_is_taken() -> None:
    async with served(max_calls=2) as (url, service), rpc.connect(url, CODEC) as client:
        for _ in range(3):
            with pytest.raises(rpc.DeadlineExceeded):
                await asyncio.gather(
                    *(client.unary(message(b"wait x"), timeout=0.05) for _ in range(4)),
                )
            assert (await client.unary(message(b"echo on"), timeout=HANG)).body == b"echo on"
        assert service.most_running == 2


async def test_a_waiting_call_that_is_cancelled_never_starts() -> None:
    async with served(max_calls=1) as (url, service), raw_client(url) as peer:
        peer.send(1, body=b"wait x")
        peer.send(2, body=b"echo no")
        peer.send(3, body=b"echo yes")
        peer.send(2, 1)
        assert await peer.receive() == (Header(2, Control.CANCEL), b"")
        service.open("x")
        assert await peer.receive() == (Header(1, Control.NORMAL), b"wait x")
        assert await peer.receive() == (Header(3, Control.NORMAL), b"echo yes")
        assert service.started == 2
