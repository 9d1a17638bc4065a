"""The service config: retries, throttling, hedging, timeouts and limits of methods."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grpc_support import SERVICE, Backend, method, namer

import protosocket.grpc
from protosocket.errors import OptionError
from protosocket.grpc.client.connect_backoff import Backoff

UNAVAILABLE, ABORTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED

RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.001s",
    "maxBackoff": "0.002s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def config(**settings: Any) -> tuple[tuple[str, Any], ...]:
    each = {"name": [{"service": SERVICE}], **settings}
    return (("grpc.service_config", json.dumps({"methodConfig": [each]})),)


@asynccontextmanager
async def served(*options: tuple[str, Any], **settings: Any) -> AsyncIterator[tuple[Backend, Any]]:
    """A backend and a channel to it whose service config has ``settings`` for all methods."""
    options = (*config(**settings), *options)
    async with Backend("x") as backend, channel_to(backend, options) as channel:
        yield backend, channel


def channel_to(backend: Backend, options: tuple[tuple[str, Any], ...]) -> grpc.aio.Channel:
    return protosocket.grpc.insecure_channel(backend.target, options=options)


async def test_a_call_that_fails_is_made_again() -> None:
    async with served(retryPolicy=RETRY) as (backend, channel):
        backend.fail = [UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]
        assert await namer(channel)(b"!", metadata=(("k", "v"),)) == b"x!"
        attempts = [seen.get("grpc-previous-rpc-attempts") for seen in backend.seen]
        assert attempts == [None, "1", "2", "3"]
        assert all(seen["k"] == "v" for seen in backend.seen)


async def test_the_last_attempts_status_is_the_calls() -> None:
    async with served(retryPolicy=RETRY) as (backend, channel):
        backend.fail = [UNAVAILABLE] * 10
        call = namer(channel)(b"")
        with pytest.raises(grpc.aio.AioRpcError, match="as told"):
            await call
        assert await call.code() is UNAVAILABLE
        assert backend.calls == 4


async def test_other_statuses_are_not_tried_again() -> None:
    async with served(retryPolicy=RETRY) as (backend, channel):
        backend.fail = [ABORTED]
        assert await namer(channel)(b"").code() is ABORTED
        assert backend.calls == 1


async def test_retries_can_be_switched_off() -> None:
    async with served(("grpc.enable_retries", 0), retryPolicy=RETRY) as (backend, channel):
        backend.fail = [UNAVAILABLE]
        assert await namer(channel)(b"").code() is UNAVAILABLE


@pytest.mark.parametrize(("pushback", "attempts"), [("1", 2), ("-1", 1), ("soon", 1)])
async def test_the_server_says_when(pushback: str, attempts: int) -> None:
    slow = {**RETRY, "initialBackoff": "100s", "maxBackoff": "100s"}
    async with served(retryPolicy=slow) as (backend, channel):
        backend.fail, backend.pushback = [UNAVAILABLE], pushback
        await namer(channel)(b"").code()
        assert backend.calls == attempts


async def test_a_deadline_ends_the_wait_for_the_next_attempt() -> None:
    slow = {**RETRY, "initialBackoff": "100s", "maxBackoff": "100s"}
    async with served(retryPolicy=slow) as (backend, channel):
        backend.fail = [UNAVAILABLE]
        assert await namer(channel)(b"", timeout=0.1).code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_that_waits_for_its_next_attempt_can_be_cancelled() -> None:
    slow = {**RETRY, "initialBackoff": "100s", "maxBackoff": "100s"}
    async with served(retryPolicy=slow) as (backend, channel):
        backend.fail = [UNAVAILABLE]
        call = namer(channel)(b"")
        await backend.until_called(1)
        assert call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_stream_is_made_again_until_an_answer_begins() -> None:
    async with served(retryPolicy=RETRY) as (backend, channel):
        backend.fail = [UNAVAILABLE, UNAVAILABLE]
        count: Any = channel.unary_stream(method("Count"))
        assert [each async for each in count(b"3")] == [b"0", b"1", b"2"]
        assert backend.calls == 3
        backend.fail = [UNAVAILABLE] * 10
        with pytest.raises(grpc.aio.AioRpcError, match="as told"):
            await count(b"3").read()
        assert backend.calls == 7


async def test_retries_stop_while_too_many_calls_fail() -> None:
    settings = {
        "methodConfig": [{"name": [{}], "retryPolicy": RETRY}],
        "retryThrottling": {"maxTokens": 4, "tokenRatio": 0.5},
    }
    async with Backend("x") as backend:
        options = (("grpc.service_config", json.dumps(settings)),)
        async with protosocket.grpc.insecure_channel(backend.target, options=options) as channel:
            backend.fail = [UNAVAILABLE] * 100
            say = namer(channel)
            assert await say(b"").code() is UNAVAILABLE
            # 4 tokens: after two failures no more than half are left.
            assert backend.calls == 2
            backend.fail = []
            for _ in range(5):
                await say(b"")
            before, backend.fail = backend.calls, [UNAVAILABLE]
            assert await say(b"") == b"x"
            assert backend.calls - before == 2


async def test_hedging_takes_the_first_good_answer() -> None:
    hedging = {"maxAttempts": 3, "hedgingDelay": "0.02s", "nonFatalStatusCodes": ["UNAVAILABLE"]}
    async with served(hedgingPolicy=hedging) as (backend, channel):
        backend.hold = asyncio.Event()
        call = namer(channel)(b"")
        await backend.until_called(3)
        backend.hold.set()
        assert await call == b"x"
        assert [seen.get("grpc-previous-rpc-attempts") for seen in backend.seen] == [None, "1", "2"]


async def test_hedging_goes_on_at_once_after_a_failure_that_is_not_fatal() -> None:
    hedging = {"maxAttempts": 3, "hedgingDelay": "100s", "nonFatalStatusCodes": ["UNAVAILABLE"]}
    async with served(hedgingPolicy=hedging) as (backend, channel):
        backend.fail = [UNAVAILABLE, UNAVAILABLE]
        assert await namer(channel)(b"") == b"x"
        backend.fail = [ABORTED]
        assert await namer(channel)(b"").code() is ABORTED
        backend.fail = [UNAVAILABLE] * 9
        assert await namer(channel)(b"").code() is UNAVAILABLE
        assert backend.calls == 3 + 1 + 3


async def test_a_methods_timeout_and_limits() -> None:
    async with served(timeout="0.05s", maxRequestMessageBytes=10, maxResponseMessageBytes=8) as (
        backend,
        channel,
    ):
        say = namer(channel)
        assert await say(b"1234567") == b"x1234567"
        assert await say(b"12345678").code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError, match="Received message larger than max"):
            await say(b"12345678")
        with pytest.raises(grpc.aio.AioRpcError, match="Sent message larger than max"):
            await say(b"12345678901")
        backend.hold = asyncio.Event()
        assert await say(b"").code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_wait_for_ready_by_config() -> None:
    backend = Backend("x")
    await backend.start()
    await backend.server.stop(None)
    options = (("grpc.initial_reconnect_backoff_ms", 10), *config(waitForReady=True))
    async with protosocket.grpc.insecure_channel(backend.target, options=options) as channel:
        call = namer(channel)(b"")
        await channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE)
        while channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await channel.wait_for_state_change(channel.get_state())
        await backend.start()
        assert await call == b"x"
        await backend.server.stop(None)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"methodConfig": [{}]}',
        '{"methodConfig": [{"name": [{}, {}]}]}',
        '{"methodConfig": [{"name": [{"method": "M"}]}]}',
        '{"methodConfig": [{"name": [{}], "timeout": "soon"}]}',
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 1}}]}',
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 2}}]}',
        '{"methodConfig": [{"name": [{}], "hedgingPolicy": {"maxAttempts": 2, "hedgingDelay": 1}}]}',
        '{"methodConfig": [{"name": [{}], "hedgingPolicy": {}, "retryPolicy": {}}]}',
        '{"loadBalancingConfig": [{"fastest": {}}]}',
        '{"retryThrottling": {"maxTokens": 0, "tokenRatio": 1}}',
    ],
)
def test_a_config_that_cannot_be_used(text: str) -> None:
    with pytest.raises(OptionError):
        protosocket.grpc.insecure_channel("localhost:1", options=(("grpc.service_config", text),))


@given(st.floats(0.001, 10), st.floats(0.001, 100), st.integers(1, 30))
def test_backoff_grows_to_its_limit_and_starts_again(first: float, longest: float, failures: int) -> None:
    backoff = Backoff(first, longest)
    waits = [backoff.next() for _ in range(failures)]
    expected = [min(first * 1.6**turn, longest) for turn in range(failures)]
    assert all(0.79 * want <= wait <= 1.21 * want for wait, want in zip(waits, expected, strict=True))
    backoff.reset()
    assert backoff.next() <= 1.21 * min(first, longest)
