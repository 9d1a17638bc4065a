"""Random calls, made over grpc.aio and over protosocket.grpc: both end the same way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.grpc_parity.handlers import Context
from tests.grpc_parity.world import KINDS, Joined, World
from tests.patience import HANG

from protosocket import grpc as over_protosocket

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True)
class Script:
    """What the handler of a call does, and what its caller sends."""

    kind: str
    requests: tuple[bytes, ...]
    metadata: Metadata
    initial: Metadata | None
    """Sent before the first answer; ``None``: not at all."""
    answers: tuple[bytes, ...]
    read_first: bool
    """Whether the handler reads its requests before it answers, or after."""
    trailing: Metadata
    set_code: grpc.StatusCode | None
    end: str
    """How the handler ends: it returns, aborts or raises."""
    details: str


@dataclass(frozen=True)
class Outcome:
    """What the caller and the handler saw."""

    answers: list[bytes]
    code: grpc.StatusCode
    details: str
    initial: Metadata
    trailing: Metadata
    requests: list[bytes]
    metadata: Metadata


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=12).map("x".__add__)
# What gRPC's wire, which is HTTP/2, keeps as it is.
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
texts_entries = st.tuples(names.filter(lambda name: not name.endswith("-bin")), texts)
binary_entries = st.tuples(names.map(lambda name: f"{name}-bin"), st.binary(max_size=40))
# Order is kept among entries of one name.
metadata = st.lists(texts_entries | binary_entries, max_size=4).map(
    lambda entries: tuple(sorted(entries, key=lambda entry: entry[0]))
)
messages = st.lists(st.binary(max_size=300) | st.just(bytes(70_000)), max_size=6).map(tuple)
scripts = st.builds(
    Script,
    kind=st.sampled_from(KINDS),
    requests=messages,
    metadata=metadata,
    initial=st.none() | metadata,
    answers=messages,
    read_first=st.booleans(),
    trailing=metadata,
    set_code=st.none() | st.sampled_from(list(grpc.StatusCode)),
    end=st.sampled_from(["return", "abort", "raise"]),
    details=st.text(max_size=30),
)


class Acting:
    """A server whose handlers act as a script says; one call at a time."""

    def __init__(self) -> None:
        self.script: Script
        self.seen: list[bytes] = []
        self.metadata: Metadata = ()

    async def _read(self, requests: Any) -> None:
        if isinstance(requests, bytes):
            self.seen = [requests]
        else:
            async for request in requests:
                self.seen.append(request)

    async def _begin(self, requests: Any, context: Context) -> None:
        self.seen = []
        entries = context.invocation_metadata()
        self.metadata = tuple((key, value) for key, value in entries if key.startswith("x"))
        if self.script.initial is not None:
            await context.send_initial_metadata(self.script.initial)
        if self.script.read_first:
            await self._read(requests)

    async def _end(self, requests: Any, context: Context) -> None:
        if not self.script.read_first:
            await self._read(requests)
        context.set_trailing_metadata(self.script.trailing)
        if self.script.end == "abort":
            await context.abort(grpc.StatusCode.ABORTED, self.script.details)
        if self.script.end == "raise":
            raise ValueError(self.script.details)
        if self.script.set_code is not None:
            context.set_code(self.script.set_code)
            context.set_details(self.script.details)

    async def one(self, requests: Any, context: Context) -> bytes:
        await self._begin(requests, context)
        await self._end(requests, context)
        return b"".join(self.script.answers)

    async def many(self, requests: Any, context: Context) -> AsyncIterator[bytes]:
        await self._begin(requests, context)
        for answer in self.script.answers:
            yield answer
        await self._end(requests, context)


class Stage:
    """A server and a channel of one of the two, and the actor behind them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actor = Acting()
        self._joined: Joined

    async def open(self) -> None:
        one, many = self._actor.one, self._actor.many
        self._joined = await self._world.join(
            unary_unary=one, unary_stream=many, stream_unary=one, stream_stream=many
        )

    async def close(self) -> None:
        await self._world.end()

    async def play(self, script: Script) -> Outcome:
        self._actor.script = script
        make = getattr(self._joined, script.kind)
        request = iter(script.requests) if script.kind.startswith("stream") else b"".join(script.requests)
        call = make(request, metadata=script.metadata, timeout=HANG)
        answers = []
        try:
            if script.kind.endswith("stream"):
                async for answer in call:
                    answers.append(answer)  # noqa: PERF401 - what came before an error counts
            else:
                answers.append(await call)
        except grpc.aio.AioRpcError as error:
            raised = (error.code(), error.details())
            assert raised == (await call.code(), await call.details())
        return Outcome(
            answers,
            await call.code(),
            await call.details(),
            tuple(await call.initial_metadata()),
            tuple(await call.trailing_metadata()),
            self._actor.seen,
            self._actor.metadata,
        )


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[asyncio.Runner, Stage, Stage]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        real, ours = Stage(World("grpc.aio", grpc.aio)), Stage(World("protosocket", over_protosocket))
        for stage in (real, ours):
            runner.run(stage.open())
        yield runner, real, ours
        for stage in (real, ours):
            runner.run(stage.close())


@given(script=scripts)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_random_calls_end_the_same_way(stages: tuple[asyncio.Runner, Stage, Stage], script: Script) -> None:
    runner, real, ours = stages
    assert runner.run(ours.play(script)) == runner.run(real.play(script))
