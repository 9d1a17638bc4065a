"""One served call: its state, what may cut it short, and its last message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, TypeAlias

import grpc

from protosocket._core import HandlerTask, stop_handler
from protosocket.errors import ConnectionClosed
from protosocket.grpc.server.connection import ServerConnection
from protosocket.grpc.server.requests import ServerRequests
from protosocket.grpc.server.responses import ServerResponses
from protosocket.grpc.wire.envelope import Envelope, Status
from protosocket.grpc.wire.metadata import checked
from protosocket.grpc.wire.status import failure
from protosocket.limited_log import limited_log

__all__ = ["INVALID_METADATA", "Ending", "ServerCall", "too_long"]

_Task: TypeAlias = HandlerTask | asyncio.Task[Any]

# In characters: with the metadata it must fit into what a client takes beside a message.
_LONGEST_DETAILS: Final = 64 * 1024

INVALID_METADATA: Final = failure(grpc.StatusCode.INTERNAL, "Invalid metadata")
_STOPPED: Final = failure(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
_CANCELLED: Final = failure(grpc.StatusCode.CANCELLED, "Cancelled by the servicer")
_EXPIRED: Final = failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

_NUMBERS: Final = frozenset(code.value[0] for code in grpc.StatusCode)


class Ending(Exception):
    """Ends a call with the message ``end``."""

    def __init__(self, end: Any) -> None:
        super().__init__(end)
        self.end = end


def too_long(what: str, size: int, limit: int) -> Any:
    """The end of a call with a message over the limit."""
    text = f"SERVER: {what} message larger than max ({size} vs. {limit})"
    return failure(grpc.StatusCode.RESOURCE_EXHAUSTED, text)


class ServerCall:
    """What a call's context and what serves the call share; the context is derived from it."""

    # As class attributes they cost a call nothing that does not use them.

    path = ""
    """The method's name, for the log."""

    changed = False
    """Whether the response alone does not make the call's answer."""

    over = False
    """The servicer's method has ended."""

    was_cancelled = False
    """By the client, by its deadline or by the end of the connection or the server."""

    initial_sent = False
    """The client has seen all initial metadata there will be."""

    deadline: float | None = None
    """When the client's time is up, by the loop's clock."""

    timer: asyncio.TimerHandle | None = None
    """Tells of that."""

    task: _Task | None = None
    """What runs the method."""

    imposed: Any = None
    """The end of the call, if it does not depend on the method any more."""

    requests: ServerRequests | None = None
    """What the client streams."""

    responses: ServerResponses | None = None
    """What is streamed to it."""

    deserialize: Callable[[bytes], Any]
    """Of the requests; there if they are streamed."""

    _code: grpc.StatusCode | int | None = None
    _details = ""
    _trailing: tuple[tuple[str, str | bytes], ...] = ()
    _aborted: BaseException | None = None
    _callbacks: tuple[Callable[[Any], object], ...] = ()

    def __init__(self, connection: ServerConnection, call: int, first: Any) -> None:
        self._connection = connection
        self._call = call
        self._first = first

    def abort_now(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """What ``abort`` does, from any thread."""
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        if _number(code) == 0:
            limited_log.error("abort was called with StatusCode.OK, which is answered with UNKNOWN")
            code, details = grpc.StatusCode.UNKNOWN, ""
        self._code = code
        self._details = details or self._details
        self._trailing = tuple(trailing_metadata) or self._trailing
        self.changed = True
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        raise self._aborted

    def limit_time(self) -> None:
        """Cancel the task that runs now when the client's time is up."""
        first, connection = self._first, self._connection
        loop = connection.loop
        self.deadline = loop.time() + first.timeout_ms / 1e3 + first.timeout_us / 1e6
        self.task = asyncio.current_task(loop)
        connection.watch(self)

    def unlimit_time(self) -> None:
        """The method has ended."""
        # A task that nobody holds is another call's next.
        self.task = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def takes(self, size: int) -> bool:
        """Whether a request of ``size`` bytes is taken; else the call is ended."""
        limit = self._connection.settings.max_receive
        if size > limit:
            self.impose(too_long("Received", size, limit))
        return size <= limit

    def expire(self) -> None:
        """The client's time is up."""
        self.impose(_EXPIRED)

    def impose(self, end: Any) -> None:
        """Cancel the method and end the call with ``end``, whatever it does about that."""
        if not self.over and self.imposed is None:
            self.imposed = end
            self.changed = self.was_cancelled = True
            if self.task is not None and self.task is not asyncio.current_task():
                stop_handler(self.task)

    def check(self) -> None:
        """Raise what ends the call, if that is known."""
        if self.imposed is not None:
            raise Ending(self.imposed)

    def check_running(self) -> None:
        """Raise what ends the method if the call was aborted, or has ended."""
        if self._aborted is not None:
            raise self._aborted
        if self.over:
            raise grpc.aio.UsageError("RPC already finished.")

    @property
    def is_ok(self) -> bool:
        """Whether the call would end with OK now."""
        return self._aborted is None and self.imposed is None and _number(self._code) == 0

    def end(self, error: BaseException | None, payload: bytes | None = None) -> Any:
        """The method has ended: with ``error``, with the one response ``payload``, or having sent all.

        Gives the call's last message; ``None`` for an end that says nothing but that.
        """
        self.over = True
        self.unlimit_time()
        try:
            return self._last_message(error, payload)
        finally:
            if self._aborted is not None:
                # Its frames know this call.
                self._aborted.__traceback__ = None
            for callback in self._callbacks:
                try:
                    callback(self)
                except Exception as raised:
                    limited_log.error(
                        "a done callback of a call from %s failed", self._connection.peer, exc_info=raised
                    )

    def _last_message(self, error: BaseException | None, payload: bytes | None) -> Any:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise error
        if self.imposed is not None:
            return self.imposed
        if self._aborted is not None:
            if error is not self._aborted:
                limited_log.error(
                    "the servicer did not let the abort of its call through", exc_info=self._aborted
                )
            return self._with_status(_number(self._code), self._details)
        if error is None:
            number = _number(self._code)
            if number:
                return self._with_status(number, self._details)
            # A payload alone needs no message object around it; without one, the end needs not even that.
            return self._with_trailing(Envelope(payload=payload)) if self._trailing else payload
        if isinstance(error, Ending):
            return error.end
        if isinstance(error, asyncio.CancelledError):
            self.was_cancelled = True
            return _STOPPED if self._connection.is_cut_short else _CANCELLED
        if isinstance(error, ConnectionClosed) and self._connection.closed:
            return None
        kind = type(error).__name__
        limited_log.error("unexpected %s in %s", kind, self.path, exc_info=error)
        text = f"Unexpected {type(error)}: {error}"
        return self._with_status(_number(self._code) or grpc.StatusCode.UNKNOWN.value[0], text)

    def _with_status(self, number: int, details: str) -> Any:
        return self._with_trailing(Envelope(status=Status(code=number, details=details[:_LONGEST_DETAILS])))

    def _with_trailing(self, message: Any) -> Any:
        if self._trailing:
            try:
                message.trailing_metadata = checked(self._trailing)
            except (grpc.aio.InternalError, TypeError, ValueError):
                return INVALID_METADATA
        return message


def _number(code: grpc.StatusCode | int | None) -> int:
    if code is None:
        return 0
    if isinstance(code, grpc.StatusCode):
        return code.value[0]
    return code if code in _NUMBERS else grpc.StatusCode.UNKNOWN.value[0]
