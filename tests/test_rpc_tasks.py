"""``rpc.task_factory``: tasks that go from call to call by themselves, and are asyncio's tasks otherwise."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import msgspec
import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.patience import HANG
from tests.rpc_support import CODEC, Service, message, served, until
from tests.tricks import needs_tricks

from protosocket import rpc
from protosocket._core import DrivenCoroutine
from protosocket.errors import CancelledRemotely, ConnectionClosed, DeadlineExceeded

pytestmark = pytest.mark.every_loop

Client = rpc.Client[Any, Any]
NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("NUMBER", default=0)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Client, Service]]:
    """A client that is ready, its service, and an event loop whose tasks are the factory's."""
    asyncio.get_running_loop().set_task_factory(rpc.task_factory)
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        yield client, service


async def echo(client: Client, text: str) -> str:
    """The text, through the server."""
    return bytes((await client.unary(message(f"echo {text}".encode()))).body).decode().removeprefix("echo ")


async def test_many_tasks_make_calls_one_after_the_other() -> None:
    async with connected() as (client, service):

        async def work(name: int) -> int:
            task = asyncio.current_task()
            assert task is not None
            NUMBER.set(name)
            for call in range(50):
                assert await echo(client, f"{name}-{call}") == f"{name}-{call}"
                assert asyncio.current_task() is task
                assert NUMBER.get() == name
                if call % 10 == name % 10:
                    await asyncio.sleep(0)
            return name

        assert await asyncio.gather(*(work(name) for name in range(40))) == list(range(40))
        assert service.started == 2000
        assert NUMBER.get() == 0


@needs_tricks("the tasks are asyncio's own")
async def test_a_task_takes_one_step_for_many_calls() -> None:
    async with connected() as (client, _):
        waited_for: list[object] = []

        async def work() -> None:
            task: Any = asyncio.current_task()
            for _ in range(10):
                await echo(client, "a")
                waited_for.append(task._fut_waiter)  # noqa: SLF001 - no public name says it
            await asyncio.sleep(0)
            await echo(client, "a")
            waited_for.append(task._fut_waiter)  # noqa: SLF001 - no public name says it

        await asyncio.create_task(work())
        # While the coroutine runs within the reading of the connection, its task waits for the first call.
        assert len({id(each) for each in waited_for[:10]}) == 1
        assert waited_for[0] is not None
        assert waited_for[10] is not waited_for[0]


async def test_it_is_an_asyncio_task_with_the_coroutines_attributes() -> None:
    async with connected() as (client, service):

        async def work() -> None:
            await echo(client, "a")
            await client.unary(message(b"wait gate"))

        task = asyncio.create_task(work(), name="worker")
        assert type(task) is asyncio.Task
        await until(lambda: service.running == 1)
        assert task in asyncio.all_tasks()
        assert asyncio.current_task() is not task
        coroutine: Any = task.get_coro()
        assert asyncio.iscoroutine(task.get_coro())
        assert coroutine.__name__ == "work"
        assert coroutine.cr_code is work.__code__
        assert [frame.f_code for frame in task.get_stack()] == [work.__code__]
        assert "work() running" in repr(task)
        assert "wait_for=" in repr(task)
        assert "work" in repr(coroutine)
        with pytest.raises(AttributeError, match="gi_frame"):
            coroutine.gi_frame  # noqa: B018 - a coroutine has none
        service.open("gate")
        await task
        assert "work() done" in repr(task)


async def test_an_error_says_where_it_was_raised() -> None:
    async with connected() as (client, _):

        async def work() -> None:
            await echo(client, "a")
            await echo(client, "b")
            raise LookupError("on purpose")

        with pytest.raises(LookupError, match="on purpose") as raised:
            await asyncio.create_task(work())
        assert [frame.name for frame in traceback.extract_tb(raised.tb)][1:] == ["work"]

        async def refused() -> None:
            await echo(client, "a")
            await client.unary(message(b"fail"))

        with pytest.raises(CancelledRemotely) as failed:
            await asyncio.create_task(refused())
        assert [frame.name for frame in traceback.extract_tb(failed.tb)][1:] == ["refused"]


async def test_cancelling_the_task_stops_the_call_that_it_waits_for() -> None:
    async with connected() as (client, service):
        caught: list[tuple[object, ...]] = []

        async def work() -> str:
            for _ in range(3):
                await echo(client, "a")
            try:
                await client.unary(message(b"wait gate"))
            except asyncio.CancelledError as error:
                caught.append(error.args)
            return await echo(client, "after")

        task = asyncio.create_task(work())
        await until(lambda: service.running == 1)
        assert task.cancel("enough")
        assert task.cancelling() == 1
        await asyncio.wait([task], timeout=HANG)
        assert task.result() == "after"
        assert caught == [("enough",)]
        await until(lambda: service.running == 0)
        assert service.notes[-1] == "cancelled gate"
        assert not task.cancel()


async def test_timeouts_and_groups_are_as_ever() -> None:
    async with connected() as (client, service):

        async def limited() -> str:
            try:
                async with asyncio.timeout(0.05):
                    await echo_and_wait(client)
            except TimeoutError:
                assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
                return await echo(client, "after")
            raise AssertionError

        assert await asyncio.create_task(limited()) == "after"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(echo_and_wait(client), 0.05)
        with pytest.raises(DeadlineExceeded):
            await asyncio.create_task(expiring(client))
        tasks: list[asyncio.Task[None]] = []

        async def group_of_two() -> None:
            async with asyncio.TaskGroup() as group:
                tasks.append(group.create_task(echo_and_wait(client)))
                tasks.append(group.create_task(failing(client)))

        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.create_task(group_of_two())
        assert [type(error) for error in raised.value.exceptions] == [CancelledRemotely]
        assert tasks[0].cancelled()
        await until(lambda: service.running == 0)


async def echo_and_wait(client: Client) -> None:
    await echo(client, "a")
    await client.unary(message(b"wait gate"))


async def expiring(client: Client) -> None:
    await echo(client, "a")
    await client.unary(message(b"wait gate"), timeout=0.05)


async def failing(client: Client) -> None:
    await echo(client, "a")
    await client.unary(message(b"fail"))


async def test_a_lost_connection_ends_every_task_that_waits_for_it() -> None:
    async with connected() as (client, service):
        tasks = [asyncio.create_task(echo_and_wait(client)) for _ in range(10)]
        await until(lambda: service.running == 10)
        await client.close()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in ended] == [ConnectionClosed] * 10


async def test_tasks_that_are_not_asyncios_own_run_the_same_coroutine() -> None:
    async with connected() as (client, service):
        python_task: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]  # noqa: SLF001

        async def work() -> str:
            for number in range(5):
                assert await echo(client, str(number)) == str(number)
            try:
                await client.unary(message(b"wait gate"))
            except asyncio.CancelledError:
                return await echo(client, "after")
            raise AssertionError

        driven: Any = DrivenCoroutine(work())
        task = python_task(driven, loop=asyncio.get_running_loop())
        await until(lambda: service.running == 1)
        task.cancel()
        assert await task == "after"


async def test_nothing_is_kept_of_a_task_that_ended() -> None:
    async with connected() as (client, _):

        async def work() -> str:
            for _ in range(3):
                await echo(client, "a")
            return "done"

        gc.collect()
        gc.disable()
        try:
            task = asyncio.create_task(work())
            coroutine = weakref.ref(task.get_coro())
            assert await task == "done"
            ended = weakref.ref(task)
            del task
            await asyncio.sleep(0)
            assert ended() is None
            assert coroutine() is None
        finally:
            gc.enable()


async def test_the_collector_finds_a_task_that_nobody_will_wake() -> None:
    async with connected() as (client, _):
        loop = asyncio.get_running_loop()
        reported: list[Any] = []
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
        waits: list[bool] = []

        async def work() -> None:
            await echo(client, "a")
            await echo(client, "b")
            waits.append(True)
            await loop.create_future()

        task = asyncio.create_task(work())
        await until(lambda: waits)
        ended = weakref.ref(task)
        del task
        gc.collect()
        assert ended() is None
        assert reported == ["Task was destroyed but it is pending!"]


async def test_cancelling_a_call_that_has_ended_does_nothing_to_the_next_ones() -> None:
    async with connected() as (client, service):
        kept: list[Any] = []

        async def work() -> str:
            for text in (b"echo a", b"fail", b"wait late"):
                kept.append(client.unary(message(text), timeout=0.02))
                with suppress(rpc.RpcError):
                    await kept[-1]
                await echo(client, "b")
            service.open("ready")
            await client.unary(message(b"wait gate"))
            return "done"

        task = asyncio.create_task(work())
        await until(lambda: service.gates.get("ready") and service.running == 1)
        assert [call.done() for call in kept] == [True] * 3
        assert [call.cancel() for call in kept] == [False] * 3
        service.open("gate")
        assert await task == "done"
        assert task.cancelling() == 0


async def test_who_knows_a_call_weakly_does_not_cancel_the_next_one() -> None:
    async with connected() as (client, service):
        known: weakref.WeakSet[Any] = weakref.WeakSet()

        async def one(text: bytes) -> None:
            call = client.unary(message(text))
            known.add(call)
            await call

        async def work() -> str:
            await one(b"echo a")
            await one(b"echo b")
            await client.unary(message(b"wait gate"))
            return "done"

        task = asyncio.create_task(work())
        await until(lambda: service.running == 1)
        assert not any(call.cancel() for call in known)
        service.open("gate")
        assert await task == "done"


class ByResult:
    """Looks at a call's result itself when its task was woken."""

    def __init__(self, call: Any, callback: Callable[..., object] | None = None) -> None:
        self.call = call
        self.callback = callback

    def __await__(self) -> Any:
        future = self.call.__await__().send(None)
        if self.callback is not None:
            future.add_done_callback(self.callback, context=contextvars.copy_context())
        yield future
        return future.result()


async def is_cancelled_while_it_waits(coroutine: Coroutine[Any, Any, None], service: Service) -> bool:
    """Whether a task of it ends when it is cancelled while a handler works for it."""
    task = asyncio.create_task(coroutine)
    await until(lambda: service.running == 1)
    task.cancel()
    await asyncio.wait([task], timeout=HANG)
    return task.cancelled()


async def test_what_looks_at_a_calls_result_itself_is_cancelled_as_ever() -> None:
    async with connected() as (client, service):
        called: list[object] = []

        async def work() -> None:
            await ByResult(client.unary(message(b"echo a")), called.append)
            await ByResult(client.unary(message(b"echo a")))
            await echo(client, "a")
            await client.unary(message(b"wait gate"))

        assert await is_cancelled_while_it_waits(work(), service)
        assert len(called) == 1


async def test_a_call_is_an_iterator_where_it_is_awaited_by_hand() -> None:
    async with connected() as (client, _):

        class Delegating:
            def __await__(self) -> Any:
                return (yield from client.unary(message(b"echo a")).__await__())

        async def work() -> list[bytes]:
            return [(await Delegating()).body for _ in range(3)]

        assert await work() == [b"echo a"] * 3
        assert await asyncio.create_task(work()) == [b"echo a"] * 3


async def test_a_coroutine_that_takes_its_own_step_is_refused_and_goes_on() -> None:
    async with connected() as (client, service):

        async def work() -> None:
            task: Any = asyncio.current_task()
            for _ in range(2):
                await echo(client, "a")
            coroutine = task.get_coro()
            with pytest.raises(ValueError, match="already executing"):
                coroutine.send(None)
            with pytest.raises(ValueError, match="already executing"):
                coroutine.throw(LookupError)
            await client.unary(message(b"wait gate"))

        assert await is_cancelled_while_it_waits(work(), service)


async def test_a_future_of_another_loop_is_left_alone() -> None:
    other = asyncio.new_event_loop()
    try:
        futures: list[asyncio.Future[None]] = [other.create_future(), other.create_future()]
        async with connected() as (client, _):

            async def work(is_cancelled: bool) -> None:
                await echo(client, "a")
                if is_cancelled:
                    asyncio.current_task().cancel("by myself")  # type: ignore[union-attr]
                await futures[is_cancelled]

            with pytest.raises(RuntimeError, match="attached to a different loop"):
                await asyncio.create_task(work(False))
            with pytest.raises(asyncio.CancelledError, match="by myself"):
                await asyncio.create_task(work(True))
            assert [future.cancelled() for future in futures] == [False, False]
    finally:
        other.close()


async def test_coroutines_in_the_wrong_order_are_refused() -> None:
    async with connected() as (client, _):
        driven: Any = DrivenCoroutine(echo(client, "a"))
        driven.close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            driven.send(None)
        with pytest.raises(TypeError, match="a coroutine was expected"):
            rpc.task_factory(asyncio.get_running_loop(), 5)  # type: ignore[arg-type]


# A script is what a coroutine does; it is run by tasks of both kinds, and what it noted compared.

Script = tuple[str, ...]
STEPS = (
    *("call", "call", "call", "call", "other client", "fail", "expire", "started", "gather", "timeout"),
    *("cancel me", "cancel me", "cancel and take back", "wait and be cancelled", "child"),
    *("sleep", "future", "set", "lone yield"),
)


class Yielding:
    """Waits for one turn of the event loop, as ``asyncio.sleep(0)`` does."""

    def __await__(self) -> Any:
        yield


class Player:
    """Runs scripts and notes what they see."""

    def __init__(self, clients: tuple[Client, Client], service: Service) -> None:
        self.clients = clients
        self.service = service
        self.notes: list[object] = []

    async def play(self, script: Script, depth: int = 0) -> int:
        task = asyncio.current_task()
        assert task is not None
        for number, step in enumerate(script):
            try:
                seen = await self._do(step, number, script, depth)
            except (Exception, asyncio.CancelledError) as error:
                if number % 3 == 2:
                    raise
                seen = (type(error).__name__, error.args if isinstance(error, asyncio.CancelledError) else ())
            assert asyncio.current_task() is task
            self.notes.append((depth, step, seen, task.cancelling(), NUMBER.get()))
        return len(script)

    async def _do(self, step: str, number: int, script: Script, depth: int) -> object:
        client, other = self.clients
        loop = asyncio.get_running_loop()
        task: Any = asyncio.current_task()
        match step:
            case "call":
                return await echo(client, str(number))
            case "other client":
                return await echo(other, str(number))
            case "fail":
                return await client.unary(message(b"fail"))
            case "expire":
                return await client.unary(message(b"wait never"), timeout=0.002)
            case "sleep":
                await asyncio.sleep(0)
            case "lone yield":
                return await Yielding()
            case "future":
                future = loop.create_future()
                loop.call_soon(future.set_result, number)
                return await future
            case "started":
                call = client.unary(message(b"echo started")).start()
                return (await call).body
            case "gather":
                return await asyncio.gather(echo(client, "1"), echo(other, "2"))
            case "set":
                NUMBER.set(number)
                return None
            case "cancel me":
                return task.cancel(f"by myself {number}")
            case "cancel and take back":
                return (task.cancel(), task.uncancel())
            case "child" if depth < 2:
                return await asyncio.create_task(self.play(script[number + 1 :], depth + 1))
            case "wait and be cancelled":
                cancelling = asyncio.ensure_future(self._cancel(task, self.service.started + 1))
                try:
                    return await client.unary(message(b"wait never"))
                finally:
                    cancelling.cancel()
            case "timeout":
                async with asyncio.timeout(None) as limit:
                    expiring = asyncio.ensure_future(self._expire(limit, self.service.started + 1))
                    try:
                        return await client.unary(message(b"wait never"))
                    finally:
                        expiring.cancel()
        return None

    async def _cancel(self, task: asyncio.Task[object], started: int) -> None:
        await self._until_started(started)
        task.cancel("from outside")

    async def _expire(self, limit: asyncio.Timeout, started: int) -> None:
        # A time that is short, but not over before the call has begun, however busy the machine is.
        await self._until_started(started)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _until_started(self, started: int) -> None:
        while self.service.started < started:  # noqa: ASYNC110 - what it waits for is no event
            await asyncio.sleep(0)


async def played(script: Script, factory: Callable[..., Any] | None) -> list[object]:
    """What a script noted in a task of this factory, and how it ended."""
    loop = asyncio.get_running_loop()
    async with served() as (url, service), rpc.connect(url, CODEC) as one, rpc.connect(url, CODEC) as two:
        await one.ready()
        await two.ready()
        player = Player((one, two), service)
        loop.set_task_factory(factory)
        try:
            run: Coroutine[Any, Any, int] = player.play(script)
            task = asyncio.create_task(run)
            async with asyncio.timeout(HANG):
                await asyncio.wait([task])
        finally:
            loop.set_task_factory(None)
        outcome: object
        try:
            outcome = task.result()
        except (Exception, asyncio.CancelledError) as error:
            outcome = type(error).__name__
        await until(lambda: service.running == 0)
        return [*player.notes, outcome, task.cancelled(), task.cancelling()]


CANCELLED_WHILE_IT_RUNS = ("call", "cancel me", "call", "call", "cancel me", "sleep", "call", "cancel me")


@settings(max_examples=100)
@example(script=CANCELLED_WHILE_IT_RUNS, new_event_loop=asyncio.new_event_loop)
@example(script=("call", *CANCELLED_WHILE_IT_RUNS), new_event_loop=uvloop.new_event_loop)
@example(script=("call", "call", "cancel me", "child", "call"), new_event_loop=uvloop.new_event_loop)
@given(
    script=st.lists(st.sampled_from(STEPS), max_size=12).map(tuple),
    new_event_loop=st.sampled_from([asyncio.new_event_loop, uvloop.new_event_loop]),
)
def test_random_programs_run_as_in_asyncios_own_tasks(
    script: Script, new_event_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def run() -> None:
        assert await played(script, rpc.task_factory) == await played(script, None)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


class Ask(msgspec.Struct, array_like=True):
    id: int = 0
    control: int = 0


class Told(msgspec.Struct, array_like=True):
    """Takes note of the task that runs when one of it is read."""

    id: int = 0
    control: int = 0
    tasks: ClassVar[list[object]] = []

    def __post_init__(self) -> None:
        self.tasks.append(asyncio.current_task())


class Teller(rpc.Service):
    async def unary(self, request: Ask) -> Told:
        return Told()


async def test_no_task_runs_between_the_turns_of_tasks() -> None:
    asyncio.get_running_loop().set_task_factory(rpc.task_factory)
    codec = rpc.MessagePackCodec(send=Ask, receive=Told, id="id", control="control")
    async with rpc.serve("tcp://127.0.0.1:0", Teller, codec) as server:
        process = asyncio.current_task()
        async with rpc.connect(server.addresses[0], codec) as client:
            await client.ready()
            Told.tasks.clear()

            async def work() -> None:
                for _ in range(20):
                    await client.unary(Ask())

            await asyncio.gather(*(work() for _ in range(10)))
    assert asyncio.current_task() is process
    # The handlers make one each, as a task of the server's; the client reads one each, as none.
    assert len(Told.tasks) == 400
    assert Told.tasks.count(None) == 200


async def test_whoever_is_told_between_the_turns_of_tasks_finds_no_task() -> None:
    found: list[object] = []
    event_loop = asyncio.get_running_loop()

    async with connected() as (client, service):

        async def work() -> None:
            await client.unary(message(b"wait gate"))
            for _ in range(3):
                call = client.unary(message(b"echo a"))
                # The last reference to a call goes when its answer has been handled.
                weakref.finalize(call, lambda: found.append(asyncio.current_task(event_loop)))
                await call
                del call
            await client.unary(message(b"wait later"))

        tasks = []
        for _ in range(10):
            tasks.append(asyncio.create_task(work()))
            await asyncio.sleep(0)
            client.unary(message(b"wait gate")).start(
                lambda _: found.append(asyncio.current_task(event_loop))
            )
            call = client.unary(message(b"wait gate"))
            call.start()
            call.add_done_callback(lambda _: found.append(asyncio.current_task(event_loop)))
            tasks.append(asyncio.ensure_future(wait_for(call)))
        await until(lambda: service.started == 30)
        service.open("gate")
        await until(lambda: service.started == 70)
        service.open("later")
        await asyncio.gather(*tasks)
    assert found == [None] * 50


async def wait_for(call: Any) -> Any:
    return await call


async def test_a_task_that_takes_itself_out_goes_on() -> None:
    async with connected() as (client, _):
        event_loop = asyncio.get_running_loop()

        async def work() -> str:
            await echo(client, "a")
            task: Any = asyncio.current_task()
            asyncio.tasks._leave_task(event_loop, task)  # noqa: SLF001
            return await echo(client, "b") + await echo(client, "c")

        assert await asyncio.wait_for(asyncio.create_task(work()), HANG) == "bc"
        assert await echo(client, "d") == "d"
