"""The server's end of one connection: the greeting, the methods' numbers, where each message belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, Protocol, Self, TypeAlias, cast

from protosocket._core import PLAIN_ASYNCIO, ServerCall, WireCodec
from protosocket.connection import Server
from protosocket.errors import ConnectionClosed, InvalidMessage
from protosocket.event_loops import background_task
from protosocket.grpc.server.exchange import Exchange
from protosocket.grpc.server.http2 import Http2Refusal
from protosocket.grpc.server.identity import PeerIdentity
from protosocket.grpc.server.requests import ServerRequests
from protosocket.grpc.server.responses import ServerResponses
from protosocket.grpc.server.settings import ServerSettings
from protosocket.grpc.wire.envelope import VERSION, Envelope, Hello
from protosocket.grpc.wire.keepalive import Keepalive
from protosocket.limited_log import limited_log
from protosocket.rpc import HandlingConnection

__all__ = ["ServerConnection", "Start"]

Start: TypeAlias = "Callable[[ServerConnection, int, bytes | None, Any], Any]"
"""Takes a connection, a call's id, its first payload, and its first message if that says more; gives a
coroutine for the one message of its answer, or an ``Exchange``, whose last message is an End."""

# The native half's own limit is for calls of one message; here it would make items wait for their handlers.
_NO_LIMIT: Final = 2**62

# What a connection may make us remember.
_MOST_METHODS: Final = 65_536
_LONGEST_PATH: Final = 1024

_FOR_HTTP2: Final = "this port speaks protosocket, not HTTP/2: use protosocket.grpc's channel or a gRPC port"


class _TimedCall(Protocol):
    over: bool
    deadline: float | None
    timer: asyncio.TimerHandle | None

    def expire(self) -> None: ...


class ServerConnection(HandlingConnection):
    """One connection to a gRPC server; what its parts share of it is public."""

    def __new__(cls, wire: WireCodec, settings: ServerSettings, *_: object) -> Self:
        """Make the native half."""
        return super().__new__(cls, wire, settings.connection, _NO_LIMIT, True)

    def __init__(
        self,
        wire: WireCodec,
        settings: ServerSettings,
        pool: Executor | None,
        server: Server[ServerConnection],
        start_of: Callable[[str, bool], Start],
    ) -> None:
        self._setup(settings.connection)
        self.settings = settings
        self.pool = pool
        """Where methods run that are not async; ``None``: the loop's own."""
        self.loop = self._loop
        self.identity: PeerIdentity
        self.peer_window = 0
        """Bytes of responses that may be sent in each call before the client grants more."""
        self.requests: dict[int, ServerRequests] = {}
        """What is streamed to us, by the ids of the calls."""
        self.responses: dict[int, ServerResponses] = {}
        """What we stream."""
        self.is_cut_short = False
        """The server does not wait for its calls any longer."""
        self._is_leaving = False
        self._server = server
        self._start_of = start_of
        self._starts: dict[int, Start] = {}
        self._further: Callable[[Any], None] = self._greeting
        self._timed: list[_TimedCall] = []
        self._keepalive: Keepalive | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's greeting."""
        super().connection_made(transport)
        self.identity = PeerIdentity(self.peer, transport)
        self._server.added(self)
        self._patience = self._loop.call_later(self.settings.greeting_timeout, self._ungreeted)
        find, requests_of = self._starts.get, self.requests.get

        def receive(message: Any) -> Any:
            if type(message) is tuple:
                call, number, payload = message
                if not number:
                    # Nearly all messages of a streamed request are these.
                    requests = requests_of(call)
                    if requests is not None and not requests.arrived(payload):
                        self._overran(call)
                    return None
                start = find(number)
                return (
                    self._first_use(number, "", False) if start is None else start(self, call, payload, None)
                )
            number = message.method
            if not number:
                return self._further(message)
            start = find(number) or self._first_use(number, message.path, message.streams)
            return start and start(self, message.id, message.payload, message)

        self._serve(receive, self._loop)

    def _ended(self) -> None:
        if self._keepalive is not None:
            self._keepalive.stop()
        if self._patience is not None:
            self._patience.cancel()
        super()._ended()
        self._starts.clear()
        self._further = self._ignore
        self._server.removed(self)

    # What a message may be.

    def _greeting(self, message: Any) -> None:
        """The first message."""
        hello = message.hello
        if hello is None:
            self._violated("does not begin with a greeting")
        elif hello.version != VERSION:
            why = f"version {hello.version} of the envelope is not known here, only {VERSION}"
            limited_log.warning("refused the connection from %s: %s", self.peer, why)
            self.tell(Envelope(hello=Hello(version=VERSION, refusal=why)))
            self._further = self._ignore
            self._soon(self.close())
        else:
            if self._patience is not None:
                self._patience.cancel()
            self.peer_window = hello.window
            self._further = self._no_start
            settings = self.settings
            ping_after = round(settings.ping_after * 1000)
            self.tell(
                Envelope(hello=Hello(version=VERSION, window=settings.window, ping_after_ms=ping_after))
            )
            if self._is_leaving:
                self.go_away()
            if hello.ping_after_ms or ping_after:
                self._watch_life(hello.ping_after_ms / 1000)

    def _no_start(self, message: Any) -> None:
        """A message that begins no call."""
        call = message.id
        if call:
            if message.payload is not None:
                self._item_of(call, message.payload)
        elif message.credit:
            responses = self.responses.get(message.call)
            if responses is not None:
                responses.granted(message.credit)
        elif message.ping:
            self.tell(Envelope(pong=message.ping))

    def _ignore(self, message: Any) -> None:
        """Nothing is taken any more."""

    def _item_of(self, call: int, payload: bytes) -> None:
        """A further request of a call."""
        requests = self.requests.get(call)
        if requests is not None and not requests.arrived(payload):
            self._overran(call)

    def _overran(self, call: int) -> None:
        self._violated(f"overran the window of call {call}")

    def _first_use(self, number: int, path: str, streams: bool) -> Start | None:
        """The first call of a method gives its number a meaning."""
        fits = 0 < len(path) <= _LONGEST_PATH and len(self._starts) < _MOST_METHODS
        if fits and self._further == self._no_start:
            start = self._starts[number] = self._start_of(path, streams)
            return start
        if self._further != self._ignore:
            self._violated(f"calls a method by the number {number}, which means none")
        return None

    def _violated(self, what: str) -> None:
        self._fail(InvalidMessage(f"{self.peer} {what}", peer=self.peer))
        limited_log.warning("connection ended: %s", self.error)

    # What the native half calls.

    def _half_closed(self, call: int) -> None:
        """There will be no further message of a call."""
        requests = self.requests.get(call)
        if requests is not None:
            requests.over()

    def _adopt(self, call: ServerCall, result: Any) -> tuple[Coroutine[Any, Any, Any] | None, bool]:
        assert isinstance(result, Exchange)
        coroutine = result.run(partial(self._item, call))
        if PLAIN_ASYNCIO:
            # Its task begins in a later turn of the event loop; further messages of the call may come before.
            coroutine.send(None)
        return coroutine, True

    def _invalid(self, detail: str, cause: BaseException | None) -> None:
        transport = self._transport
        # With TLS, gRPC's clients give up by themselves: nobody agrees to "h2" in the handshake.
        if "HTTP/2" in detail and hasattr(transport, "set_protocol"):
            limited_log.warning("refused the connection from %s: %s", self.peer, detail)
            # Not from within a read, after which the transport goes on with the protocol it knows.
            plain = cast(asyncio.Transport, transport)
            self._loop.call_soon(Http2Refusal, plain, _FOR_HTTP2, self.connection_lost)
            return
        super()._invalid(detail, cause)

    # What calls use.

    async def until_room(self) -> None:
        """Wait until a message can be sent; raises ``ConnectionClosed`` if the connection ends first."""
        await self._until_room()

    def watch(self, call: _TimedCall) -> None:
        """Tell ``call`` when its deadline has passed."""
        # Most calls have ended by the next turn of the loop, and need no timer.
        if not self._timed:
            self._loop.call_soon(self._set_timers)
        self._timed.append(call)

    def _set_timers(self) -> None:
        calls, self._timed = self._timed, []
        for call in calls:
            if not call.over and call.deadline is not None:
                call.timer = self._loop.call_at(call.deadline, call.expire)

    # What the server calls.

    def go_away(self) -> None:
        """Tell the client that no further call is taken; not before the greeting, which comes first."""
        self._is_leaving = True
        if not self._closing and self._further != self._greeting:
            self.tell(Envelope(going_away=True))

    def cut_short(self) -> None:
        """Cancel the calls, whose clients hear that the server is unavailable."""
        self.is_cut_short = True
        super().cut_short()

    def _watch_life(self, send_after: float) -> None:
        settings = self.settings
        self._keepalive = Keepalive(
            self._loop,
            self._sent_and_received,
            send_after=send_after,
            ping=lambda: self.tell(Envelope(ping=1)),
            expect_within=settings.ping_after and settings.ping_after + settings.ping_timeout,
            lost=self._silent,
        )

    def _sent_and_received(self) -> tuple[int, int]:
        counts = self._counts()
        return counts["messages_sent"], counts["messages_received"]

    def _ungreeted(self) -> None:
        self._fail(ConnectionClosed(f"{self.peer} did not greet in time", peer=self.peer))
        limited_log.warning("connection ended: %s", self.error)

    def _silent(self) -> None:
        self._fail(ConnectionClosed(f"{self.peer} was asked for pings and sent none", peer=self.peer))
        limited_log.warning("connection ended: %s", self.error)

    def _soon(self, closing: Coroutine[Any, Any, None]) -> None:
        """Not from within a read: the transport would go on with what it was doing."""
        self._closing_task = background_task(self._loop, closing)
