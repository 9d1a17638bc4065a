"""``client.unary(request).start(answered)``: a call without a task, and the future that it is then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patience import HANG
from tests.rpc_support import CODEC, closed_port, message, served, until

from protosocket import rpc
from protosocket.errors import (
    CancelledRemotely,
    ConnectError,
    ConnectionClosed,
    DeadlineExceeded,
    EncodeError,
    OptionError,
)

pytestmark = pytest.mark.every_loop


async def test_answered_is_called_with_the_call_and_finds_its_result() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        ended: list[Any] = []
        calls = [client.unary(message(b"echo %d" % number)).start(ended.append) for number in range(3)]
        assert not any(call.done() for call in calls)
        await until(lambda: len(ended) == 3)
        assert all(call.done() for call in calls)
        assert {id(call) for call in ended} == {id(call) for call in calls}
        assert [call.result().body for call in calls] == [b"echo 0", b"echo 1", b"echo 2"]
        assert [call.exception() for call in calls] == [None] * 3


async def test_a_started_call_is_a_future_for_any_number_of_tasks() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        call = client.unary(message(b"wait a")).start()
        assert [asyncio.isfuture(each) for each in (call,)] == [True]
        future: Any = asyncio.ensure_future(call)
        assert future is call

        async def wait() -> bytes:
            body: bytes = (await call).body
            return body

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await until(lambda: service.running == 1)
        service.open("a")
        assert await asyncio.gather(*tasks) == [b"wait a"] * 3
        assert await wait() == b"wait a"
        assert (await asyncio.wait_for(call, HANG)).body == b"wait a"
        assert [answer.body for answer in await asyncio.gather(call, call)] == [b"wait a"] * 2
        assert service.started == 1


async def test_many_calls_are_in_flight_before_any_is_awaited() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        calls = [client.unary(message(b"wait a")).start() for _ in range(10)]
        await until(lambda: service.running == 10)
        service.open("a")
        for call in calls:
            assert (await call).body == b"wait a"


@pytest.mark.parametrize("is_ready", [True, False])
async def test_errors_are_the_calls_result(is_ready: bool) -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        if is_ready:
            await client.ready()
        ended: list[Any] = []
        failing = client.unary(message(b"fail")).start(ended.append)
        late = client.unary(message(b"wait a"), timeout=0.05).start(ended.append)
        await until(lambda: len(ended) == 2)
        for _ in range(2):
            with pytest.raises(CancelledRemotely):
                failing.result()
            with pytest.raises(CancelledRemotely):
                await failing
        assert isinstance(late.exception(), DeadlineExceeded)
        assert late.exception().timeout == 0.05  # type: ignore[union-attr]
        await until(lambda: service.running == 0)
        lost = client.unary(message(b"wait b")).start(ended.append)
        await until(lambda: service.running == 1)
        await client.close()
        await until(lambda: len(ended) == 3)
        assert isinstance(lost.exception(), ConnectionClosed)


async def test_a_call_that_cannot_be_sent_raises_at_once_and_calls_nobody() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        ended: list[Any] = []
        unencodable = client.unary("no message")
        with pytest.raises(EncodeError):
            unencodable.start(ended.append)
        assert unencodable.done()
        assert isinstance(unencodable.exception(), EncodeError)
        for again in (unencodable, asyncio.gather(unencodable)):
            with pytest.raises(EncodeError):
                await again
        endless = client.unary(message(b"echo"), timeout=-1)
        with pytest.raises(OptionError, match="timeout"):
            endless.start(ended.append)
        call = client.unary(message(b"echo")).start()
        with pytest.raises(RuntimeError, match="begun already"):
            call.start(ended.append)
        await call
        with pytest.raises(RuntimeError, match="begun already"):
            call.start(ended.append)
        assert not ended
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        with pytest.raises(OptionError, match="timeout"):
            client.unary(message(b"echo"), timeout=-1).start(ended.append)
        unencodable = client.unary("no message").start(ended.append)
        with pytest.raises(EncodeError):
            await unencodable
        await until(lambda: ended == [unencodable])


async def test_a_call_without_a_connection_is_answered_too() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        ended: list[Any] = []
        call = client.unary(message(b"echo on")).start(ended.append)
        assert not call.done()
        with pytest.raises(asyncio.InvalidStateError):
            call.result()
        assert (await call).body == b"echo on"
        await until(lambda: ended == [call])
        assert service.started == 1
    async with rpc.connect(closed_port(), CODEC) as client:
        call = client.unary(message(b"echo")).start(ended.append)
        with pytest.raises(ConnectError):
            await call
        await until(lambda: ended[1:] == [call])


@pytest.mark.parametrize("is_ready", [True, False])
async def test_cancelling_a_call_tells_the_server_and_everybody_who_waits(is_ready: bool) -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        if is_ready:
            await client.ready()
        ended: list[Any] = []
        call = client.unary(message(b"wait a")).start(ended.append)
        await until(lambda: service.running == 1)
        assert call.cancel()
        assert not call.cancel()
        assert call.cancelled()
        await until(lambda: ended == [call])
        await until(lambda: service.running == 0)
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(asyncio.CancelledError):
            call.result()
        with pytest.raises(asyncio.CancelledError):
            call.exception()
        assert (await client.unary(message(b"echo on"))).body == b"echo on"


@pytest.mark.parametrize("return_exceptions", [True, False])
@pytest.mark.parametrize("who", ["call", "gatherer"])
async def test_gather_ends_when_a_call_is_cancelled(who: str, return_exceptions: bool) -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        calls = [client.unary(message(b"wait a")).start() for _ in range(2)]
        gathered = asyncio.gather(*calls, return_exceptions=return_exceptions)
        await until(lambda: service.running == 2)
        if who == "gatherer":
            gathered.cancel()
        else:
            calls[0].cancel("enough")
            service.open("a")
        if return_exceptions and who == "call":
            async with asyncio.timeout(HANG):
                first, second = await gathered
            assert isinstance(first, asyncio.CancelledError)
            assert not isinstance(second, BaseException)
            assert first.args == ("enough",)
            assert second.body == b"wait a"
        else:
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(HANG):
                    await gathered
        service.open("a")
        await until(lambda: service.running == 0)


async def test_a_client_that_is_closed_while_it_connects_cancels_nobody() -> None:
    async with served() as (url, _):
        client = await rpc.connect(url, CODEC)
        ended: list[Any] = []
        started = client.unary(message(b"echo")).start(ended.append)
        task = asyncio.create_task(client.unary(message(b"echo")))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ConnectionClosed, match="closed"):
            await task
        await until(lambda: len(ended) == 1)
        assert not started.cancelled()
        assert isinstance(started.exception(), ConnectionClosed)


async def test_what_a_call_gives_is_read_and_explained_once() -> None:
    read: list[bytes] = []
    failed: list[BaseException] = []

    def reader(answer: Any) -> str:
        read.append(answer.body)
        return f"read {answer.body.decode()}"

    def explain(error: BaseException) -> BaseException:
        failed.append(error)
        return LookupError(type(error).__name__)

    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        loop = asyncio.get_running_loop()
        reported: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))

        async def call(body: bytes) -> str:
            return await client.unary_read(message(body), None, reader, explain)

        assert await call(b"echo") == "read echo"
        with pytest.raises(LookupError, match="CancelledRemotely"):
            await call(b"fail")
        assert (read, [type(error) for error in failed]) == ([b"echo"], [CancelledRemotely])

        started = client.unary_read(message(b"echo on"), None, reader, explain).start()
        assert list(await asyncio.gather(started, started)) == ["read echo on"] * 2
        assert started.result() == await started == "read echo on"
        assert read == [b"echo", b"echo on"]
        failing = client.unary_read(message(b"fail"), None, reader, explain).start()
        for _ in range(2):
            with pytest.raises(LookupError):
                await failing
            assert isinstance(failing.exception(), LookupError)
        assert len(failed) == 2

        # By one that is no task of asyncio's, and asks for the result to be woken.
        class Calling(rpc.Service):
            async def unary(self, request: Any) -> Any:
                with pytest.raises(LookupError):
                    await call(b"fail")
                return message((await call(request.body)).encode())

        async with (
            rpc.serve("tcp://127.0.0.1:0", Calling, CODEC) as server,
            rpc.connect(server.addresses[0], CODEC) as outer,
        ):
            assert (await outer.unary(message(b"echo"))).body == b"read echo"
        assert (len(read), len(failed)) == (3, 3)

        # Nobody asks: then reading it is what finds the error.
        def refuse(answer: Any) -> None:
            raise ZeroDivisionError

        ended: list[None] = []
        client.unary_read(message(b"echo"), None, refuse, lambda error: error).start(
            lambda _: ended.append(None)
        )
        await until(lambda: ended)
        gc.collect()
        await until(lambda: reported)
        assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


async def test_a_task_that_is_cancelled_while_it_waits_gives_the_call_up() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        call = client.unary(message(b"wait a")).start()

        async def wait() -> None:
            await call

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await until(lambda: service.running == 1)
        tasks[0].cancel()
        assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2
        await until(lambda: service.running == 0)
        shielded = client.unary(message(b"wait b")).start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(shielded), 0.02)
        service.open("b")
        assert (await shielded).body == b"wait b"


async def test_answered_runs_in_the_context_of_the_start_and_may_start_the_next() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        seen: list[tuple[str, bytes]] = []

        def answered(call: Any) -> None:
            seen.append((name.get(), call.result().body))
            assert asyncio.current_task() is None
            if len(seen) < 500:
                client.unary(message(b"echo %d" % len(seen))).start(answered)

        name.set("first")
        client.unary(message(b"echo 0")).start(answered)
        name.set("second")
        await until(lambda: len(seen) == 500)
        assert seen == [("first", b"echo %d" % number) for number in range(500)]


async def test_an_answered_that_raises_disturbs_no_other_call() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        def answered(call: Any) -> None:
            raise ZeroDivisionError

        call = client.unary(message(b"echo")).start(answered)
        assert (await client.unary(message(b"echo on"))).body == b"echo on"
        assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
        assert call.result().body == b"echo"


async def test_callbacks_that_asyncio_adds_have_their_turn() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        order: list[str] = []
        call = client.unary(message(b"echo")).start(lambda _: order.append("started"))
        call.add_done_callback(lambda _: order.append("added"))
        await until(lambda: len(order) == 2)
        assert order == ["started", "added"]
        call.add_done_callback(lambda _: order.append("late"))
        assert len(order) == 2
        await until(lambda: order[2:] == ["late"])
        for context in (None, contextvars.copy_context()):
            lazy: Any = client.unary(message(b"echo"))
            with pytest.raises(RuntimeError, match=r"start\(\)"):
                lazy.add_done_callback(order.append, context=context)
            await lazy
            with pytest.raises(RuntimeError, match=r"start\(\)"):
                lazy.add_done_callback(order.append, context=context)
        await asyncio.sleep(0.01)
        assert len(order) == 3


async def test_an_error_that_nobody_asks_for_is_told_to_the_event_loop() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        ended = 0

        def answered(_: object) -> None:
            nonlocal ended
            ended += 1

        client.unary(message(b"fail")).start(answered)
        asked = client.unary(message(b"fail")).start(answered)
        fine = client.unary(message(b"echo")).start(answered)
        await until(lambda: ended == 3)
        assert isinstance(asked.exception(), CancelledRemotely)
        del asked, fine
        gc.collect()
        await until(lambda: reported)
        assert [type(context["exception"]) for context in reported] == [CancelledRemotely]
        assert "never retrieved" in reported[0]["message"]


async def test_an_error_in_a_cycle_is_told_before_it_is_taken_apart() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with served() as (url, _):
        for keeps_client in (False, True):
            client = await rpc.connect(url, CODEC)
            await client.ready()
            ended: list[Any] = []
            cycle: list[Any] = []
            cycle.append([client.unary(message(b"fail")).start(ended.append), cycle])
            await until(lambda: ended)  # noqa: B023 - waited for here
            ended.clear()
            await client.close()
            if keeps_client:
                cycle.append(client)
            del client
            gc.collect()
            assert not reported
            del cycle
            gc.collect()
            gc.collect()
            assert len(reported) == 1
            told = reported.pop()
            assert isinstance(told["exception"], CancelledRemotely)
            assert str(told["exception"])


async def test_an_error_that_is_raised_often_keeps_its_traceback_short() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        call = client.unary(message(b"fail")).start()

        async def wait() -> None:
            with pytest.raises(CancelledRemotely):
                await call

        await asyncio.gather(*(wait() for _ in range(20)))
        for _ in range(20):
            await wait()
            with pytest.raises(CancelledRemotely):
                call.result()
        error = call.exception()
        assert error is not None
        assert len(list(traceback.walk_tb(error.__traceback__))) < 5


async def test_a_cancellation_that_nobody_asked_for_reaches_who_waits() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()

        def refuse(answer: Any) -> None:
            raise asyncio.CancelledError

        told = client.unary(message(b"wait a")).start()
        told.set_exception(asyncio.CancelledError())
        read = client.unary_read(message(b"echo"), None, refuse, lambda error: error).start()
        for call in (told, read):
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(HANG):
                    await asyncio.gather(call)
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (told.cancelled(), read.cancelled()) == (True, False)
        service.open("a")


async def test_closing_or_throwing_into_a_started_call_leaves_it_alone() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        call: Any = client.unary(message(b"wait a")).start()
        call.close()
        with pytest.raises(KeyError):
            call.throw(KeyError("why"))
        await until(lambda: service.running == 1)
        service.open("a")
        assert (await call).body == b"wait a"


class Steps:
    """What a started call is told in a random order, and what its future must then say."""

    def __init__(self, client: rpc.Client[Any, Any], service: Any, name: str) -> None:
        self.gate = name
        self.service = service
        self.ended: list[Any] = []
        self.call = client.unary(message(b"wait " + name.encode())).start(self.ended.append)
        self.cancelled = False

    async def take(self, step: str) -> None:
        if step == "cancel":
            self.cancelled |= self.call.cancel()
        elif step == "open":
            self.service.open(self.gate)
        elif step == "await":
            waiter = asyncio.create_task(asyncio.wait_for(asyncio.shield(self.call), 0.005))
            await asyncio.gather(waiter, return_exceptions=True)
        else:
            await asyncio.sleep(0.002)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["cancel", "open", "await", "sleep"]), max_size=5), st.booleans())
def test_it_ends_once_whatever_happens(steps: list[str], is_ready: bool) -> None:
    async def run() -> None:
        async with served() as (url, service), rpc.connect(url, CODEC) as client:
            if is_ready:
                await client.ready()
            one = Steps(client, service, "gate")
            for step in steps:
                await one.take(step)
            await one.take("open")
            await until(lambda: len(one.ended) == 1)
            assert one.call.done()
            assert one.call.cancelled() == one.cancelled
            if not one.cancelled:
                assert one.call.result().body == b"wait gate"
            await asyncio.sleep(0.002)
            assert len(one.ended) == 1
            assert (await client.unary(message(b"echo on"))).body == b"echo on"

    asyncio.run(run())
