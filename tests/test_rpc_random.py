"""Random mixes of calls, cancels, deadlines, streams and lost connections: each call ends once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.patience import HANG
from tests.rpc_support import KINDS, Kind, until

from protosocket import ConnectionOptions, errors, rpc


class Chaos(rpc.Service):
    """A request says ``ID TURNS ITEMS END``: how long to wait, how many items, and how it ends."""

    def __init__(self, kind: Kind, running: set[int]) -> None:
        self.kind = kind
        self.running = running

    def select(self, request: Any) -> Any:
        _, _, items, end = map(int, request.body.split())
        if end == 2:
            raise rpc.Rejected
        return self.stream if items else self.unary

    async def wait(self, request: Any) -> tuple[int, int]:
        number, turns, items, end = map(int, request.body.split())
        for turn in range(turns):
            await asyncio.sleep(0 if turn % 3 else 0.001)
        if end == 1:
            raise rpc.Rejected
        return number, items

    async def unary(self, request: Any) -> Any:
        key = id(asyncio.current_task())
        self.running.add(key)
        try:
            number, _ = await self.wait(request)
            return self.kind.make(b"%d" % number)
        finally:
            self.running.discard(key)

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        key = id(asyncio.current_task())
        self.running.add(key)
        try:
            number, items = await self.wait(request)
            for item in range(items):
                yield self.kind.make(b"%d %d" % (number, item))
                if item % 5 == 4:
                    await asyncio.sleep(0)
        finally:
            self.running.discard(key)


calls = st.fixed_dictionaries(
    {
        "turns": st.integers(0, 6),
        "items": st.sampled_from([0, 0, 0, 1, 7, 60]),
        "end": st.sampled_from([0, 0, 0, 0, 1, 2]),
        "timeout": st.sampled_from([None, None, None, 0.0, 0.001, 0.003, 5.0]),
        "cancel": st.sampled_from([None, None, None, 0, 1, 3, 8]),
        "leave": st.sampled_from([None, None, 1, 5]),
        "start": st.integers(0, 5),
    }
)


async def perform(client: rpc.Client[Any, Any], kind: Kind, number: int, plan: dict[str, Any]) -> str:
    """Make one call; how it ended."""
    for _ in range(plan["start"]):
        await asyncio.sleep(0)
    request = kind.make(b"%d %d %d %d" % (number, plan["turns"], plan["items"], plan["end"]))
    try:
        if not plan["items"]:
            answer = await client.unary(request, timeout=plan["timeout"])
            assert answer.body == b"%d" % number
        else:
            received = []
            async with contextlib.aclosing(client.stream(request, timeout=plan["timeout"])) as stream:
                async for item in stream:
                    received.append(item.body)
                    if len(received) == plan["leave"]:
                        break
            expected = min(plan["items"], plan["leave"] or plan["items"])
            assert received == [b"%d %d" % (number, at) for at in range(expected)]
        assert plan["end"] == 0
        return "answered"
    except rpc.CancelledRemotely:
        assert plan["end"]
        return "rejected"
    except rpc.DeadlineExceeded:
        assert plan["timeout"] is not None
        return "expired"
    except errors.ConnectionClosed:
        return "lost"


async def scenario(
    kind: Kind,
    plans: list[dict[str, Any]],
    drops: list[int],
    connections: int,
    limits: tuple[int, int, int],
) -> None:
    max_calls, queue, budget = limits
    options = ConnectionOptions(send_queue_messages=queue, read_budget_messages=budget)
    running: set[int] = set()
    async with rpc.serve(
        "tcp://127.0.0.1:0", lambda: Chaos(kind, running), kind.codec, max_calls=max_calls, options=options
    ) as server:
        async with rpc.connect(
            server.addresses[0], kind.codec, connections=connections, options=options
        ) as client:
            tasks = [asyncio.ensure_future(perform(client, kind, at, plan)) for at, plan in enumerate(plans)]

            async def cancel(task: asyncio.Future[str], turns: int) -> None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()

            async def drop(turns: int) -> None:
                for _ in range(turns):
                    await asyncio.sleep(0.0003)
                for connection in server.protocols:
                    connection.abort()

            async with asyncio.timeout(HANG):
                disturbers = [
                    asyncio.ensure_future(cancel(task, plan["cancel"]))
                    for task, plan in zip(tasks, plans, strict=True)
                    if plan["cancel"] is not None
                ] + [asyncio.ensure_future(drop(turns)) for turns in drops]
                results = await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*disturbers)
            for plan, result in zip(plans, results, strict=True):
                if isinstance(result, asyncio.CancelledError):
                    assert plan["cancel"] is not None
                else:
                    assert not isinstance(result, BaseException), result
                    assert result != "lost" or drops
            assert sum(each.in_flight for each in client.statistics()) == 0
            # The connections still work, or are made again.
            await until(lambda: client.connections == server.connections)
            await client.ready()
            for _ in range(connections):
                assert (await client.unary(kind.make(b"7 0 0 0"), timeout=HANG)).body == b"7"
            await until(lambda: not running)
            await until(lambda: not sum(each.statistics().in_flight for each in server.protocols))
        await until(lambda: server.connections == 0)


@pytest.mark.parametrize("loops", [uvloop, asyncio], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("kind", [KINDS["protobuf"], KINDS["native"]], ids=["protobuf", "native"])
@settings(
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    plans=st.lists(calls, min_size=1, max_size=40),
    drops=st.lists(st.integers(0, 8), max_size=2),
    connections=st.integers(1, 3),
    limits=st.sampled_from([(4096, 256, 1024), (1, 1, 1), (2, 16, 4), (50, 3, 2)]),
)
def test_every_call_ends_once(
    loops: Any,
    kind: Kind,
    plans: list[dict[str, Any]],
    drops: list[int],
    connections: int,
    limits: tuple[int, int, int],
) -> None:
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(scenario(kind, plans, drops, connections, limits))
