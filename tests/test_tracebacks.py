"""What is shown of an exception that passed through the native core is what Python itself would show."""

from __future__ import annotations

import asyncio
import asyncio.futures
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import anyio
import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.grpc_support import Backend, method
from tests.patience import HANG
from tests.rpc_support import CODEC, closed_port, message, served, until

import protosocket.grpc
from protosocket import rpc
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.errors import CacheUnavailable, ConnectError
from protosocket.grpc import sync_insecure_channel
from protosocket.limited_log import limited_log

pytestmark = pytest.mark.every_loop

Body = Callable[[Any], Any]


def deep(text: str = "deep down") -> None:
    raise ValueError(text)


async def deep_later() -> None:
    await asyncio.sleep(0)
    deep()


def raised(text: str = "raised before") -> ValueError:
    try:
        deep(text)
    except ValueError as error:
        return error
    raise AssertionError


def shown(error: BaseException | None) -> list[str]:
    """What Python prints of an exception, from the frame of the handler on: who called it does not matter."""
    assert error is not None
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != __file__:
        trace = trace.tb_next
    return traceback.format_exception(type(error), error, trace)


async def shown_by_a_task(body: Body) -> list[str]:
    """The same of what ``body`` raises in a task of asyncio."""
    try:
        result = body(None)
    except Exception as error:
        return shown(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
    task = asyncio.ensure_future(result)
    await asyncio.wait([task])
    return shown(task.exception())


class Failing(rpc.Service):
    """Its handler is ``body``."""

    body: Body

    def select(self, request: Any) -> Any:
        return self.body


async def logged(body: Body, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged of the exception that a handler raises."""

    def service() -> rpc.Service:
        made = Failing()
        made.body = body
        return made

    caplog.clear()
    async with (
        rpc.serve("tcp://127.0.0.1:0", service, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        with pytest.raises(rpc.CancelledRemotely):
            await asyncio.wait_for(client.unary(message()), HANG)
    (record,) = [record for record in caplog.records if record.name == "protosocket"]
    assert record.exc_info is not None
    # A handler of logging shows the traceback that stands beside the exception.
    assert record.exc_info[1] is not None
    assert record.exc_info[2] is record.exc_info[1].__traceback__
    return shown(record.exc_info[1])


def plainly(request: Any) -> None:
    deep()


async def at_once(request: Any) -> None:
    deep()


async def later(request: Any) -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    deep()


async def of_a_future(request: Any) -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, raised())
    await future


async def of_a_future_in_python(request: Any) -> None:
    future: Any = asyncio.futures._PyFuture(loop=asyncio.get_running_loop())  # type: ignore[attr-defined] # noqa: SLF001
    asyncio.get_running_loop().call_soon(future.set_exception, raised())
    await future


class Failed:
    """A future of a library, whose ``result`` is a function of Python's."""

    _asyncio_future_blocking = False

    def __await__(self) -> Generator[Any, None, Any]:
        self._asyncio_future_blocking = True
        yield self
        return self.result()

    def get_loop(self) -> Any:
        return asyncio.get_running_loop()

    def add_done_callback(self, callback: Any, *, context: Any) -> None:
        asyncio.get_running_loop().call_soon(callback, self, context=context)

    def result(self) -> Any:
        deep()

    def cancel(self, msg: object = None) -> bool:
        return False


async def of_a_librarys_future(request: Any) -> None:
    await Failed()


async def of_a_task(request: Any) -> None:
    await asyncio.create_task(deep_later())


async def caused(request: Any) -> None:
    try:
        await deep_later()
    except ValueError as error:
        raise KeyError("outer") from error


async def while_handling(request: Any) -> None:
    try:
        await of_a_future(request)
    finally:
        await asyncio.sleep(0)
        raise KeyError("outer")


async def while_handling_what_was_thrown(request: Any) -> None:
    try:
        await Failed()
    except ValueError:
        raise KeyError("outer")  # noqa: B904 - so that it is the context


async def without_context(request: Any) -> None:
    try:
        await deep_later()
    except ValueError:
        raise KeyError("outer") from None


async def with_notes(request: Any) -> None:
    try:
        await deep_later()
    except ValueError as error:
        error.add_note("one\nand two")
        raise


async def a_group(request: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(deep_later())
        group.create_task(caused(None))


async def a_group_in_a_group(request: Any) -> None:
    try:
        await a_group(request)
    except* KeyError as errors:
        raise ExceptionGroup("more", [errors, raised()]) from raised("why")


async def in_time(request: Any) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(HANG)


async def in_a_scope(request: Any) -> None:
    with anyio.fail_after(0):
        await anyio.sleep(HANG)


async def too_deep(request: Any) -> None:
    await too_deep(request)


FAILING = [
    plainly,
    at_once,
    later,
    of_a_future,
    of_a_future_in_python,
    of_a_librarys_future,
    of_a_task,
    caused,
    while_handling,
    while_handling_what_was_thrown,
    without_context,
    with_notes,
    a_group,
    a_group_in_a_group,
    in_time,
]


@pytest.mark.parametrize("body", FAILING, ids=lambda body: body.__name__)
async def test_a_handlers_exception_is_logged_as_a_tasks(
    body: Body, caplog: pytest.LogCaptureFixture
) -> None:
    expected = await shown_by_a_task(body)
    assert any(f"in {body.__name__}\n" in line for line in expected)
    assert await logged(body, caplog) == expected


async def test_a_handler_that_fails_too_deep_inside_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    # How deep it gets depends on who calls it.
    expected, found = await shown_by_a_task(too_deep), await logged(too_deep, caplog)
    assert found[-1] == expected[-1]
    assert found[:4] == expected[:4]


Steps = list[tuple[str, str]]
WAYS = ("wait", "from", "context", "hide", "note", "group", "task", "future", "finally")


async def take(steps: Steps) -> None:
    """Raises what ``steps`` say, each of them around the next."""
    if not steps:
        deep()
    (way, text), rest = steps[0], steps[1:]
    if way == "wait":
        await asyncio.sleep(0)
        await take(rest)
    elif way == "task":
        await asyncio.create_task(take(rest))
    elif way == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(take(rest))
    elif way == "future":
        future = asyncio.get_running_loop().create_future()
        future.set_exception(raised(text))
        await future
    elif way == "finally":
        try:
            await take(rest)
        finally:
            await asyncio.sleep(0)
    else:
        await take_handling(way, text, rest)


async def take_handling(way: str, text: str, rest: Steps) -> None:
    try:
        await take(rest)
    except Exception as error:
        if way == "from":
            raise LookupError(text) from error
        if way == "hide":
            raise LookupError(text) from None
        if way == "context":
            raise LookupError(text)  # noqa: B904 - so that it is the context
        error.add_note(text)
        raise


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(WAYS), st.text("ab\n", max_size=3)), max_size=6))
def test_any_exception_is_logged_as_a_tasks(steps: Steps) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert record.exc_info is not None
            kept.append(shown(record.exc_info[1]))

    def body(request: Any) -> Awaitable[None]:
        return take(steps)

    class Taking(rpc.Service):
        def select(self, request: Any) -> Any:
            return body

    async def main() -> None:
        async with (
            rpc.serve("tcp://127.0.0.1:0", Taking, CODEC) as server,
            rpc.connect(server.addresses[0], CODEC) as client,
        ):
            with pytest.raises(rpc.CancelledRemotely):
                await asyncio.wait_for(client.unary(message()), HANG)
            assert kept == [await shown_by_a_task(body)]

    kept: list[list[str]] = []
    limited_log.forget()
    logger = logging.getLogger("protosocket")
    handler = Kept()
    logger.addHandler(handler)
    try:
        asyncio.run(main())
    finally:
        logger.removeHandler(handler)


async def test_a_callback_of_a_started_call_is_told_of_with_its_traceback() -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    def answered(call: Any) -> None:
        deep()

    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        client.unary(message(b"echo")).start(answered)
        await until(lambda: told)
    lines = "".join(shown(told[0]["exception"]))
    assert "in answered\n" in lines
    assert "in deep\n" in lines


async def test_who_waits_for_a_call_sees_where() -> None:
    async def inner() -> None:
        await client.unary(message(b"echo"))
        await client.unary(message(b"reject"))

    async def outer() -> None:
        await inner()

    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        loop = asyncio.get_running_loop()
        for task in (loop.create_task(outer()), rpc.task_factory(loop, outer())):
            await asyncio.wait([task])
            error = task.exception()
            assert isinstance(error, rpc.CancelledRemotely)
            assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["outer", "inner"]


async def test_what_a_cache_client_raises_says_why_there_was_no_answer() -> None:
    async with ProtosocketCacheClient(closed_port()) as client:
        with pytest.raises(CacheUnavailable) as caught:
            await client.get("namespace", b"key")
    cause = caught.value.__cause__
    assert isinstance(cause, ConnectError)
    assert "in open_transport\n" in "".join(traceback.format_exception(cause))


def depth(error: BaseException) -> int:
    return len(traceback.extract_tb(error.__traceback__))


async def test_an_exception_that_is_raised_again_does_not_grow() -> None:
    async with served() as (url, _), rpc.connect(url, CODEC) as client:
        await client.ready()
        call = client.unary(message(b"reject")).start()

        async def result() -> None:
            call.result()

        async def awaited() -> None:
            await call

        async def unsent() -> None:
            await channel_call

        async def checked() -> None:
            await channel_call.wait_for_connection()

        async def read() -> None:
            await stream_call.read()

        def blocking() -> None:
            blocking_call.result()

        async def waited() -> None:
            await asyncio.to_thread(blocking)

        async with Backend("x") as backend, protosocket.grpc.insecure_channel(backend.target) as channel:
            settings: Any = {"request_serializer": lambda request: "no bytes"}
            channel_call = channel.unary_unary(method("Name"), **settings)(b"")
            stream_call = channel.unary_stream(method("Count"), **settings)(b"")
            backend.fail = [grpc.StatusCode.ABORTED]
            with await asyncio.to_thread(sync_insecure_channel, backend.target) as blocking_channel:
                blocking_call = blocking_channel.unary_unary(method("Name")).future(b"")
                await until(call.done)
                for ask in (result, awaited, unsent, checked, read, waited):
                    depths = []
                    for _ in range(3):
                        with pytest.raises((rpc.CancelledRemotely, grpc.RpcError, TypeError)) as caught:
                            await ask()
                        depths.append(depth(caught.value))
                        del caught
                    assert len(set(depths)) == 1, (ask, depths)


async def test_an_abort_that_was_not_let_through_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def aborts(request: bytes, context: Any) -> bytes:
        with contextlib.suppress(Exception):
            await context.abort(grpc.StatusCode.ABORTED, "no")
        return b""

    server = protosocket.grpc.server()
    handlers: dict[str, Any] = {"Abort": grpc.unary_unary_rpc_method_handler(aborts)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel: Any
    async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.RpcError):
            await channel.unary_unary(method("Abort"))(b"")
    await server.stop(None)
    assert "did not let the abort" in caplog.text
    assert "in aborts\n" in caplog.text
