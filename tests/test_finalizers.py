"""Objects that call back when they are dropped: whatever holds them has let go of its state by then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patience import HANG
from tests.rpc_support import CODEC, Service, message, served, until
from tests.tricks import needs_tricks

import protosocket
from protosocket import rpc
from protosocket.cache.engine import create_engine
from protosocket.codecs import Decoded, Incomplete, Invalid
from protosocket.errors import InvalidMessage

pytestmark = pytest.mark.every_loop

dropped: list[str] = []
"""What every dropped object met with: an empty text, or an error that was not to be."""


class Loud:
    """Calls back when it is dropped."""

    def __init__(self, *calls: Callable[[], object]) -> None:
        self.calls = calls

    def __call__(self, *arguments: object) -> None:
        """For where a function is wanted."""

    def __del__(self) -> None:
        dropped.append(met_with(self.calls))


class LoudBytes(bytes):
    """The same for a codec's bytes."""

    calls: tuple[Callable[[], object], ...] = ()

    def __del__(self) -> None:
        dropped.append(met_with(self.calls))


def loud_bytes(content: bytes, *calls: Callable[[], object]) -> LoudBytes:
    made = LoudBytes(content)
    made.calls = calls
    return made


def met_with(calls: tuple[Callable[[], object], ...]) -> str:
    met = []
    for call in calls:
        try:
            call()
        except Exception as error:
            # What such a call may well say of an object in this state; the others are faults.
            if not isinstance(error, (protosocket.Error, asyncio.InvalidStateError, asyncio.CancelledError)):
                met.append(repr(error))
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            met.append(repr(error))
    return "; ".join(met)


@pytest.fixture(autouse=True)
def every_object_is_at_peace() -> Iterator[None]:
    dropped.clear()
    yield
    gc.collect()
    assert not [met for met in dropped if met]


def looks_at_task(task: Any) -> tuple[Callable[[], object], ...]:
    """Calls to a handler's task."""
    return (
        task.done,
        task.cancelled,
        task.cancelling,
        task.get_name,
        task.get_coro,
        task.get_context,
        lambda: task.set_name("loud"),
        lambda: task._must_cancel,  # noqa: SLF001 - asyncio's own name
    )


def looks_at_call(call: Any) -> tuple[Callable[[], object], ...]:
    """Calls to a started call."""
    return (
        call.done,
        call.cancelled,
        call.result,
        call.exception,
        call.get_loop,
        lambda: call.add_done_callback(print, context=contextvars.Context()),
        lambda: call.remove_done_callback(print),
    )


CANCELS = st.lists(st.sampled_from(["cancel", "uncancel", "sleep", "catch", "future", "name"]), max_size=12)


@needs_tricks("it looks at what asyncio's own tasks do not have before Python 3.12")
@settings(max_examples=30)
@given(CANCELS)
def test_messages_of_a_handlers_cancellations(steps: list[str]) -> None:
    async def body(request: Any) -> Any:
        task = cast(Any, asyncio.current_task())
        for step in steps:
            try:
                if step == "cancel":
                    task.cancel(Loud(*looks_at_task(task), lambda: task.cancel(Loud())))
                elif step == "uncancel":
                    task.uncancel()
                elif step == "name":
                    task.set_name("name")
                elif step == "future":
                    future = asyncio.get_running_loop().create_future()
                    asyncio.get_running_loop().call_soon(lambda: task.cancel(Loud(*looks_at_task(task))))
                    await future
                else:
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                if step != "catch":
                    task.uncancel()
        return message(b"done")

    class Body(rpc.Service):
        def select(self, request: Any) -> Any:
            return body

    async def main() -> None:
        async with (
            rpc.serve("tcp://127.0.0.1:0", Body, CODEC) as server,
            rpc.connect(server.addresses[0], CODEC) as client,
            asyncio.timeout(HANG),
        ):
            for _ in range(2):
                try:
                    await client.unary(message())
                except rpc.CancelledRemotely:
                    continue

    dropped.clear()
    asyncio.run(main())
    gc.collect()
    assert not [met for met in dropped if met]
    assert len(dropped) >= steps.count("cancel")


def loud_context(call: Any) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(contextvars.ContextVar[Any]("loud").set, Loud(*looks_at_call(call)))
    return context


async def test_messages_and_callbacks_of_a_started_call() -> None:
    async with served() as (url, service), rpc.connect(url, CODEC) as client:
        await client.ready()
        for ends in ("answer", "cancel", "close", "forget"):
            call = client.unary(message(b"wait %s" % ends.encode()))
            call.start(Loud(*looks_at_call(call), client.statistics))
            for _ in range(3):
                call.add_done_callback(Loud(*looks_at_call(call)), context=loud_context(call))
            same = Loud(*looks_at_call(call))
            call.add_done_callback(same)
            assert call.remove_done_callback(same) == 1
            del same
            await until(lambda: service.running == 1)
            if ends == "answer":
                service.open(ends)
                await call
            elif ends == "cancel":
                assert call.cancel(Loud(*looks_at_call(call)))
                with pytest.raises(asyncio.CancelledError):
                    await call
            elif ends == "close":
                await client.close()
                with pytest.raises(protosocket.errors.ConnectionClosed):
                    await call
                break
            await until(lambda: service.running == 0)
            del call
            gc.collect()
    assert len(dropped) >= 20


async def test_a_handler_and_its_tasks_that_are_let_go_of() -> None:
    async with rpc.serve("tcp://127.0.0.1:0", Service, CODEC) as server:
        async with rpc.connect(server.addresses[0], CODEC) as client:
            await client.ready()
            calls = []
            call: Any
            for number in range(4):
                call = client.unary(message(b"wait %d" % number), timeout=HANG).start()
                call.add_done_callback(Loud(client.statistics, *looks_at_call(call)))
                calls.append(call)
            await asyncio.sleep(0)
        for call in calls:
            assert call.done()
    calls.clear()
    call = None
    gc.collect()
    assert len(dropped) == 4


class LoudCodec:
    """A message is a letter, a length in KiB and that many bytes; its parts make ``calls`` when dropped."""

    def __init__(self) -> None:
        self.calls: tuple[Callable[[], object], ...] = ()

    def encode(self, message: int) -> bytes:
        return loud_bytes(b"m%c" % message + bytes(message * 1024), *self.calls)

    def decode(self, unread: memoryview) -> Decoded[Any] | Incomplete | Invalid:
        if len(unread) < 2:
            return Incomplete(2)
        if unread[0] != ord("m"):
            return Invalid(LoudText("no m", self.calls))
        size = 2 + unread[1] * 1024
        if len(unread) < size:
            return Incomplete(size)
        return Decoded(Loud(*self.calls), size)


class LoudText(str):
    """A text that calls back when it is shown."""

    calls: tuple[Callable[[], object], ...]

    def __new__(cls, text: str, calls: tuple[Callable[[], object], ...]) -> LoudText:
        made = super().__new__(cls, text)
        made.calls = calls
        return made

    def __str__(self) -> str:
        dropped.append(met_with(self.calls))
        return "shown"


async def test_what_waits_to_be_sent_and_to_be_received(transport: Any) -> None:
    options = protosocket.ConnectionOptions(transport=transport, send_queue_bytes=1 << 24)
    codec = LoudCodec()
    accepted: asyncio.Queue[Any] = asyncio.Queue()

    async def serve(connection: Any) -> None:
        accepted.put_nowait(connection)
        await connection.wait_closed()

    async with protosocket.listen("tcp://127.0.0.1:0", codec, serve, options=options) as server:
        connection: Any = await protosocket.connect(server.addresses[0], codec, options=options)
        its = await accepted.get()
        codec.calls = (connection.statistics, its.statistics, lambda: connection.closed)
        while connection.statistics().send_queue_messages < 5:
            await connection.send(255)
            await asyncio.sleep(0)
        await until(lambda: its.statistics().messages_received > 0)
        codec.calls = ()
        its.abort()
        connection.abort()
        await connection.wait_closed()
        await its.wait_closed()
    gc.collect()
    assert len(dropped) >= 5


async def test_the_reason_why_bytes_are_invalid() -> None:
    codec = LoudCodec()
    found: asyncio.Queue[str] = asyncio.Queue()

    async def serve(connection: Any) -> None:
        codec.calls = (connection.statistics, lambda: connection.closed)
        with pytest.raises(InvalidMessage) as caught:
            async for _ in connection:
                pass
        found.put_nowait(str(caught.value))

    async with protosocket.listen("tcp://127.0.0.1:0", codec, serve) as server:
        host, port = server.addresses[0].removeprefix("tcp://").rsplit(":", 1)
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"no")
        assert "shown" in await asyncio.wait_for(found.get(), HANG)
        writer.close()
    codec.calls = ()


def test_values_of_a_storage() -> None:
    engine = create_engine(1 << 16)
    looks = (
        lambda: engine.get("n", b"1"),
        lambda: engine.set("n", b"2", b"", 1000),
        lambda: engine.delete("n", b"3"),
    )
    for number in range(2000):
        engine.set("n", b"%d" % (number % 200), loud_bytes(bytes(600), *looks), 10**6)
        engine.set_if("n", b"%d" % (number % 300), loud_bytes(bytes(600), *looks), 10**6, 1, b"")
    assert engine.statistics()["evictions"] > 0
    engine.flush("n")
    assert len(dropped) == 4000


class LoudSequence:
    """A sequence that calls back when it is read."""

    def __init__(self, items: list[Any], *calls: Callable[[], object]) -> None:
        self.items = items
        self.calls = calls

    def __len__(self) -> int:
        dropped.append(met_with(self.calls))
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        dropped.append(met_with(self.calls))
        return self.items[index]


class LoudNumber:
    """A number that calls back when it is read."""

    def __init__(self, *calls: Callable[[], object]) -> None:
        self.calls = calls

    def __index__(self) -> int:
        dropped.append(met_with(self.calls))
        return 1000

    def __float__(self) -> float:
        return float(self.__index__())


def test_arguments_of_a_storage() -> None:
    engine: Any = create_engine(1 << 20)
    looks = (
        lambda: engine.get("n", b"1"),
        lambda: engine.set("n", b"2", b"", 1000),
        lambda: engine.delete("n", b"3"),
    )
    engine.set("n", b"x", b"1", LoudNumber(*looks))
    engine.increment("n", b"y", LoudNumber(*looks), LoudNumber(*looks))
    assert engine.update_ttl("n", b"x", LoudNumber(*looks), 0)
    engine.sorted_set_increment("n", b"s", b"a", LoudNumber(*looks), LoudNumber(*looks), True)
    engine.sweep(LoudNumber(*looks))
    assert len(dropped) >= 7
