"""Several addresses: which of them calls go to, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from tests.grpc_support import Backend, method, namer

import protosocket.grpc
from protosocket.errors import AddressError, OptionError

FAST = (("grpc.initial_reconnect_backoff_ms", 10), ("grpc.max_reconnect_backoff_ms", 20))


def spread(policy: str) -> tuple[tuple[str, Any], ...]:
    return (*FAST, ("grpc.service_config", json.dumps({"loadBalancingConfig": [{policy: {}}]})))


@pytest.fixture
async def three() -> Any:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Backend(name)) for name in "abc"]


def target_of(backends: list[Backend]) -> str:
    return "ipv4:" + ",".join(each.target for each in backends)


async def until_all_are_used(channel: Any, count: int) -> None:
    """Connections come up one by one; call until each has answered."""
    say = namer(channel)
    seen: set[bytes] = set()
    while len(seen) < count:
        seen.add(await say(b"", wait_for_ready=True))


async def test_round_robin_gives_every_address_the_same_number_of_calls(three: list[Backend]) -> None:
    async with protosocket.grpc.insecure_channel(target_of(three), options=spread("round_robin")) as channel:
        await until_all_are_used(channel, 3)
        say = namer(channel)
        answers = Counter([await say(b"") for _ in range(30)])
        assert answers == {b"a": 10, b"b": 10, b"c": 10}


async def test_pick_first_is_the_default_and_uses_one_address(three: list[Backend]) -> None:
    async with protosocket.grpc.insecure_channel(target_of(three)) as channel:
        say = namer(channel)
        assert {await say(b"") for _ in range(10)} == {b"a"}


async def test_pick_first_goes_on_to_the_next_address(three: list[Backend]) -> None:
    await three[0].server.stop(None)
    async with protosocket.grpc.insecure_channel(target_of(three), options=FAST) as channel:
        assert await namer(channel)(b"") == b"b"


async def test_least_in_flight_avoids_the_busy_one(three: list[Backend]) -> None:
    options = spread("least_in_flight")
    async with protosocket.grpc.insecure_channel(target_of(three), options=options) as channel:
        await until_all_are_used(channel, 3)
        three[1].hold = asyncio.Event()
        say = namer(channel)
        at_once = asyncio.as_completed([say(b"") for _ in range(3)])  # one for each
        assert {await next(at_once), await next(at_once)} == {b"a", b"c"}
        answers = Counter([await say(b"") for _ in range(30)])
        assert answers == {b"a": 15, b"c": 15}
        three[1].hold.set()
        assert await next(at_once) == b"b"


@pytest.mark.parametrize("policy", ["round_robin", "least_request"])
async def test_a_lost_address_is_left_out_and_comes_back(three: list[Backend], policy: str) -> None:
    async with protosocket.grpc.insecure_channel(target_of(three), options=spread(policy)) as channel:
        await until_all_are_used(channel, 3)
        await three[2].server.stop(None)
        say = namer(channel)
        answers = Counter([await say(b"", wait_for_ready=True) for _ in range(20)])
        assert answers[b"a"] + answers[b"b"] == 20
        await three[2].start()
        await until_all_are_used(channel, 3)


async def test_no_address_answers(three: list[Backend]) -> None:
    for each in three:
        await each.server.stop(None)
    options = spread("round_robin")
    async with protosocket.grpc.insecure_channel(target_of(three), options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await namer(channel)(b"")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "failed to connect to all addresses" in (caught.value.details() or "")
        assert channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE


async def test_a_name_is_looked_up_and_all_its_addresses_used() -> None:
    async with Backend("local") as backend:
        port = backend.target.rpartition(":")[2]
        options = (*FAST, ("grpc.lb_policy_name", "round_robin"))
        async with protosocket.grpc.insecure_channel(f"dns:///localhost:{port}", options=options) as channel:
            assert await namer(channel)(b"", wait_for_ready=True) == b"local"


async def test_a_name_that_nobody_knows() -> None:
    options = (*FAST, ("grpc.lb_policy_name", "round_robin"))
    async with protosocket.grpc.insecure_channel("nobody.invalid:1", options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=r"nobody\.invalid"):
            await namer(channel)(b"")


async def test_streams_are_spread_too(three: list[Backend]) -> None:
    async with protosocket.grpc.insecure_channel(target_of(three), options=spread("round_robin")) as channel:
        await until_all_are_used(channel, 3)
        before = [each.calls for each in three]
        count: Any = channel.unary_stream(method("Count"))
        for _ in range(9):
            assert [each async for each in count(b"2")] == [b"0", b"1"]
        assert [each.calls - old for each, old in zip(three, before, strict=True)] == [3, 3, 3]


async def test_a_policy_that_nobody_knows() -> None:
    with pytest.raises(OptionError, match="fastest"):
        protosocket.grpc.insecure_channel("localhost:1", options=(("grpc.lb_policy_name", "fastest"),))


@pytest.mark.parametrize("target", ["", "localhost:port", "tls://localhost:1", "unix:", "ipv4:1.2.3.4:x"])
def test_targets_that_cannot_be_used(target: str) -> None:
    with pytest.raises(AddressError):
        protosocket.grpc.insecure_channel(target)


async def test_many_at_once_wait_for_one_connection() -> None:
    async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
        say = namer(channel)
        answers = await asyncio.gather(*(say(b"%d" % number) for number in range(500)))
        assert answers == [b"x%d" % number for number in range(500)]
