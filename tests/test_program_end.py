"""How a program ends that holds calls and connections: with its own exit code, and without a word."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from tests.patience import HANG

PEERS = """
import asyncio, atexit, os, sys, threading, time
import grpc, uvloop
from protosocket import grpc as over_protosocket, rpc
from tests.rpc_support import CODEC, message

class Held:
    "When the interpreter has begun to finalize, other threads get their turns."
    def __del__(self):
        for _ in range(20):
            time.sleep(0.005)

held = Held()

class Sleepy(rpc.Service):
    def select(self, request):
        return getattr(self, bytes(request.body).decode())

    async def quick(self, request):
        time.sleep(0.001)  # Other threads get their turns while a handler is called by native code.
        return request

    async def never(self, request):
        await asyncio.Event().wait()

    async def items(self, request):
        while True:
            yield message(b"item")
            await asyncio.sleep(0.001)

async def serve_grpc():
    async def quick(request, context):
        return request

    async def never(request, context):
        await asyncio.Event().wait()

    async def items(request, context):
        while True:
            yield b"item"
            await asyncio.sleep(0.001)

    async def echo(requests, context):
        async for request in requests:
            yield request

    kinds = {
        "Quick": grpc.unary_unary_rpc_method_handler(quick),
        "Never": grpc.unary_unary_rpc_method_handler(never),
        "Items": grpc.unary_stream_rpc_method_handler(items),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    server = over_protosocket.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.End", kinds),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
"""


def ends(program: str, *arguments: str, code: int = 0, flags: tuple[str, ...] = ()) -> str:
    """Run it to its end, which is quiet; what it printed."""
    source = PEERS + textwrap.dedent(program)
    # Since Python 3.12 a fork beside threads is warned of, which is not what these programs are about.
    quiet = ("-W", "ignore:This process:DeprecationWarning")
    command = [sys.executable, *quiet, *flags, "-c", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


DAEMON_LOOPS = """
up = threading.Semaphore(0)

async def main():
    async with rpc.serve("tcp://127.0.0.1:0", Sleepy, CODEC) as server:
        async with rpc.connect(server.addresses[0], CODEC) as client:
            async def work():
                while True:
                    await client.unary(message(b"quick"))
                    up.release()

            await asyncio.gather(*(work() for _ in range(20)))

def run():
    asyncio.Runner(loop_factory=new_event_loop).run(main())

new_event_loop = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
for _ in range(4):
    threading.Thread(target=run, daemon=True).start()
for _ in range(200):
    up.acquire()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_event_loops_in_daemon_threads(loop: str) -> None:
    for _ in range(3):
        ends(DAEMON_LOOPS, loop)


BLOCKING = """
class Service(threading.Thread):
    def run(self):
        uvloop.run(self.serve())

    async def serve(self):
        server, self.target = await serve_grpc()
        up.set()
        await server.wait_for_termination()

up = threading.Event()
service = Service(daemon=True)
service.start()
up.wait()
host, _, port = service.target.partition(":")
host = "localhost" if sys.argv[1] == "named" else host
channel = over_protosocket.sync_insecure_channel(f"{host}:{port}")
quick = channel.unary_unary("/test.End/Quick")
assert quick(b"1") == b"1"

def requests():
    while True:
        yield b"1"
        time.sleep(0.001)

def spin():
    while True:
        quick(b"1")

match sys.argv[1]:
    case "call":
        call = channel.unary_unary("/test.End/Never").future(b"")
    case "stream":
        stream = channel.unary_stream("/test.End/Items")(b"")
        next(stream)
    case "requests":
        stream = channel.stream_stream("/test.End/Echo")(requests())
        next(stream)
    case "subscribe":
        channel.subscribe(lambda state: None, True)
    case "callback":
        call = channel.unary_unary("/test.End/Never").future(b"", timeout=0.05)
        call.add_done_callback(lambda call: time.sleep(0.1))
    case "daemons":
        for _ in range(4):
            threading.Thread(target=spin, daemon=True).start()
        time.sleep(0.1)
    case "thread":
        def use():
            time.sleep(0.1)
            assert quick(b"2") == b"2"
            print("used")
        threading.Thread(target=use).start()
    case "atexit":
        atexit.register(channel.close)
    case "fork" | "named":
        stream = channel.unary_stream("/test.End/Items")(b"")
        next(stream)
        if pid := os.fork():
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert quick(b"3") == b"3"
"""


@pytest.mark.parametrize(
    "what",
    ["call", "stream", "requests", "subscribe", "callback", "daemons", "thread", "atexit", "fork", "named"],
)
def test_a_blocking_channel_that_is_open(what: str) -> None:
    assert ends(BLOCKING, what) == ("used\n" if what == "thread" else "")


CLOSED_LATE = """
import atexit
atexit.register(lambda: close())
"""


def test_a_blocking_channel_that_is_closed_after_its_thread_has_stopped() -> None:
    program = BLOCKING + textwrap.dedent(
        """
        def close():
            channel.close()
            try:
                quick(b"1")
            except ValueError as error:
                print(error)
        """
    )
    source = CLOSED_LATE + PEERS + program
    done = subprocess.run(
        [sys.executable, "-c", source, "stream"], capture_output=True, text=True, timeout=HANG, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Cannot invoke RPC on closed channel!\n"


HOLDING = """
import gc
import protosocket
from protosocket import codecs

new_event_loop = uvloop.new_event_loop if sys.argv[2] == "uvloop" else asyncio.new_event_loop
kept = []

async def forever(connection):
    async for each in connection:
        await connection.send(each)

async def hold_rpc(what):
    server = await rpc.serve("tcp://127.0.0.1:0", Sleepy, CODEC)
    client = await rpc.connect(server.addresses[0], CODEC)
    kept.extend([server, client])
    if what == "calls":
        kept.append(client.unary(message(b"never")).start())
        await asyncio.sleep(0.05)
        kept.append(client.unary(message(b"never")).start())
    else:
        stream = client.stream(message(b"items"))
        await anext(stream)
        kept.append(stream)

async def hold_stream():
    server = await protosocket.listen("tcp://127.0.0.1:0", codecs.Lines(), forever)
    connection = await protosocket.connect(server.addresses[0], codecs.Lines())
    await connection.send("a")
    assert await connection.receive() == "a"
    kept.extend([server, connection, aiter(connection)])

async def hold_grpc(what):
    server, target = await serve_grpc()
    channel = over_protosocket.insecure_channel(target if what != "connecting" else "127.0.0.1:1")
    kept.extend([server, channel])
    if what == "connecting":
        kept.append(channel.unary_unary("/test.End/Never")(b"", wait_for_ready=True))
        await asyncio.sleep(0.05)
        return
    assert await channel.unary_unary("/test.End/Quick")(b"1") == b"1"
    if what == "calls":
        kept.append(channel.unary_unary("/test.End/Never")(b"", timeout=100))
    else:
        async def requests():
            while True:
                yield b"1"
                await asyncio.sleep(0.001)

        for call in (
            channel.unary_stream("/test.End/Items")(b""),
            channel.stream_stream("/test.End/Echo")(requests()),
        ):
            await call.read()
            kept.append(call)
    await asyncio.sleep(0.05)

async def main():
    layer, _, what = sys.argv[1].partition(" ")
    await {"rpc": hold_rpc, "stream": hold_stream, "grpc": hold_grpc}[layer](*[what] if what else [])

match sys.argv[3]:
    case "run":
        asyncio.Runner(loop_factory=new_event_loop).run(main())
    case how:
        loop = new_event_loop()
        loop.run_until_complete(main())
        if how == "close":
            loop.close()
        if how == "forget":
            kept.clear()
            gc.collect()
"""


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "what", ["rpc calls", "rpc streams", "stream", "grpc calls", "grpc streams", "grpc connecting"]
)
def test_what_is_held(what: str, loop: str) -> None:
    for how in ["run", "leave", "close", "forget"]:
        ends(HOLDING, what, loop, how)


DRIVEN = """
async def main():
    server = await rpc.serve("tcp://127.0.0.1:0", Sleepy, CODEC)
    client = await rpc.connect(server.addresses[0], CODEC)
    asyncio.get_running_loop().set_task_factory(rpc.task_factory)
    for _ in range(2):
        await client.unary(message(b"quick"))

    async def work():
        await client.unary(message(b"quick"))
        await client.unary(message(b"never"))

    task = asyncio.get_running_loop().create_task(work())
    # asyncio's own complaint about tasks that a program leaves is not meant here.
    task._log_destroy_pending = False
    await asyncio.sleep(0.1)
    return server, client, task

loop = (uvloop if sys.argv[1] == "uvloop" else asyncio).new_event_loop()
kept = loop.run_until_complete(main())
loop.close()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_driven_task_that_is_left(loop: str) -> None:
    ends(DRIVEN, loop)
