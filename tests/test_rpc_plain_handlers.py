"""With PROTOSOCKET_PLAIN_ASYNCIO each handler runs in a task of asyncio's own, and all else is as ever."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from tests.patience import HANG

PROGRAM = """
import asyncio, contextvars
import grpc
import protosocket.grpc
from protosocket import rpc
from tests.grpc_raw import connect, service
from tests.rpc_support import CODEC, message

END = 2
made = []
variable = contextvars.ContextVar("variable", default="outside")

def factory(loop, coroutine, **options):
    made.append(coroutine)
    return asyncio.Task(coroutine, loop=loop, **options)

class Served(rpc.Service):
    def select(self, request):
        return getattr(self, request.body.decode())

    async def unary(self, request):
        task = asyncio.current_task()
        assert type(task) is asyncio.Task and task.get_name().startswith("protosocket-rpc-"), task
        assert variable.get() == "served"
        variable.set("inside")
        await asyncio.sleep(0)
        assert variable.get() == "inside"
        return message(b"done")

    def function(self, request):
        assert asyncio.current_task() is None
        assert variable.get() == "served"
        return message(b"at once")

    async def stream(self, request):
        for number in range(3):
            yield message(b"%d" % number)

    async def fails(self, request):
        raise LookupError("on purpose")

async def collect(requests, context):
    return b"".join([request async for request in requests])

async def main():
    asyncio.get_running_loop().set_task_factory(factory)
    variable.set("served")
    server = await rpc.serve("tcp://127.0.0.1:0", Served, CODEC)
    async with server, rpc.connect(server.addresses[0], CODEC) as client:
        await client.ready()
        made.clear()
        assert (await client.unary(message(b"function"))).body == b"at once"
        assert made == [], made
        assert (await client.unary(message(b"unary"))).body == b"done"
        assert [each.__name__ for each in made] == ["unary"], made
        assert [each.body async for each in client.stream(message(b"stream"))] == [b"0", b"1", b"2"]
        try:
            await client.unary(message(b"fails"))
        except rpc.CancelledRemotely:
            print("refused")
    await streams_in_one_read()

async def streams_in_one_read():
    server = protosocket.grpc.server(handlers=[service(collect=("stream_unary", collect))])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await connect(port)
    await client.greet()
    client.send(id=1, method=1, path="/raw.Test/collect", streams=True)
    for number in range(5):
        client.send(id=1, payload=b"%d" % number)
    client.send(id=1, control=END)
    while (answer := await client.receive()).id != 1:
        pass
    assert answer.payload == b"01234", answer
    await client.close()
    await server.stop(0)

asyncio.run(main())
"""


def test_handlers_run_in_asyncios_own_tasks() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env=os.environ | {"PROTOSOCKET_PLAIN_ASYNCIO": "1"},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr
    # The traceback of the handler, and nothing of ours.
    assert "LookupError: on purpose" in ended.stderr
    assert "never retrieved" not in ended.stderr
