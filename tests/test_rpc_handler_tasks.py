"""A handler's task has the documented interface of ``asyncio.Task`` and ``Future``."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import io
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import grpc
import pytest
from tests.grpc_parity.world import generic_handler, method
from tests.patience import HANG
from tests.rpc_support import CODEC, message
from tests.tricks import needs_tricks

import protosocket.grpc
from protosocket import rpc
from protosocket._core import PLAIN_ASYNCIO

pytestmark = pytest.mark.every_loop

Body = Callable[[], Awaitable[Any]]
Runner = Callable[[Body], Coroutine[Any, Any, None]]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")


async def as_task(body: Body) -> None:
    """What the others are compared with."""
    await asyncio.wait([asyncio.create_task(as_coroutine(body))])


async def as_coroutine(body: Body) -> Any:
    return await body()


async def as_unary(body: Body) -> None:
    class Served(rpc.Service):
        async def unary(self, request: Any) -> Any:
            await body()
            return message(b"response")

    await _call_rpc(Served)


async def as_awaitable(body: Body) -> None:
    class Later:
        def __await__(self) -> Any:
            yield from body().__await__()
            return message(b"response")

    class Served(rpc.Service):
        def unary(self, request: Any) -> Any:
            return Later()

    await _call_rpc(Served)


async def as_stream(body: Body) -> None:
    class Served(rpc.Service):
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            await body()
            yield message(b"response")

    async with (
        rpc.serve("tcp://127.0.0.1:0", Served, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        with contextlib.suppress(rpc.CancelledRemotely):
            assert [each.body async for each in client.stream(message())] == [b"response"]


async def _call_rpc(service: type[rpc.Service]) -> None:
    async with (
        rpc.serve("tcp://127.0.0.1:0", service, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        with contextlib.suppress(rpc.CancelledRemotely):
            assert (await client.unary(message())).body == b"response"


def as_grpc(kind: str) -> Runner:
    async def run(body: Body) -> None:
        async def unary(request: Any, context: Any) -> bytes:
            await body()
            return b"response"

        async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
            await body()
            yield b"response"

        server: Any = protosocket.grpc.server()
        handler = unary if kind.endswith("unary") else stream
        server.add_generic_rpc_handlers((generic_handler(**{kind: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with protosocket.grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            requests = iter([b""]) if kind.startswith("stream") else b""
            call = getattr(channel, kind)(method(kind))(requests)
            try:
                if kind.endswith("unary"):
                    assert await call == b"response"
                else:
                    assert [each async for each in call] == [b"response"]
            except grpc.aio.AioRpcError:
                pass
        await server.stop(0)

    return run


RPC_KINDS: dict[str, Runner] = {"unary": as_unary, "awaitable": as_awaitable, "stream": as_stream}
GRPC_KINDS: dict[str, Runner] = {
    kind: as_grpc(kind) for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
}
KINDS = RPC_KINDS | GRPC_KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Runner:
    return KINDS[request.param]


@pytest.fixture(params=RPC_KINDS)
def rpc_kind(request: pytest.FixtureRequest) -> Runner:
    return RPC_KINDS[request.param]


@pytest.fixture(params=["in place", "suspended"])
def waits(request: pytest.FixtureRequest) -> bool:
    """Whether the handler waits for something before it ends."""
    return bool(request.param == "suspended")


@pytest.fixture(autouse=True)
def no_reports(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "protosocket")


def task() -> Any:
    return asyncio.current_task()


def raised_by(call: Callable[..., Any], *arguments: Any) -> Any:
    """The kind of what a call raises, or what it gives."""
    try:
        return call(*arguments)
    except (Exception, asyncio.CancelledError) as error:
        return type(error)


def seen_from_inside() -> dict[str, Any]:
    """What the documented methods say while the task runs, and do."""
    own = task()
    out = io.StringIO()
    own.print_stack(file=out)
    own.add_done_callback(never)
    own.add_done_callback(never)
    names = [frame.f_code.co_name for frame in own.get_stack()]
    return {
        "state": (own.done(), own.cancelled(), own.cancelling()),
        "outcome": (raised_by(own.result), raised_by(own.exception)),
        "set": (raised_by(own.set_result, 1), raised_by(own.set_exception, LookupError())),
        "loop": own.get_loop() is asyncio.get_running_loop() is own._loop,  # noqa: SLF001 - as anyio does
        "removed": (own.remove_done_callback(never), own.remove_done_callback(never)),
        "stack": "seen_from_inside" in names and "seen_from_inside" in out.getvalue(),
        "limit": len(own.get_stack(limit=1)),
        "coroutine": own.get_coro() is not None,
        "future": asyncio.isfuture(own),
        "loop's": asyncio.current_task(own.get_loop()) is own,
        "same": own is task() and hash(own) == hash(task()),
        "weak": weakref.ref(own)() is own,
        "named": [own.set_name(name) or own.get_name() for name in ("a name", 7)],
        "uncancelled": own.uncancel(),
    }


def never(_: Any) -> None:
    raise AssertionError("it was removed")


def test_every_public_name_of_a_task_is_there() -> None:
    from protosocket._core import HandlerTask

    names = {name for name in dir(asyncio.Task) if not name.startswith("_")} | {"get_context"}
    assert names <= set(dir(HandlerTask))


async def test_the_same_is_seen_from_inside(kind: Runner, waits: bool) -> None:
    found: list[Any] = []

    async def body() -> None:
        if waits:
            await asyncio.sleep(0)
        found.append(seen_from_inside())

    await as_task(body)
    await kind(body)
    assert found[0] == found[1]


async def test_its_context_is_the_handlers(kind: Runner, waits: bool) -> None:
    has_context = not PLAIN_ASYNCIO or hasattr(asyncio.Task, "get_context")

    async def body() -> None:
        variable.set("inside")
        if waits:
            await asyncio.sleep(0)
        context = task().get_context() if has_context else contextvars.copy_context()
        found.append(context[variable])

    found: list[Any] = []
    await kind(body)
    assert found == ["inside"]
    assert variable.get() == "outside"


def raising() -> None:
    raise LookupError("on purpose")


ENDS: dict[str, Callable[[], Any]] = {
    "returns": lambda: None,
    "raises": raising,
    "cancelled": lambda: task().cancel("why"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_who_kept_it_sees_how_it_ended(rpc_kind: Runner, waits: bool, end: str) -> None:
    """Callbacks, the methods and everything in asyncio that waits for a future."""

    def ending(found: list[Any]) -> Body:
        async def body() -> None:
            own = task()
            own.add_done_callback(lambda ended: found.append(("called", ended is own, seen(ended))))
            own.add_done_callback(
                lambda _: found.append(("in its context", variable.get())), context=contextvars.copy_context()
            )
            variable.set("inside")
            own.add_done_callback(lambda _: found.append(("in its context", variable.get())))
            kept.append(own)
            waiting.extend(asyncio.ensure_future(each) for each in waiters(own))
            if waits:
                await asyncio.sleep(0)
            ENDS[end]()
            if waits:
                await asyncio.sleep(0)

        return body

    def seen(ended: Any) -> Any:
        stack = ended.get_stack()
        given = raised_by(ended.result)
        # A stream returns nothing, a unary handler its response, and the task of this test nothing either.
        return (
            seen_of(given),
            repr(raised_by(ended.exception)),
            ended.done(),
            ended.cancelled(),
            type(stack),
            ended.cancel(),
            ended.get_coro() is None or not hasattr(ended, "_stop"),
        )

    def waiters(own: Any) -> list[Any]:
        async def awaits() -> Any:
            return seen_of(await own)

        async def waits_for_it() -> Any:
            return seen_of(await asyncio.wait_for(own, HANG))

        async def waits_with_others() -> Any:
            done, _ = await asyncio.wait([own])
            return done == {own}

        async def gathers() -> Any:
            first: Any = (await asyncio.gather(own, return_exceptions=True))[0]
            return type(first) if isinstance(first, BaseException) else seen_of(first)

        async def shields() -> Any:
            return seen_of(await asyncio.shield(own))

        async def in_order() -> Any:
            for each in asyncio.as_completed([own]):
                return seen_of(await each)

        return [each() for each in (awaits, waits_for_it, waits_with_others, gathers, shields, in_order)]

    def seen_of(result: Any) -> Any:
        # A stream returns nothing, a unary handler its response, and the task of this test nothing either.
        return "a value" if result is None or hasattr(result, "body") else result

    outcomes = []
    for run in (as_task, rpc_kind):
        kept: list[Any] = []
        waiting: list[Any] = []
        found: list[Any] = []
        await run(ending(found))
        async with asyncio.timeout(HANG):
            results = await asyncio.gather(*waiting, return_exceptions=True)
        # Added when it has ended: called all the same.
        late = asyncio.Event()
        kept[0].add_done_callback(lambda _, late=late: late.set())
        await asyncio.wait_for(late.wait(), HANG)
        outcomes.append((found, [repr(each) for each in results], seen(kept[0])))
    assert outcomes[0] == outcomes[1]


@needs_tricks("an ordinary function runs in no task")
async def test_a_function_has_a_task_without_a_coroutine() -> None:
    found: list[Any] = []
    ended = asyncio.Event()

    class Served(rpc.Service):
        def unary(self, request: Any) -> Any:
            own = task()
            found.extend([own.done(), own.get_coro(), own.get_stack(), own.get_context() is not None])
            own.add_done_callback(has_ended)
            return message(b"response")

    def has_ended(task: Any) -> None:
        found.append(task.result().body)
        ended.set()

    await _call_rpc(Served)
    await asyncio.wait_for(ended.wait(), HANG)
    assert found == [False, None, [], True, b"response"]


async def test_an_await_of_itself_is_an_error_and_one_of_another_handler_is_not() -> None:
    first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    class Served(rpc.Service):
        async def unary(self, request: Any) -> Any:
            if request.body == b"itself":
                with pytest.raises(RuntimeError, match=r"cannot await (on )?itself"):
                    await task()
                return message(b"response")
            if request.body == b"first":
                first.set_result(task())
                await asyncio.sleep(0.01)
                return message(b"of the first")
            return await (await first)

    async with (
        rpc.serve("tcp://127.0.0.1:0", Served, CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        assert (await client.unary(message(b"itself"))).body == b"response"
        calls = [client.unary(message(each)) for each in (b"second", b"first")]
        assert [each.body for each in await asyncio.gather(*calls)] == [b"of the first"] * 2


async def test_a_callback_that_raises_is_told_and_harms_nothing(rpc_kind: Runner, waits: bool) -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    async def body() -> None:
        task().add_done_callback(lambda _: raising())
        if waits:
            await asyncio.sleep(0)

    await rpc_kind(body)
    while not told:  # noqa: ASYNC110 - what it waits for is no event
        await asyncio.sleep(0)
    assert [type(error) for error in told] == [LookupError]


async def test_nothing_is_held_after_it_has_ended(rpc_kind: Runner, waits: bool) -> None:
    class Held:
        pass

    async def body() -> None:
        held = Held()
        known.append(weakref.ref(held))
        known.append(weakref.ref(task()))
        task().add_done_callback(lambda _, held=held: None)
        if waits:
            await asyncio.sleep(0)

    known: list[Any] = []
    await rpc_kind(body)
    await asyncio.sleep(0)
    gc.collect()
    assert [each() for each in known] == [None, None]


async def test_anyio_waits_for_threads_and_goes_back_from_them(kind: Runner) -> None:
    async def body() -> None:
        found.append(await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(doubled, 21)))

    async def doubled(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return 2 * number

    found: list[int] = []
    await kind(body)
    assert found == [42]


@pytest.mark.parametrize("name", KINDS)
def test_anyio_works_on_a_loop_that_runs_for_ever(name: str) -> None:
    """Where no task was begun by ``run_until_complete`` anyio takes the current one for the root of all."""

    async def body() -> None:
        found.append(await anyio.to_thread.run_sync(threading.get_ident))

    found: list[int] = []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(KINDS[name](body), loop).result(HANG)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert len(found) == 1
    assert found[0] != thread.ident
