"""What a handler may do: everything a task of asyncio or anyio may, without being one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import textwrap
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import sniffio
from tests.oracle.header import Control, Header
from tests.patience import HANG
from tests.rpc_support import CODEC, Service, message, raw_client, until
from tests.tricks import needs_tricks

from protosocket import rpc
from protosocket._core import PLAIN_ASYNCIO

pytestmark = pytest.mark.every_loop

Body = Callable[[Any], Awaitable[Any]]


async def run(*bodies: Body) -> list[Any]:
    """Run each body as a handler, all at once; what they returned, or ``CancelledRemotely``."""
    results: dict[bytes, Any] = {}

    class Bodies(rpc.Service):
        async def unary(self, request: Any) -> Any:
            results[request.body] = await bodies[int(request.body)](request)
            return message(b"done")

    async with (
        rpc.serve("tcp://127.0.0.1:0", Bodies, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
        asyncio.timeout(HANG),
    ):
        calls = [client.unary(message(b"%d" % at)) for at in range(len(bodies))]
        for at, answer in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
            if isinstance(answer, BaseException):
                assert isinstance(answer, rpc.CancelledRemotely), answer
                results[b"%d" % at] = answer
    return [results[b"%d" % at] for at in range(len(bodies))]


def task() -> Any:
    """The current task, which a handler's is in all but its type."""
    return asyncio.current_task()


async def sleeps(request: Any) -> str:
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    for _ in range(10):
        await asyncio.sleep(0)
    return "slept"


async def times_out(request: Any) -> str:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    except TimeoutError:
        return f"timed out, {task().cancelling()}"
    return "?"


async def times_out_at_once(request: Any) -> str:
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(10)
    except TimeoutError:
        return f"timed out, {task().cancelling()}"
    return "?"


async def waits_for(request: Any) -> str:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    return await asyncio.wait_for(asyncio.sleep(0, "result"), HANG)


async def groups(request: Any) -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(5)]
    return [each.result() for each in tasks]


async def groups_that_fail(request: Any) -> str:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(10)
    except* LookupError:
        pass
    await asyncio.sleep(0)
    return f"failed, {task().cancelling()}"


async def gathers(request: Any) -> list[Any]:
    return [*await asyncio.gather(asyncio.sleep(0.001, 1), asyncio.sleep(0, 2), asyncio.to_thread(lambda: 3))]


async def shields(request: Any) -> str:
    inner = asyncio.ensure_future(asyncio.sleep(0.01, "finished"))
    try:
        async with asyncio.timeout(0.001):
            await asyncio.shield(inner)
    except TimeoutError:
        return await inner
    return "?"


async def uses_an_executor(request: Any) -> int:
    return await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2, 3])


async def locks(request: Any) -> str:
    condition = asyncio.Condition()

    async def notify() -> None:
        async with condition:
            condition.notify_all()

    async with condition:
        notifier = asyncio.ensure_future(notify())
        await condition.wait()
    await notifier
    return "notified"


async def cancels_itself(request: Any) -> str:
    task().cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await asyncio.sleep(10)
    assert task().cancelling() == 1
    assert task().uncancel() == 0
    await asyncio.sleep(0)
    return "went on"


async def takes_a_cancellation_back(request: Any) -> str:
    task().cancel()
    assert task().uncancel() == 0
    await asyncio.sleep(0)
    return "nothing happened"


async def is_a_task(request: Any) -> bool:
    me = task()
    assert id(me) == id(asyncio.current_task())
    assert not me.done()
    assert not me.cancelled()
    assert me.get_coro() is not None
    assert me.get_loop() is asyncio.get_running_loop()
    assert "rpc" in me.get_name()
    me.set_name("mine")
    await asyncio.sleep(0)
    assert me is task()
    assert me.get_name() == "mine"
    if not PLAIN_ASYNCIO or sys.version_info >= (3, 12):
        assert me.get_context() is not None
    return True


async def cancel_scope(request: Any) -> str:
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(10)
    assert scope.cancelled_caught
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep(10)
    assert scope.cancelled_caught
    await anyio.lowlevel.checkpoint()
    return f"{task().cancelling()}"


async def fails_after(request: Any) -> str:
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await anyio.sleep_forever()
    return await anyio.to_thread.run_sync(lambda: "from a thread")


async def anyio_group(request: Any) -> list[int]:
    results = []

    async def add(number: int) -> None:
        await anyio.sleep(0.001)
        results.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(add, number)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        group.cancel_scope.cancel()
    return sorted(results)


async def library(request: Any) -> str:
    first = sniffio.current_async_library()
    await asyncio.sleep(0)
    return first + " " + sniffio.current_async_library()


EXPECTED: dict[Body, Any] = {
    sleeps: "slept",
    times_out: "timed out, 0",
    times_out_at_once: "timed out, 0",
    waits_for: "result",
    groups: [0, 1, 2, 3, 4],
    groups_that_fail: "failed, 0",
    gathers: [1, 2, 3],
    shields: "finished",
    uses_an_executor: 6,
    locks: "notified",
    cancels_itself: "went on",
    takes_a_cancellation_back: "nothing happened",
    is_a_task: True,
    cancel_scope: "0",
    fails_after: "from a thread",
    anyio_group: [0, 1, 2],
    library: "asyncio asyncio",
}
if PLAIN_ASYNCIO and sys.version_info < (3, 13):
    # asyncio's own tasks learned only then to take a cancellation back before it is raised.
    del EXPECTED[takes_a_cancellation_back]


@pytest.mark.parametrize(
    ("body", "expected"), EXPECTED.items(), ids=lambda each: getattr(each, "__name__", "")
)
async def test_what_a_handler_may_do(body: Body, expected: Any) -> None:
    assert await run(body) == [expected]


async def test_all_of_it_at_once() -> None:
    assert await run(*EXPECTED, *EXPECTED) == [*EXPECTED.values(), *EXPECTED.values()]


async def test_a_cancelled_scope_of_a_group_in_a_cancelled_call() -> None:
    notes: list[str] = []

    class Grouped(Service):
        async def do_group(self, request: Any) -> Any:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.child())
                    await asyncio.sleep(10)
            finally:
                notes.append("group left")

        async def child(self) -> None:
            try:
                await asyncio.sleep(10)
            finally:
                notes.append("child left")

        async def do_anyio(self, request: Any) -> Any:
            async with anyio.create_task_group() as group:
                group.start_soon(self.child)
                await anyio.sleep(10)

    async with (
        rpc.serve("tcp://127.0.0.1:0", Grouped, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        for body in (b"group", b"anyio"):
            with pytest.raises(rpc.DeadlineExceeded):
                await client.unary(message(body), timeout=0.05)
        await until(lambda: sorted(notes) == ["child left", "child left", "group left"])


async def test_cancelling_itself_without_waiting_is_a_cancellation(caplog: pytest.LogCaptureFixture) -> None:
    async def cancels(request: Any) -> str:
        task().cancel()
        return "unheard"

    async def fine(request: Any) -> int:
        return int(task().cancelling())

    first, *others = await run(cancels, fine, fine)
    assert isinstance(first, rpc.CancelledRemotely) or first == "unheard"
    assert others == [0, 0]
    assert not caplog.records


async def test_each_handler_has_a_task_of_its_own() -> None:
    kept: list[Any] = []
    references: list[weakref.ref[Any]] = []

    async def keeps(request: Any) -> int:
        kept.append(task())
        return id(task())

    async def refers(request: Any) -> int:
        references.append(weakref.ref(task()))
        return id(task())

    async def names(request: Any) -> str:
        before = task().get_name()
        task().set_name("secret")
        return str(before)

    results = await run(keeps, keeps, refers, refers, names, names)
    assert len(set(map(id, kept))) == 2
    assert all(each.done() for each in kept)
    assert references[0]() is None or references[0]() is not references[1]()
    assert "secret" not in results


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


async def test_context_variables_are_each_handlers_own() -> None:
    async def sets_and_returns(request: Any) -> str:
        before = variable.get()
        variable.set("mine")
        return before

    async def sets_and_waits(request: Any) -> str:
        before = variable.get()
        variable.set(f"set by {request.body!r}")
        await asyncio.sleep(0.001)
        assert variable.get() == f"set by {request.body!r}"
        async with asyncio.timeout(HANG):
            await asyncio.sleep(0)
        assert variable.get() == f"set by {request.body!r}"
        return before

    variable.set("the server's")
    results = await run(*[sets_and_returns, sets_and_waits] * 20)
    assert results == ["the server's"] * 40
    assert variable.get() == "the server's"


async def test_context_variables_of_ordinary_functions_and_after_max_calls() -> None:
    seen: list[str] = []

    class Sets(rpc.Service):
        def select(self, request: Any) -> Any:
            seen.append(variable.get())
            variable.set("selected")
            return self.waits if request.body == b"wait" else self.at_once

        def at_once(self, request: Any) -> Any:
            seen.append(variable.get())
            variable.set("at once")
            return message()

        async def waits(self, request: Any) -> Any:
            seen.append(variable.get())
            variable.set("waits")
            await asyncio.sleep(0)
            return message()

    async with (
        rpc.serve("tcp://127.0.0.1:0", Sets, CODEC, max_calls=1) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        await asyncio.gather(*(client.unary(message(body)) for body in [b"wait", b""] * 5))
    assert seen == ["nothing", "selected"] * 10


@needs_tricks("each handler has a task of its own")
async def test_a_handler_costs_no_task() -> None:
    made: list[Any] = []
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **settings: Any) -> Any:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **settings)

    async def waits(request: Any) -> int:
        await asyncio.sleep(0.001)
        return 1

    async def at_once(request: Any) -> int:
        return 2

    class Bodies(rpc.Service):
        async def unary(self, request: Any) -> Any:
            await (waits if request.body else at_once)(request)
            return message()

    async with (
        rpc.serve("tcp://127.0.0.1:0", Bodies, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        await client.ready()
        loop.set_task_factory(factory)
        for body in (b"", b"wait"):
            await client.unary(message(body))
        loop.set_task_factory(None)
        assert made == []


async def test_awaitables_that_are_no_coroutines() -> None:
    loop = asyncio.get_running_loop()

    class Awaitable:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0.001).__await__()
            return message(b"awaitable")

    class Items:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Items:
            return self

        async def __anext__(self) -> Any:
            await asyncio.sleep(0)
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return message(b"%d" % self.left)

    class Odd(rpc.Service):
        def select(self, request: Any) -> Any:
            return getattr(self, request.body.decode())

        def future(self, request: Any) -> Any:
            future = loop.create_future()
            loop.call_soon(future.set_result, message(b"future"))
            return future

        def task(self, request: Any) -> Any:
            return asyncio.ensure_future(asyncio.sleep(0, message(b"task")))

        def awaitable(self, request: Any) -> Any:
            return Awaitable()

        def items(self, request: Any) -> Any:
            return Items()

    async with (
        rpc.serve("tcp://127.0.0.1:0", Odd, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        for name in (b"future", b"task", b"awaitable"):
            assert (await client.unary(message(name))).body == name
        assert [item.body async for item in client.stream(message(b"items"))] == [b"1", b"0"]


async def test_what_cannot_be_awaited(caplog: pytest.LogCaptureFixture) -> None:
    class Yields:
        def __await__(self) -> Any:
            yield 5

    async def yields(request: Any) -> Any:
        await Yields()

    async def foreign(request: Any) -> Any:
        other = asyncio.new_event_loop()
        try:
            await other.create_future()
        finally:
            other.close()

    results = await run(yields, foreign)
    assert all(isinstance(result, rpc.CancelledRemotely) for result in results)
    # asyncio's own tasks say so in other words.
    assert ("bad yield" if PLAIN_ASYNCIO else "not an asyncio future") in caplog.text
    assert ("different loop" if PLAIN_ASYNCIO else "another event loop") in caplog.text


async def test_an_async_generators_cleanup_may_wait() -> None:
    notes: list[str] = []

    class Streams(rpc.Service):
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            try:
                while True:
                    yield message()
                    await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0.001)
                notes.append("cleaned up")

    async with (
        rpc.serve("tcp://127.0.0.1:0", Streams, CODEC) as server,
        raw_client(server.addresses[0]) as peer,
    ):
        peer.send(1)
        await peer.receive()
        peer.send(1, 1)
        await until(lambda: notes)
        while (await peer.receive())[0] != Header(1, Control.CANCEL):
            pass


async def test_nothing_is_left_of_ended_connections() -> None:
    references: list[weakref.ref[Any]] = []

    class Kept(Service):
        def connected(self) -> None:
            references.append(weakref.ref(self))

    async with rpc.serve("tcp://127.0.0.1:0", Kept, CODEC) as server:
        for _ in range(5):
            async with rpc.connect(server.addresses[0], CODEC) as client:
                await asyncio.gather(*(client.unary(message(b"echo")) for _ in range(10)))
                calls = [asyncio.ensure_future(client.unary(message(b"wait x"))) for _ in range(3)]
                stream = client.stream(message(b"endless"))
                await anext(stream)
                references += [weakref.ref(protocol) for protocol in server.protocols]
                references.append(weakref.ref(client))
            await asyncio.gather(*calls, return_exceptions=True)
            await stream.aclose()
            del client, calls, stream
            await until(lambda: server.connections == 0)
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        gc.collect()
        assert len(references) == 15
        assert [reference() for reference in references if reference() is not None] == []


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "SystemExit"])
def test_what_stops_the_program_stops_it(stop: str, waits: bool) -> None:
    program = textwrap.dedent(f"""
        import asyncio
        from protosocket import rpc
        from tests.rpc_support import CODEC, message

        class Stops(rpc.Service):
            async def unary(self, request):
                if {waits}:
                    await asyncio.sleep(0)
                raise {stop}

        async def main():
            async with rpc.serve("tcp://127.0.0.1:0", Stops, CODEC) as server:
                async with rpc.connect(server.addresses[0], CODEC) as client:
                    try:
                        await client.unary(message())
                    except rpc.CancelledRemotely:
                        await asyncio.sleep(5)

        try:
            asyncio.run(main())
        except {stop}:
            print("stopped")
    """)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG, check=False
    )
    assert result.stdout == "stopped\n", result.stderr
