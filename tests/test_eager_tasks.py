"""Clients and channels where tasks begin at once, as ``asyncio.eager_task_factory`` has it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.patience import HANG
from tests.rpc_support import CODEC, message, served

import protosocket.grpc
from protosocket import TLS, rpc
from protosocket.errors import ConnectError, Error, OptionError


def eager_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **given: Any) -> Any:
    """What ``asyncio.eager_task_factory`` of Python 3.12 gives, as far as it ends without waiting."""
    done = loop.create_future()
    try:
        first = coroutine.send(None)
    except StopIteration as end:
        done.set_result(end.value)
        return done
    except Exception as error:
        done.set_exception(error)
        return done

    async def rest() -> Any:
        turn: Any = first
        step: Any
        given_back: BaseException | None
        while True:
            try:
                if turn is not None:
                    turn._asyncio_future_blocking = False  # noqa: SLF001 - as tasks do
                await (asyncio.sleep(0) if turn is None else turn)
            except BaseException as error:
                step, given_back = coroutine.throw, error
            else:
                step, given_back = coroutine.send, None
            try:
                turn = step(given_back)
            except StopIteration as end:
                return end.value

    return asyncio.Task(rest(), loop=loop, **given)


def begin_at_once() -> None:
    """From now on the tasks of the running event loop do."""
    real: Any = getattr(asyncio, "eager_task_factory", eager_task)

    def factory(loop: Any, coroutine: Any, **given: Any) -> Any:
        # uvloop says it to every factory; asyncio's own takes it since Python 3.14.
        given.pop("eager_start", None)
        return real(loop, coroutine, **given)

    asyncio.get_running_loop().set_task_factory(factory)


async def test_a_connection_that_fails_at_once_is_an_error_each_time(tmp_path: Path) -> None:
    begin_at_once()
    for url, tls, kind in (
        ("memory://nobody", None, ConnectError),
        (f"unix://{tmp_path}/nobody", None, ConnectError),
        ("tls://127.0.0.1:1", TLS(ca=tmp_path / "nothing"), OptionError),
    ):
        async with asyncio.timeout(HANG), rpc.connect(url, CODEC, tls=tls) as client:
            for _ in range(2):
                with pytest.raises(kind):
                    await client.unary(message())


async def test_a_client_connects_when_somebody_listens_at_last() -> None:
    begin_at_once()
    async with rpc.connect("memory://late", CODEC) as client:
        with pytest.raises(Error):
            await client.unary(message())
        async with served(url="memory://late"), asyncio.timeout(HANG):
            assert (await client.unary(message(b"echo a"))).body == b"echo a"


@pytest.mark.parametrize("address", ["memory://eager", "127.0.0.1:0"])
async def test_grpc_calls(address: str) -> None:
    begin_at_once()

    async def echo(requests: Any, context: Any) -> Any:
        async for request in requests:
            yield request

    server = protosocket.grpc.server()
    handlers: Any = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    port = server.add_insecure_port(address)
    async with protosocket.grpc.insecure_channel(address.replace(":0", f":{port}")) as channel:
        call: Any = channel.stream_stream("/t.T/Echo")
        async with asyncio.timeout(HANG):
            with pytest.raises(grpc.aio.AioRpcError):
                [each async for each in call(iter([b"1"]))]
            await server.start()
            assert [each async for each in call(iter([b"1", b"2"]), wait_for_ready=True)] == [b"1", b"2"]
            await server.stop(None)
