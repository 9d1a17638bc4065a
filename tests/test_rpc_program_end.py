"""A program that ends without closing its servers: its handlers are cancelled, and clean up to the end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.patience import HANG
from tests.rpc_support import CODEC, Service, message, served, until
from tests.tricks import needs_tricks

from protosocket import rpc
from protosocket.errors import ConnectionClosed

PROGRAM = """
import asyncio, os, signal, sys
import grpc, msgspec, uvloop
import protosocket.grpc
from protosocket import rpc

class Message(msgspec.Struct, array_like=True):
    id: int = 0
    control: int = 0
    what: str = ""

codec = rpc.MessagePackCodec(send=Message, receive=Message, id="id", control="control")
started = []

async def waits(name):
    started.append(name)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        await asyncio.to_thread(int)
        print(name, flush=True)

class Served(rpc.Service):
    def select(self, request):
        return getattr(self, request.what)
    async def unary(self, request):
        await waits("unary")
    async def stream(self, request):
        yield Message()
        await waits("stream")
    async def writing(self, request):
        try:
            while True:
                yield Message(what="x" * 100_000)
        finally:
            await asyncio.sleep(0.01)
            print("writing", flush=True)

async def unary(request, context):
    await waits("grpc unary")
async def stream(request, context):
    yield b""
    await waits("grpc stream")
async def chat(requests, context):
    try:
        async for request in requests:
            yield b""
    finally:
        await asyncio.sleep(0.01)
        print("grpc chat", flush=True)

async def main(how):
    server = await rpc.serve("tcp://127.0.0.1:0", Served, codec)
    client = await rpc.connect(server.addresses[0], codec)
    calls = [client.unary(Message(what="unary")).start()]
    streams = [client.stream(Message(what=what)) for what in ("stream", "writing")]
    for each in streams:
        await anext(each)
    aio = protosocket.grpc.server()
    kinds = {
        "U": grpc.unary_unary_rpc_method_handler(unary),
        "S": grpc.unary_stream_rpc_method_handler(stream),
        "C": grpc.stream_stream_rpc_method_handler(chat),
    }
    aio.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", kinds),))
    port = aio.add_insecure_port("127.0.0.1:0")
    await aio.start()
    channel = protosocket.grpc.insecure_channel(f"127.0.0.1:{port}")
    calls.append(channel.unary_unary("/t.T/U")(b""))
    for path in ("unary_stream", "/t.T/S"), ("stream_stream", "/t.T/C"):
        made = getattr(channel, path[0])(path[1])(*([b""] if path[0] == "unary_stream" else []))
        if path[0] == "stream_stream":
            await made.write(b"")
        await made.read()
        calls.append(made)
    while len(started) < 4:
        await asyncio.sleep(0.001)
    if how == "raise":
        raise LookupError("mine")
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
    return server, client, streams, aio, channel, calls

run = {"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[1]]
try:
    run(main(sys.argv[2]))
except (LookupError, KeyboardInterrupt):
    pass
"""

EVERYTHING = {"unary", "stream", "writing", "grpc unary", "grpc stream", "grpc chat"}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )


@pytest.mark.parametrize("how", ["return", "raise", "interrupt"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_clean_up_of_every_kind_of_handler_runs_to_its_end(loop: str, how: str) -> None:
    ended = run(PROGRAM, loop, how)
    assert set(ended.stdout.splitlines()) == EVERYTHING, ended.stderr
    assert ended.returncode == 0
    assert ended.stderr == ""


def test_an_event_loop_that_is_closed_with_handlers_left_says_nothing() -> None:
    """Nobody cancels tasks there, and nobody is warned of one that they did not make."""
    program = """
    import asyncio, gc, logging
    from protosocket import rpc
    from tests.rpc_support import CODEC, Service, message

    logging.basicConfig()

    async def main():
        server = await rpc.serve("tcp://127.0.0.1:0", Service, CODEC)
        client = await rpc.connect(server.addresses[0], CODEC)
        await client.ready()
        call = client.unary(message(b"wait for-ever")).start()
        while not [each for each in server.protocols if each.statistics().in_flight]:
            await asyncio.sleep(0)
        return server, client, call

    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(main())
    loop.close()
    loop = None
    """
    ended = run(program)
    assert "protosocket handlers" not in ended.stderr
    assert "never awaited" not in ended.stderr
    assert "destroyed" not in ended.stderr


async def test_what_cancels_all_tasks_cancels_handlers_whose_callers_hear_of_it() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        call = client.unary(message(b"wait x")).start()
        await until(lambda: service.running)
        await cancel_all_tasks()
        with pytest.raises(rpc.CancelledRemotely):
            await call
        assert service.notes == ["connected", "cancelled x", "disconnected"]
        # Who goes on after that serves as before.
        assert (await client.unary(message(b"echo again"))).body == b"echo again"
        await client.ready()
        other = client.unary(message(b"wait y")).start()
        await until(lambda: service.running)
        await cancel_all_tasks()
        with pytest.raises(rpc.CancelledRemotely):
            await other


async def cancel_all_tasks(*others: Any) -> None:
    """What programs end with that do so by hand; ``others`` are left."""
    tasks = asyncio.all_tasks() - {asyncio.current_task(), *others}
    for each in tasks:
        each.cancel()
    async with asyncio.timeout(HANG):
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_waits_for_all_tasks_waits_for_the_calls_and_no_longer() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        assert asyncio.all_tasks() == {asyncio.current_task()}
        call = client.unary(message(b"wait x")).start()
        await until(lambda: service.running)
        asyncio.get_running_loop().call_later(0.05, service.open, "x")
        async with asyncio.timeout(HANG):
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        assert (await call).body == b"wait x"
        assert asyncio.all_tasks() == {asyncio.current_task()}


@needs_tricks("each handler has a task of its own")
async def test_a_task_is_there_once_for_any_number_of_calls_and_leaves_with_the_server() -> None:
    made: list[Any] = []
    asyncio.get_running_loop().set_task_factory(
        lambda loop, coro, **given: made.append(coro) or asyncio.Task(coro, loop=loop, **given)  # type: ignore[func-returns-value]
    )
    async with served() as (url, service):
        async with rpc.connect(url, CODEC, connections=3) as client:
            await client.ready()
            calls = [client.unary(message(b"wait x")).start() for _ in range(30)]
            await until(lambda: service.running == 30)
            (task,) = asyncio.all_tasks() - {asyncio.current_task()}
            assert task.get_name() == "protosocket handlers"
            service.open("x")
            await asyncio.gather(*calls)
            made_by_calls = [each for each in made if "handlers" in repr(each)]
            assert made_by_calls == []
        await until(lambda: not service.running)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_a_call_that_begins_while_the_last_connection_with_calls_ends_is_not_cancelled() -> None:
    async with served() as (url, service):
        for turns in range(12):

            def both_began(turns: int = turns) -> bool:
                return service.started == 2 * turns + 2

            async with rpc.connect(url, CODEC) as stays:
                await stays.ready()
                leaves = await rpc.connect(url, CODEC)
                call = leaves.unary(message(b"wait a%d" % turns)).start()
                await until(lambda: service.running)
                service.open(f"a{turns}")
                await call
                closing = asyncio.create_task(leaves.close())
                for _ in range(turns):
                    await asyncio.sleep(0)
                other = stays.unary(message(b"wait b%d" % turns)).start()
                await closing
                await until(both_began)
                service.open(f"b{turns}")
                assert (await other).body == b"wait b%d" % turns


@needs_tricks("each handler has a task of its own")
async def test_the_task_that_stands_for_handlers_leaves_soon_and_comes_again() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        for name in "ab":
            call = client.unary(message(f"wait {name}".encode())).start()
            await until(lambda: service.running)
            assert len(asyncio.all_tasks()) == 2
            service.open(name)
            await call
            await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_nothing_is_held_of_a_connection_that_has_ended() -> None:
    server = await rpc.serve("tcp://127.0.0.1:0", Service, CODEC)
    client = await rpc.connect(server.addresses[0], CODEC)
    call = client.unary(message(b"wait x")).start()
    async with asyncio.timeout(HANG):
        while not [each for each in server.protocols if each.statistics().in_flight]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    (protocol,) = server.protocols
    known: list[Any] = [weakref.ref(protocol), weakref.ref(protocol.service)]
    call.cancel()
    await client.close()
    await server.close()
    del call, client, server, protocol
    await asyncio.sleep(0)
    gc.collect()
    assert [each() for each in known] == [None, None]


async def test_calls_that_come_while_all_tasks_end_are_not_waited_for() -> None:
    class Slow(rpc.Service):
        async def unary(self, request: Any) -> Any:
            entered.append(request)
            try:
                await asyncio.Event().wait()
            finally:
                await gate.wait()

    entered: list[Any] = []
    gate = asyncio.Event()
    async with (
        rpc.serve("tcp://127.0.0.1:0", Slow, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as first,
        rpc.connect(server.addresses[0], CODEC) as second,
    ):
        await first.ready()
        call = first.unary(message()).start()
        await until(lambda: entered)
        await second.ready()
        ending = asyncio.create_task(cancel_all_tasks(asyncio.current_task()))
        await asyncio.sleep(0.01)
        # On a connection whose handlers are cancelled, and on one that had none.
        with pytest.raises(rpc.RpcError):
            await first.unary(message())
        with pytest.raises(ConnectionClosed):
            await second.unary(message())
        gate.set()
        await ending
        with pytest.raises(rpc.RpcError):
            await call


@needs_tricks("who cancels all tasks cancels handlers that clean up")
async def test_a_stream_handler_of_one_connection_that_is_gone_is_waited_for() -> None:
    notes: list[str] = []
    gate = asyncio.Event()

    class Late(rpc.Service):
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            try:
                yield message()
                await asyncio.Event().wait()
            finally:
                notes.append("ending")
                await gate.wait()
                notes.append("ended")

    async with rpc.serve("tcp://127.0.0.1:0", Late, CODEC) as server:
        client = await rpc.connect(server.addresses[0], CODEC)
        await anext(client.stream(message()))
        for each in server.protocols:
            each.abort()
        await until(lambda: notes == ["ending"])
        asyncio.get_running_loop().call_later(0.01, gate.set)
        await cancel_all_tasks()
        assert notes == ["ending", "ended"]
        await client.close()


def test_a_process_that_serves_ends_at_ctrl_c_although_clients_go_on_calling() -> None:
    program = """
    import asyncio
    from protosocket import rpc
    from tests.rpc_support import CODEC, Service

    async def main():
        async with rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server:
            print(server.addresses[0], flush=True)
            held = await rpc.serve("tcp://127.0.0.1:0", Service, CODEC)
            print(held.addresses[0], flush=True)
            await asyncio.Event().wait()
    asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        _, url = process.stdout.readline(), process.stdout.readline().strip()

        async def storm() -> None:
            async def caller() -> None:
                async with rpc.connect(url, CODEC) as client:
                    while process.poll() is None:
                        try:
                            await client.unary(message(b"wait for-ever"), timeout=0.05)
                        except Exception:
                            await asyncio.sleep(0)

            async with asyncio.timeout(HANG), asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(caller())
                await asyncio.sleep(0.3)
                os.kill(process.pid, signal.SIGINT)

        asyncio.run(storm())
        _, errors = process.communicate(timeout=HANG)
        assert "KeyboardInterrupt" in errors
        assert "destroyed" not in errors
