"""What ``client.unary`` gives: a coroutine like any other, whose task goes on when its answer was read."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import subprocess
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
from tests.patience import HANG
from tests.rpc_support import CODEC, message, served, until

from protosocket import rpc
from protosocket.errors import CancelledRemotely, ConnectionClosed, DeadlineExceeded

pytestmark = pytest.mark.every_loop


async def test_it_is_a_coroutine_for_everything_that_takes_one() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:

        def echo(text: bytes) -> Any:
            return client.unary(message(b"echo " + text))

        call = echo(b"0")
        assert inspect.isawaitable(call)
        assert asyncio.iscoroutine(call)
        assert not asyncio.isfuture(call)
        assert (await call).body == b"echo 0"
        assert [answer.body for answer in await asyncio.gather(echo(b"1"), echo(b"2"))] == [
            b"echo 1",
            b"echo 2",
        ]
        assert (await asyncio.create_task(echo(b"3"))).body == b"echo 3"
        assert (await asyncio.wait_for(echo(b"4"), HANG)).body == b"echo 4"
        assert (await asyncio.shield(echo(b"5"))).body == b"echo 5"
        async with asyncio.TaskGroup() as group:
            task = group.create_task(echo(b"6"))
        assert task.result().body == b"echo 6"
        assert service.started == 7


async def test_nothing_is_sent_before_it_is_awaited_and_python_says_so() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.unary(message(b"echo"))
        call = client.unary(message(b"echo never"))
        await asyncio.sleep(0.01)
        assert service.started == 1
        calls = [call]
        del call
        with pytest.warns(RuntimeWarning, match="'Client.unary' was never awaited"):
            calls.clear()
        closed = client.unary(message(b"echo never"))
        closed.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del closed


async def test_it_cannot_be_awaited_twice() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        call = client.unary(message(b"echo"))
        await call
        with pytest.raises(RuntimeError, match="already awaited"):
            await call
        waiting = client.unary(message(b"wait a"))
        task = asyncio.create_task(waiting)
        await until(lambda: service.running == 1)
        with pytest.raises(RuntimeError, match="awaited already"):
            await waiting
        service.open("a")
        assert (await task).body == b"wait a"


async def test_cancelling_the_task_cancels_the_handler() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        task = asyncio.create_task(client.unary(message(b"wait a")))
        await until(lambda: service.running == 1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        await until(lambda: service.running == 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.unary(message(b"wait b"))
        await until(lambda: service.started == 2 and service.running == 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.unary(message(b"wait c")), 0.01)
        await until(lambda: service.started == 3 and service.running == 0)


async def test_a_task_that_is_cancelled_as_its_answer_arrives_ends_once() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        for _ in range(50):
            task = asyncio.create_task(client.unary(message(b"echo")))
            while not task.done():
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await client.unary(message(b"echo on"))).body == b"echo on"


async def test_throw_and_close_as_a_generator_has_them() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.unary(message(b"echo"))
        call: Any = client.unary(message(b"wait a"))
        assert call.send(None) is call
        assert [asyncio.isfuture(each) for each in (call,)] == [True]
        await until(lambda: service.running == 1)
        with pytest.raises(KeyError, match="why"):
            call.throw(KeyError("why"))
        await until(lambda: service.running == 0)
        with pytest.raises(KeyError):
            call.throw(KeyError)
        with pytest.raises(TypeError, match="BaseException"):
            call.throw(7)
        call = client.unary(message(b"wait b"))
        call.send(None)
        await until(lambda: service.running == 1)
        call.close()
        call.close()
        await until(lambda: service.running == 0)
        new = client.unary(message(b"echo"))
        with pytest.raises(ValueError, match="early"):
            new.throw(ValueError("early"))


async def test_the_waiting_task_keeps_its_context_and_is_the_current_task() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    async with served() as (url, _), rpc.connect(url, CODEC) as client:

        async def work(number: int) -> None:
            variable.set(number)
            for _ in range(20):
                task = asyncio.current_task()
                await client.unary(message(b"echo"))
                assert variable.get() == number
                assert asyncio.current_task() is task

        await asyncio.gather(*(work(number) for number in range(10)))
        with pytest.raises(LookupError):
            variable.get()


async def test_a_task_goes_on_before_callbacks_that_wait_and_may_close_the_client() -> None:
    async with served() as (url, _):
        client = await rpc.connect(url, CODEC)
        await client.ready()
        done: list[int] = []

        async def first() -> None:
            await client.unary(message(b"echo"))
            await client.close()
            done.append(1)

        async def others() -> None:
            with pytest.raises(ConnectionClosed):
                await client.unary(message(b"wait never"))
            done.append(2)

        await asyncio.gather(first(), *(others() for _ in range(3)))
        assert sorted(done) == [1, 2, 2, 2]


async def test_errors_reach_the_task() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        with pytest.raises(CancelledRemotely):
            await client.unary(message(b"reject"))
        with pytest.raises(DeadlineExceeded) as caught:
            await client.unary(message(b"wait a"), timeout=0.02)
        assert caught.value.timeout == 0.02
        with pytest.raises(TypeError):
            client.unary(message(b"echo"), timeout="soon")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_stops_the_program_in_a_task_that_goes_on_stops_it() -> None:
    async def main() -> list[str]:
        notes: list[str] = []
        async with served() as (url, service), rpc.connect(url, CODEC) as client:
            await client.ready()

            async def stop() -> None:
                await client.unary(message(b"wait a"))
                raise KeyboardInterrupt

            async def go_on() -> None:
                await client.unary(message(b"wait a"))
                notes.append("went on")

            tasks = [asyncio.ensure_future(work()) for work in (stop, go_on)]
            await until(lambda: service.running == 2)
            service.open("a")
            await asyncio.wait(tasks)
        return notes

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


async def test_a_handler_may_wait_for_a_call() -> None:
    async with served() as (upstream, _), rpc.connect(upstream, CODEC) as client:

        class Front(rpc.Service):
            async def unary(self, request: Any) -> Any:
                return await client.unary(request)

        async with (
            rpc.serve("tcp://127.0.0.1:0", Front, CODEC) as server,
            rpc.connect(server.addresses[0], CODEC) as outer,
        ):
            bodies = [b"echo %d" % number for number in range(50)]
            answers = await asyncio.gather(*(outer.unary(message(body)) for body in bodies))
            assert [answer.body for answer in answers] == bodies


async def test_a_call_is_collected_when_it_has_ended() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        call = client.unary(message(b"echo"))
        alive = weakref.ref(call)
        await call
        del call
        assert alive() is None


async def test_a_task_whose_call_is_closed_by_somebody_else_ends() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        call = client.unary(message(b"wait a"))
        task = asyncio.create_task(call)
        await until(lambda: service.running == 1)
        call.close()
        with pytest.raises(asyncio.InvalidStateError):
            await asyncio.wait_for(task, HANG)
        await until(lambda: service.running == 0)


async def test_a_callback_that_raises_disturbs_no_other_call() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        await client.unary(message(b"echo"))
        call: Any = client.unary(message(b"echo"))
        call.send(None)
        call.add_done_callback(lambda _: 1 / 0, context=contextvars.copy_context())
        assert (await client.unary(message(b"echo on"))).body == b"echo on"
        assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
        assert client.connections == 1
        call.close()


class Unequal:
    """A callback that cannot be compared."""

    def __call__(self, _: object) -> None:
        raise AssertionError

    def __eq__(self, _: object) -> bool:
        raise ZeroDivisionError

    def __hash__(self) -> int:
        return 0


async def test_callbacks_are_removed_and_kept() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        call: Any = client.unary(message(b"echo"))
        call.send(None)
        called: list[str] = []
        first, second = (lambda _: called.append("first")), (lambda _: called.append("second"))
        for callback in (first, second, first):
            call.add_done_callback(callback)
        with pytest.raises(ZeroDivisionError):
            call.remove_done_callback(Unequal())
        assert call.remove_done_callback(first) == 2
        assert call.remove_done_callback(first) == 0
        await until(lambda: called == ["second"])


async def test_a_call_that_waits_for_its_connection_is_awaited_once() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        call = client.unary(message(b"echo"))

        async def wait() -> bytes:
            body: bytes = (await call).body
            return body

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        with pytest.raises(RuntimeError, match="awaited already"):
            await second
        assert await first == b"echo"


async def test_asyncio_tells_of_it_by_name() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        task = asyncio.create_task(client.unary(message(b"echo")))
        await asyncio.sleep(0)
        assert "Client.unary" in repr(task)
        await task


class Never(rpc.Service):
    """Has a handler that does not end."""

    async def unary(self, request: Any) -> Any:
        """One call."""
        await asyncio.Event().wait()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_that_was_never_closed_is_collected_with_its_event_loop() -> None:
    async def leave_calls() -> weakref.ref[rpc.Client[Any, Any]]:
        server = await rpc.serve("tcp://127.0.0.1:0", Never, CODEC)
        client = await rpc.connect(server.addresses[0], CODEC)
        await client.ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.unary(message(b""), timeout=HANG), 0.05)
        call: Any = client.unary(message(b""), timeout=30)
        call.send(None)
        await asyncio.sleep(0.05)
        return weakref.ref(client)

    event_loop = asyncio.new_event_loop()
    left = event_loop.run_until_complete(leave_calls())
    event_loop.close()
    del event_loop
    gc.collect()
    gc.collect()
    assert left() is None


AT_THE_END = """
import asyncio, gc, sys
from tests.rpc_support import CODEC, RawServer, message
from protosocket import rpc

async def main(kind):
    async with RawServer() as server, rpc.connect(server.url, CODEC) as client:
        call = client.unary(message(b"x"))
        if kind != "new":
            call.start()
        if kind == "failed":
            await (await server.accept()).close()
            while not call.done():
                await asyncio.sleep(0.001)
        cycle = [call, Last(call)]
        cycle.append(cycle)

class Last:
    # Its finaliser is called by the last collection.
    def __init__(self, call):
        self.call = call

    def __del__(self):
        if self.call.done() or self.call.cancel():
            self.call.add_done_callback(print)

gc.disable()
asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", ["new", "under way", "failed"])
async def test_a_program_may_end_with_a_call_that_only_the_last_collection_finds(kind: str) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AT_THE_END, kind, cwd=Path(__file__).parent.parent, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(HANG):
        _, errors = await program.communicate()
    assert program.returncode == 0, errors.decode()
