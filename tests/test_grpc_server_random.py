"""Envelopes in any order with any content: the server refuses or answers, and goes on serving others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.grpc_raw import Hello, Metadatum, Status, connect, service

import protosocket.grpc

PATHS = ("/raw.Test/echo", "/raw.Test/talk", "/raw.Test/wait", "/raw.Test/nothing", "")


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def talk(requests: Any, context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def wait(request: bytes, context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


fields = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 3),
        "control": st.integers(0, 3),
        "payload": st.binary(max_size=50),
        "method": st.integers(0, 4),
        "path": st.sampled_from(PATHS),
        "timeout_ms": st.sampled_from([0, 1, 2**63, 2**64 - 1]),
        "timeout_us": st.sampled_from([0, 1, 2**64 - 1]),
        "metadata": st.lists(st.builds(Metadatum, key=st.text(max_size=5), value=st.binary(max_size=5))),
        "status": st.builds(Status, code=st.integers(0, 2**32 - 1), details=st.text(max_size=5)),
        "call": st.integers(0, 3),
        "credit": st.sampled_from([0, 1, 2**64 - 1]),
        "hello": st.builds(Hello, version=st.integers(0, 2), window=st.sampled_from([0, 1, 2**64 - 1])),
        "ping": st.integers(0, 2),
        "pong": st.integers(0, 2),
        "going_away": st.booleans(),
    },
)


@settings(max_examples=150, deadline=None)
@given(greets=st.booleans(), messages=st.lists(fields, max_size=12))
def test_any_messages(greets: bool, messages: list[dict[str, Any]]) -> None:
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        handlers = service(
            echo=("unary_unary", echo), talk=("stream_stream", talk), wait=("unary_unary", wait)
        )
        server = protosocket.grpc.server(handlers=[handlers])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        wild, tame = await connect(port), await connect(port)
        if greets:
            await wild.greet()
        for message in messages:
            wild.send(**message)
        await wild.writer.drain()
        await tame.greet()
        tame.send(id=1, method=1, path="/raw.Test/echo", payload=b"still there")
        assert (await tame.receive()).payload == b"still there"
        await wild.close()
        await tame.close()
        await server.stop(None)

    uvloop.run(run())
    assert complaints == []
