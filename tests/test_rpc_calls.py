"""Calls over every kind of connection and every kind of message."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.patience import HANG
from tests.places import Place
from tests.rpc_support import CODEC, KINDS, Kind, Service, message, served, until

from protosocket import ConnectionOptions, errors, rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


async def items(client: rpc.Client[Any, Any], request: Any) -> list[bytes]:
    return [bytes(item.body) async for item in client.stream(request)]


@every_kind
@pytest.mark.every_loop
async def test_unary_and_stream(kind: Kind, place: Place) -> None:
    options = ConnectionOptions(transport=place.transport)
    async with (
        served(kind, place.url, options=options, tls=place.server_tls) as (url, _),
        rpc.connect(url, kind.codec, connections=2, options=options, tls=place.client_tls) as client,
    ):
        for _ in range(4):
            answer = await client.unary(kind.make(b"echo hello"))
            assert type(answer) is kind.message
            assert answer.body == b"echo hello"
        assert (await client.unary(kind.make(b"sync hello"))).body == b"sync hello"
        assert await items(client, kind.make(b"count 3")) == [b"0", b"1", b"2"]
        assert await items(client, kind.make(b"count 0")) == []
        large = b"echo " + bytes(1_000_000)
        assert (await client.unary(kind.make(large))).body == large


async def test_answers_come_in_the_order_they_are_ready() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        order: list[str] = []

        async def call(name: str) -> None:
            await client.unary(message(f"wait {name}".encode()))
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(call(name))
            await until(lambda: service.running == 3)
            for name in "cab":
                service.open(name)
                await until(lambda: len(order) == service.started - service.running)
        assert order == ["c", "a", "b"]


@pytest.mark.every_loop
async def test_thousands_in_flight() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC, connections=3) as client:
        calls = [asyncio.ensure_future(client.unary(message(b"wait %d" % n))) for n in range(3000)]
        await until(lambda: service.running == 3000)
        for number in reversed(range(3000)):
            service.open(str(number))
        assert [answer.body for answer in await asyncio.gather(*calls)] == [
            b"wait %d" % n for n in range(3000)
        ]
        assert service.running == 0


async def test_streams_and_calls_share_a_connection() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        streams, answers = await asyncio.gather(
            asyncio.gather(*(items(client, message(b"count 200")) for _ in range(10))),
            asyncio.gather(*(client.unary(message(b"echo %d" % n)) for n in range(100))),
        )
        assert streams == [[b"%d" % n for n in range(200)]] * 10
        assert [answer.body for answer in answers] == [b"echo %d" % n for n in range(100)]


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_a_short_send_queue_slows_nothing_down_for_ever(limit: int) -> None:
    options = ConnectionOptions(send_queue_messages=limit, read_budget_messages=limit)
    async with (
        served(options=options) as (url, _),
        rpc.connect(url, CODEC, options=options) as client,
        asyncio.timeout(HANG),
    ):
        answers = await asyncio.gather(*(client.unary(message(b"echo %d" % n)) for n in range(300)))
        assert [answer.body for answer in answers] == [b"echo %d" % n for n in range(300)]
        assert len(await items(client, message(b"count 300"))) == 300
        several = await asyncio.gather(*(items(client, message(b"count 50")) for _ in range(5)))
        assert several == [[b"%d" % n for n in range(50)]] * 5


async def test_a_failing_handler_is_logged_and_its_caller_told(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        with pytest.raises(rpc.CancelledRemotely):
            await client.unary(message(b"fail"))
        assert "failed" in caplog.text
        assert "on purpose" in caplog.text
        caplog.clear()
        with pytest.raises(rpc.CancelledRemotely):
            await client.unary(message(b"nothing"))
        assert "NoneType" in caplog.text
        assert (await client.unary(message(b"echo on"))).body == b"echo on"


async def test_a_rejection_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        with pytest.raises(rpc.CancelledRemotely, match="rejected"):
            await client.unary(message(b"reject"))
        with pytest.raises(rpc.CancelledRemotely):
            await items(client, message(b"reject"))
    assert not [record for record in caplog.records if record.name.startswith("protosocket")]


async def test_what_cannot_be_encoded_is_not_sent() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        for request in (None, CacheCommand(message_id=5), "text"):
            with pytest.raises(errors.EncodeError, match="nothing was sent"):
                await client.unary(request)
            with pytest.raises(errors.EncodeError):
                await items(client, request)
        assert client.statistics()[0].in_flight == 0
        assert client.statistics()[0].messages_sent == 0


@every_kind
async def test_a_message_of_another_class_is_refused(kind: Kind) -> None:
    async with served(kind) as (url, _), rpc.connect(url, kind.codec) as client:
        with pytest.raises(errors.EncodeError, match="is expected here"):
            await client.unary(CacheCommand())


async def test_a_service_per_connection() -> None:
    made: list[Service] = []

    def make() -> Service:
        made.append(Service())
        return made[-1]

    async with rpc.serve("tcp://127.0.0.1:0", make, CODEC) as server:
        async with rpc.connect(server.addresses[0], CODEC, connections=3) as client:
            await client.ready()
            await until(lambda: len(made) == 3)
            await asyncio.gather(*(client.unary(message(b"echo %d" % n)) for n in range(6)))
            assert [service.started for service in made] == [2, 2, 2]
            assert len({service.peer for service in made}) == 3
            assert [service.notes for service in made] == [["connected"]] * 3
        await until(lambda: all(service.notes == ["connected", "disconnected"] for service in made))
        assert server.connections == 0


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


class Unready(Service):
    connected = raising(LookupError("no user"))


@pytest.mark.parametrize(
    "make", [raising(LookupError("no service")), Unready, object], ids=["new", "hook", "type"]
)
async def test_without_a_service_the_connection_is_refused(
    make: Any, caplog: pytest.LogCaptureFixture, transport: Any
) -> None:
    options = ConnectionOptions(transport=transport)
    async with (
        rpc.serve("tcp://127.0.0.1:0", functools.partial(make), CODEC, options=options) as server,
        rpc.connect(server.addresses[0], CODEC, options=options) as client,
    ):
        with pytest.raises(errors.ConnectionClosed):
            await client.unary(message(b"echo"), timeout=HANG)
        await until(lambda: server.connections == 0)
    assert "no service for the connection" in caplog.text


async def test_a_failing_disconnected_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(Service):
        disconnected = raising(LookupError("forgotten"))

    async with rpc.serve("tcp://127.0.0.1:0", Clumsy, CODEC) as server:
        async with rpc.connect(server.addresses[0], CODEC) as client:
            await client.unary(message(b"echo"))
        await until(lambda: server.connections == 0)
    assert "forgotten" in caplog.text


async def test_a_service_says_what_it_handles() -> None:
    class Nothing(rpc.Service):
        pass

    class Both(rpc.Service):
        async def unary(self, request: Any) -> Any: ...
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            yield

    class OnlyStream(rpc.Service):
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            yield request

    for wrong in (Nothing, Both, object, 5):
        with pytest.raises(errors.OptionError):
            rpc.serve("tcp://127.0.0.1:0", wrong, CODEC)  # type: ignore[arg-type]
    for calls in (0, -1, True, 1.5):
        with pytest.raises(errors.OptionError):
            rpc.serve("tcp://127.0.0.1:0", Service, CODEC, max_calls=calls)  # type: ignore[arg-type]
    async with (
        rpc.serve("tcp://127.0.0.1:0", OnlyStream, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
        contextlib.aclosing(client.stream(message(b"one"))) as stream,
    ):
        assert [item.body async for item in stream] == [b"one"]


async def test_a_greeting_on_every_connection() -> None:
    async def greet(call: rpc.FirstCall[Any, Any]) -> None:
        assert (await call(message(b"echo hello"))).body == b"echo hello"

    async with (
        served() as (url, service),
        rpc.connect(url, CODEC, connections=2, greet=greet) as client,
    ):
        await client.ready()
        assert service.started == 2


async def test_a_greeting_that_fails_reaches_the_callers() -> None:
    async def greet(call: rpc.FirstCall[Any, Any]) -> None:
        await call(message(b"reject"))

    async with served() as (url, _), rpc.connect(url, CODEC, greet=greet) as client:
        for _ in range(2):
            with pytest.raises(rpc.CancelledRemotely):
                await client.unary(message(b"echo"))
        assert client.connections == 0
