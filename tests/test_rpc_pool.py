"""The client's pool of connections, and how either end closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.oracle.header import Control, Header
from tests.patience import HANG
from tests.places import Place
from tests.rpc_support import CODEC, Peer, RawServer, Service, closed_port, message, raw_client, served, until
from tests.tricks import needs_tricks

from protosocket import ConnectionOptions, errors, rpc

QUICK = ConnectionOptions(close_timeout=0.2)


@needs_tricks("calls take turns over the connections")
async def test_connections_are_made_when_they_are_needed() -> None:
    async with (
        rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC, connections=3) as client,
    ):
        assert (client.connections, server.connections) == (0, 0)
        await client.unary(message(b"echo"))
        assert client.connections == 1
        for _ in range(5):
            await client.unary(message(b"echo"))
        assert client.connections == 3
        # All have been made; who is answered by one goes on with that.
        assert [each.messages_sent for each in client.statistics()] == [4, 1, 1]
        await until(lambda: server.connections == 3)
        assert "3 connections" in repr(client)
    assert client.connections == 0


async def test_calls_that_come_together_share_the_connecting() -> None:
    async with (
        rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC, connections=2) as client,
    ):
        calls = [asyncio.ensure_future(client.unary(message(b"echo"))) for _ in range(20)]
        await asyncio.sleep(0)
        # One that is cancelled does not take the connection from the others.
        calls[0].cancel()
        calls[1].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 2
        await until(lambda: server.connections == 2)


async def test_a_dead_connection_is_replaced() -> None:
    async with (
        rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC, connections=2) as client,
    ):
        await client.ready()
        await until(lambda: server.connections == 2)
        for _ in range(3):
            for connection in server.protocols:
                connection.abort()
            await until(lambda: client.connections == 0)
            for _ in range(2):
                assert (await client.unary(message(b"echo a"))).body == b"echo a"
            assert client.connections == 2
            await until(lambda: server.connections == 2)


async def ask_on(client: rpc.Client[Any, Any]) -> None:
    """Call as long as the answers say so."""
    while (await client.unary(message())).body == b"go on":
        pass


def answer(peer: Peer, calls: Sequence[Header], body: bytes) -> None:
    for call in calls:
        peer.send(call.id, body=body)


@needs_tricks("calls take turns over the connections")
async def test_who_was_answered_goes_on_with_that_connection() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC, connections=3) as client:
        await client.ready()
        peers = [await server.accept() for _ in range(3)]
        asking = [asyncio.ensure_future(ask_on(client)) for _ in range(6)]
        waiting = [[(await peer.receive())[0] for _ in range(2)] for peer in peers]
        for _ in range(10):
            for peer, calls in zip(peers, waiting, strict=True):
                answer(peer, calls, b"go on")
                calls[:] = [(await peer.receive())[0] for _ in range(2)]
        for peer, calls in zip(peers, waiting, strict=True):
            answer(peer, calls, b"end")
        await asyncio.wait_for(asyncio.gather(*asking), HANG)
        assert [each.messages_sent for each in client.statistics()] == [22, 22, 22]


async def test_a_connection_with_less_to_do_is_given_more() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC, connections=2) as client:
        await client.ready()
        busy, idle = [await server.accept() for _ in range(2)]
        asking = [asyncio.ensure_future(ask_on(client)) for _ in range(6)]
        calls = [(await busy.receive())[0] for _ in range(3)]
        answer(idle, [(await idle.receive())[0] for _ in range(3)], b"end")
        await until(lambda: sum(call.done() for call in asking) == 3)
        answer(busy, calls, b"go on")
        moved, _ = await idle.receive()
        stayed = [(await busy.receive())[0] for _ in range(2)]
        answer(idle, [moved], b"end")
        answer(busy, stayed, b"end")
        await asyncio.wait_for(asyncio.gather(*asking), HANG)


async def test_many_calls_that_an_answer_leads_to_go_to_all_connections() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC, connections=4) as client:
        await client.ready()
        await client.unary(message(b"echo"))
        await asyncio.gather(*[client.unary(message(b"echo")).start() for _ in range(40)])
        sent = [each.messages_sent for each in client.statistics()]
        assert sum(sent) == 41
        assert min(sent) >= 8


async def test_a_lost_connection_is_made_again_by_who_goes_on_with_another() -> None:
    async with RawServer() as server, rpc.connect(server.url, CODEC, connections=2) as client:
        await client.ready()
        kept, lost = [await server.accept() for _ in range(2)]
        asking = [asyncio.ensure_future(ask_on(client)) for _ in range(2)]
        call, _ = await kept.receive()
        await lost.close()
        ended, _ = await asyncio.wait(asking, timeout=HANG, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(errors.ConnectionClosed):
            ended.pop().result()
        again = asyncio.ensure_future(server.accept())
        # At most one call is made before it is the lost one's turn.
        answer(kept, [call], b"go on")
        asked = asyncio.ensure_future(kept.receive())
        await asyncio.wait([again, asked], timeout=HANG, return_when=asyncio.FIRST_COMPLETED)
        if not again.done():
            answer(kept, [asked.result()[0]], b"go on")
        made = await asyncio.wait_for(again, HANG)
        asked.cancel()
        answer(made, [(await made.receive())[0]], b"end")
        await until(lambda: all(each.done() for each in asking))


async def test_the_server_comes_back() -> None:
    async with rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server:
        url = server.addresses[0]
        client = await rpc.connect(url, CODEC)
        await client.unary(message(b"echo"))
    await until(lambda: client.connections == 0)
    for _ in range(2):
        with pytest.raises(errors.ConnectError) as caught:
            await client.unary(message(b"echo"))
        assert caught.value.address == url
    async with rpc.serve(url, Service, CODEC):
        assert (await client.unary(message(b"echo again"))).body == b"echo again"
        await client.close()


async def test_one_connections_end_does_not_disturb_the_others() -> None:
    services: list[Service] = []

    def make() -> Service:
        services.append(Service())
        return services[-1]

    async with (
        rpc.serve("tcp://127.0.0.1:0", make, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC, connections=3) as client,
    ):
        await client.ready()
        calls = [asyncio.ensure_future(client.unary(message(b"wait x"))) for _ in range(3)]
        await until(lambda: [service.running for service in services] == [1, 1, 1])
        lost = next(each for each in server.protocols if each.service is services[0])
        lost.abort()
        await until(lambda: sum(call.done() for call in calls) == 1)
        services[1].open("x")
        services[2].open("x")
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(answer, errors.ConnectionClosed) for answer in answers) == 1
        await until(lambda: len(services[0].notes) == 3)
        assert sorted(services[0].notes) == ["cancelled x", "connected", "disconnected"]


async def test_ready_says_what_is_wrong() -> None:
    async with rpc.connect(closed_port(), CODEC, connections=2) as client:
        with pytest.raises(errors.ConnectError):
            await client.ready()


async def exhaust(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


@pytest.mark.every_loop
async def test_closing_the_client_ends_its_calls(some_place: Place) -> None:
    options = ConnectionOptions(transport=some_place.transport)
    async with served(url=some_place.url, options=options, tls=some_place.server_tls) as (url, service):
        client = await rpc.connect(url, CODEC, connections=2, options=options, tls=some_place.client_tls)
        calls = [asyncio.ensure_future(client.unary(message(b"wait x"))) for _ in range(10)]
        stream = client.stream(message(b"endless"))
        await anext(stream)
        await until(lambda: service.running == 11)
        await client.close()
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, errors.ConnectionClosed)
        with pytest.raises(errors.ConnectionClosed):
            await exhaust(stream)
        await until(lambda: service.running == 0)
        with pytest.raises(errors.ConnectionClosed, match="closed"):
            await client.unary(message(b"echo"))
        with pytest.raises(errors.ConnectionClosed, match="closed"):
            await anext(client.stream(message(b"count 1")))
        await client.close()


async def test_closing_the_client_while_it_connects() -> None:
    async def never(call: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async with RawServer() as server:
        client = await rpc.connect(server.url, CODEC, greet=never)
        call = asyncio.ensure_future(client.unary(message()))
        peer = await server.accept()
        await client.close()
        with pytest.raises((errors.ConnectionClosed, asyncio.CancelledError)):
            await call
        with pytest.raises((EOFError, ConnectionError)):
            await peer.receive()


async def test_a_client_that_is_forgotten() -> None:
    async with rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server:
        client = await rpc.connect(server.addresses[0], CODEC)
        await client.unary(message(b"echo"))
        await until(lambda: server.connections == 1)
        kept = [client]
        del client
        with pytest.warns(ResourceWarning, match="was not closed"):
            kept.clear()
        await until(lambda: server.connections == 0)


@pytest.mark.parametrize("connections", [0, -1, True, 1.5, None])
async def test_a_pool_has_a_size(connections: Any) -> None:
    with pytest.raises(errors.OptionError):
        rpc.connect("tcp://127.0.0.1:1", CODEC, connections=connections)


async def test_closing_the_server_lets_handlers_end() -> None:
    service = Service()
    server = await rpc.serve("tcp://127.0.0.1:0", lambda: service, CODEC)
    async with rpc.connect(server.addresses[0], CODEC) as client:
        call = asyncio.ensure_future(client.unary(message(b"wait x")))
        await until(lambda: service.running)
        closing = asyncio.ensure_future(server.close())
        # What comes meanwhile is refused, which its callers learn at once.
        await asyncio.sleep(0.01)
        with pytest.raises(rpc.CancelledRemotely):
            await client.unary(message(b"echo"), timeout=HANG)
        assert not closing.done()
        service.open("x")
        assert (await call).body == b"wait x"
        await closing
        await until(lambda: client.connections == 0)
    assert service.notes == ["connected", "disconnected"]


async def test_cancels_are_heard_while_the_server_closes() -> None:
    service = Service()
    server = await rpc.serve("tcp://127.0.0.1:0", lambda: service, CODEC)
    async with raw_client(server.addresses[0]) as peer:
        peer.send(1, body=b"wait x")
        await until(lambda: service.running)
        closing = asyncio.ensure_future(server.close())
        await asyncio.sleep(0)
        peer.send(1, 1)
        assert await peer.receive() == (Header(1, Control.CANCEL), b"")
        await asyncio.wait_for(closing, HANG)


async def test_handlers_that_do_not_end_are_cancelled() -> None:
    service = Service()
    server = await rpc.serve("tcp://127.0.0.1:0", lambda: service, CODEC, options=QUICK, max_calls=2)
    async with rpc.connect(server.addresses[0], CODEC) as client:
        calls = [asyncio.ensure_future(client.unary(message(b"wait x"))) for _ in range(3)]
        stream = client.stream(message(b"endless"))
        await until(lambda: service.running == 2)
        start = asyncio.get_running_loop().time()
        await server.close()
        assert 0.15 < asyncio.get_running_loop().time() - start < 1
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, errors.ConnectionClosed | rpc.CancelledRemotely)
        await until(lambda: service.running == 0)
        await stream.aclose()


async def test_closing_twice_and_cancelled() -> None:
    service = Service()
    server = await rpc.serve("tcp://127.0.0.1:0", lambda: service, CODEC)
    async with rpc.connect(server.addresses[0], CODEC) as client:
        call = asyncio.ensure_future(client.unary(message(b"wait x")))
        await until(lambda: service.running)
        both = [asyncio.ensure_future(server.close()) for _ in range(2)]
        await asyncio.sleep(0.01)
        both[0].cancel()
        await asyncio.wait(both)
        with pytest.raises(errors.ConnectionClosed):
            await call
        await until(lambda: service.running == 0)


async def test_a_handler_that_ends_its_own_server() -> None:
    class Ends(Service):
        async def do_end(self, request: Any) -> Any:
            self.closing = asyncio.ensure_future(server.close())
            return message(b"bye")

    server = await rpc.serve("tcp://127.0.0.1:0", Ends, CODEC)
    async with rpc.connect(server.addresses[0], CODEC) as client:
        assert (await client.unary(message(b"end"))).body == b"bye"
        await asyncio.wait_for(server.serve_forever(), HANG)
