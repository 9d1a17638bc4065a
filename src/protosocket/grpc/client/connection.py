"""The client's end of one connection: greets, numbers methods, routes what is said about the connection."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, Protocol, Self, cast

import grpc

from protosocket import _core
from protosocket._core import WireCodec
from protosocket.connection import ConnectionProtocol, native_limits
from protosocket.errors import ConnectionClosed, Unavailable
from protosocket.grpc.client.channel_options import ChannelOptions
from protosocket.grpc.client.responses import Responses
from protosocket.grpc.wire.envelope import VERSION, Envelope, Hello
from protosocket.grpc.wire.keepalive import Keepalive
from protosocket.grpc.wire.status import CANCELLED_HERE, EXPIRED, failure
from protosocket.options import ConnectionOptions

__all__ = ["ClientConnection", "Refused"]


class Refused(ConnectionClosed):
    """The server greeted with a refusal, or with something that is no greeting."""


class _Requests(Protocol):
    def granted(self, credit: int) -> None: ...


class ClientConnection(_core.ClientConnection, ConnectionProtocol):
    """One connection of a channel; ``greet`` comes before the first call."""

    def __new__(cls, wire: WireCodec, options: ConnectionOptions, _settings: ChannelOptions) -> Self:
        """Make the native half."""
        return super().__new__(cls, wire, *native_limits(options), True)

    def __init__(self, wire: WireCodec, options: ConnectionOptions, settings: ChannelOptions) -> None:
        self._setup(options)
        self._settings = settings
        self._keepalive: Keepalive | None = None
        self.loop = self._loop
        self.new_future: Callable[[], asyncio.Future[Any]] = self._loop.create_future
        self.now: Callable[[], float] = self._loop.time
        self.peer_window = 0
        """Bytes of payload that may be sent in each call before the server grants more; its Hello says it."""
        self.numbers: dict[str, int] = {}
        """The methods' numbers that the server knows, of callers who take one response."""
        self._stream_numbers: dict[str, int] = {}
        """The same of callers who take a stream of them."""
        self.is_leaving = False
        """The server takes no further call on this connection."""
        self.on_change: Callable[[ClientConnection], None] = _nobody
        """Called when the connection is lost and when the server says that it is leaving."""
        self._requests: dict[int, _Requests] = {}
        self._early: weakref.WeakKeyDictionary[asyncio.Future[Any], list[Any]] = weakref.WeakKeyDictionary()
        self._early_waiters: set[asyncio.Future[None]] = set()
        self._hello: asyncio.Future[None] = self._loop.create_future()

    # Before the first call.

    async def greet(self, timeout: float) -> None:
        """Say hello and wait ``timeout`` seconds for the server's.

        Raises ``ConnectionClosed`` if the server does not want us, speaks something else or says nothing, and
        ``Unavailable`` if it greets and is going away already.
        """
        settings = self._settings
        ping_after = round(settings.ping_after * 1000)
        self.tell(Envelope(hello=Hello(version=VERSION, window=settings.window, ping_after_ms=ping_after)))
        try:
            async with asyncio.timeout(timeout):
                await self._hello
        except TimeoutError:
            text = f"{self.peer} did not greet within {timeout} s; is it a server of protosocket.grpc?"
            raise Refused(text, peer=self.peer) from None
        # What came right behind the greeting was heard before this went on.
        if self.is_leaving:
            raise Unavailable(f"{self.peer} takes no calls any more")
        if self.closed:
            raise self._closed_error()

    def _greeted(self, message: Any) -> None:
        hello = message.hello
        if hello is None:
            self._refuse(f"{self.peer} did not begin with a greeting")
        elif hello.refusal:
            self._refuse(f"{self.peer} refuses the connection: {hello.refusal}")
        elif hello.version != VERSION:
            self._refuse(f"{self.peer} speaks version {hello.version} of the envelope, not {VERSION}")
        else:
            self.peer_window = hello.window
            self._watch_life(hello.ping_after_ms / 1000)
            self._hello.set_result(None)

    def _watch_life(self, ping_after: float) -> None:
        settings = self._settings
        if ping_after or settings.ping_after:
            self._keepalive = Keepalive(
                self._loop,
                self._messages,
                send_after=ping_after,
                ping=lambda: self.tell(Envelope(ping=1)),
                expect_within=settings.ping_after and settings.ping_after + settings.ping_timeout,
                lost=self._fell_silent,
            )

    def _messages(self) -> tuple[int, int]:
        counts = self._counts()
        return counts["messages_sent"], counts["messages_received"]

    def _fell_silent(self) -> None:
        self._fail(ConnectionClosed(f"{self.peer} was asked for pings and sent none", peer=self.peer))

    def _refuse(self, why: str) -> None:
        self._fail(Refused(why, peer=self.peer))

    # What calls use.

    def request(self, path: str, streams: bool, **fields: Any) -> Any:
        """The first message of a call of ``path``; tells its number if the server does not know it."""
        number = (self._stream_numbers if streams else self.numbers).get(path)
        if number is None:
            return Envelope(method=self.next_number, path=path, streams=streams, **fields)
        return Envelope(method=number, **fields)

    @property
    def next_number(self) -> int:
        """The number of the next method that is called for the first time."""
        return len(self.numbers) + len(self._stream_numbers) + 1

    def knows(self, path: str, streams: bool) -> None:
        """A call of ``path`` was sent: from now on its number says which method is meant."""
        numbers = self._stream_numbers if streams else self.numbers
        if path not in numbers:
            numbers[path] = self.next_number

    def open_stream(self, request: Any, responses: Responses, timeout: float | None) -> int:
        """What ``open`` does; the server is held to the window."""
        return self.open(request, responses, timeout, self.loop, self._settings.window)

    def take_credits(self, handle: int, requests: _Requests) -> int:
        """Give a call's credits to ``requests`` until ``drop_credits(id)``; the call's id on the wire."""
        id = self._id(handle)
        self._requests[id] = requests
        return id

    def drop_credits(self, id: int, requests: _Requests) -> None:
        """The call has ended. Its id may be another call's by now."""
        if self._requests.get(id) is requests:
            del self._requests[id]

    def grant(self, handle: int, credit: int) -> None:
        """Let the server send ``credit`` more bytes in a call, unless it has ended."""
        if id := self._grant(handle, credit):
            self.tell(Envelope(call=id, credit=credit))

    async def said_before(self, future: asyncio.Future[Any]) -> list[Any] | None:
        """The metadata the server sent ahead of the answer that completes ``future``.

        Waits for it or for the answer; ``None`` if nothing came ahead.
        """
        while future not in self._early and not future.done():
            waiter = self._loop.create_future()
            self._early_waiters.add(waiter)
            try:
                await asyncio.wait((waiter, future), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._early_waiters.discard(waiter)
        return self._early.get(future)

    def cancel_calls(self) -> None:
        """Every call in flight ends as if its caller had cancelled it."""
        for waiter in self._abandon():
            if isinstance(waiter, Responses):
                waiter.end(CANCELLED_HERE)
            else:
                waiter.cancel()

    async def until_quiet(self) -> None:
        """Wait until no call is in flight."""
        while waiting := self._waiters():
            first = waiting[0]
            if not isinstance(first, Responses):
                await asyncio.wait((first,))
            elif first.end_message is None:
                await first.changed(self._loop)

    async def until_room(self) -> None:
        """Wait until a message can be sent; raises ``ConnectionClosed`` if the connection ends first."""
        await self._until_room()

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        return self._in_flight

    # What the native half calls.

    def _told(self, message: Any) -> None:
        if isinstance(message, bytes):
            self._refuse(f"{self.peer} sent a payload that belongs to no call")
        elif not self._hello.done():
            self._greeted(message)
        elif message.call:
            if message.credit:
                requests = self._requests.get(message.call)
                if requests is not None:
                    requests.granted(message.credit)
            else:
                self._said_before(self._waiter(message.call), message.metadata)
        elif message.going_away:
            self.is_leaving = True
            self.on_change(self)
        elif message.ping:
            self.tell(Envelope(pong=message.ping))

    def _said_before(self, waiter: Any, metadata: list[Any]) -> None:
        if isinstance(waiter, Responses):
            waiter.begin(metadata)
        elif waiter is not None:
            self._early[waiter] = metadata
            for each in self._early_waiters:
                if not each.done():
                    each.set_result(None)

    def _call_ended(self, waiter: Any, message: Any) -> None:
        _finish(waiter, message)

    def _call_expired(self, waiter: Any) -> None:
        _finish(waiter, EXPIRED)

    def _call_cancelled(self, waiter: Any) -> None:
        _finish(waiter, failure(grpc.StatusCode.UNAVAILABLE, f"{self.peer} refused or aborted the call"))

    def _call_undecodable(self, waiter: Any, error: BaseException) -> None:
        text = f"{self.peer} sent bytes that are no envelope: {error}"
        _finish(waiter, failure(grpc.StatusCode.INTERNAL, text))

    def _ended(self) -> None:
        # First of all: whoever hears that a call has ended must not find this connection ready.
        self.on_change(self)
        error = self._closed_error()
        for waiter in self._abandon():
            _finish(waiter, failure(grpc.StatusCode.UNAVAILABLE, str(error)))
        if not self._hello.done():
            self._hello.set_exception(error)
            # Nobody may be waiting for it any more.
            self._hello.exception()
        if self._keepalive is not None:
            self._keepalive.stop()
        self._requests.clear()


def _nobody(connection: ClientConnection) -> None:
    """Nobody asked to be told yet."""


def _finish(waiter: Any, end: Any) -> None:
    if isinstance(waiter, Responses):
        waiter.end(end)
    else:
        future = cast("asyncio.Future[Any]", waiter)
        if not future.done():
            future.set_result(end)
