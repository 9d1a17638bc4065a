"""The context that a servicer's method is given: what it says of the call, and how it ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import grpc

from protosocket.errors import ConnectionClosed
from protosocket.grpc.envelope import Envelope, Status, unpack
from protosocket.grpc.metadata import checked
from protosocket.grpc.outcome import failure

if TYPE_CHECKING:
    from protosocket._core import HandlerTask
    from protosocket.grpc.served import Served
    from protosocket.grpc.served_requests import ServedRequests
    from protosocket.grpc.served_responses import ServedResponses

    _Task = HandlerTask | asyncio.Task[Any]

__all__ = ["Ending", "Metadatum", "ServicerContext", "too_long"]

_logger = logging.getLogger("protosocket")

_INVALID = failure(grpc.StatusCode.INTERNAL, "Invalid metadata")
_STOPPED = failure(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
_CANCELLED = failure(grpc.StatusCode.CANCELLED, "Cancelled by the servicer")

_NUMBERS = {code.value[0]: code for code in grpc.StatusCode}


class Ending(Exception):
    """Ends a call with the message ``end``."""

    def __init__(self, end: Any) -> None:
        super().__init__(end)
        self.end = end


def too_long(what: str, size: int, limit: int) -> Any:
    """The end of a call with a message over the limit."""
    text = f"SERVER: {what} message larger than max ({size} vs. {limit})"
    return failure(grpc.StatusCode.RESOURCE_EXHAUSTED, text)


class Metadatum(NamedTuple):
    """A key and its value, which is ``bytes`` where the key ends in ``-bin``."""

    key: str
    value: str | bytes


class ServicerContext(grpc.aio.ServicerContext[Any, Any]):
    """One call, as its servicer sees it: the methods are those of ``grpc.aio.ServicerContext``.

    Compression can be set, as in gRPC, and changes nothing: there is none on this wire. The attributes that
    are no methods are the call's state, for this package.
    """

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

    requests: ServedRequests | None = None
    """What the client streams."""

    responses: ServedResponses | None = None
    """What is streamed to it."""

    deserialize: Callable[[bytes], Any]
    """Of the requests; there if they are streamed."""

    _code: grpc.StatusCode | int | None = None
    _details = ""
    _trailing: tuple[tuple[str, str | bytes], ...] = ()
    _aborted: BaseException | None = None
    _callbacks: tuple[Callable[[Any], object], ...] = ()

    def __init__(self, connection: Served, call: int, first: Any) -> None:
        self._connection = connection
        self._call = call
        self._first = first

    # What servicers call.

    async def read(self) -> Any:
        """The next request, or ``grpc.aio.EOF`` after the last. Cancelling it loses no request.

        Raises what the deserializer raises, and ``AbortError`` after ``abort``.
        """
        self.check_running()
        if self.requests is None:
            return grpc.aio.EOF
        payload = await self.requests.read()
        return grpc.aio.EOF if payload is None else self.deserialize(payload)

    async def write(self, message: Any) -> None:
        """Send a response; returns when another one may be made.

        Raises what the serializer raises, ``UsageError`` where there is just one response, ``AbortError``
        after ``abort``.
        """
        self.check_running()
        if self.responses is None:
            raise grpc.aio.UsageError("the method has one response, which it returns")
        self.initial_sent = True
        await self.responses.write(message)

    async def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Send initial metadata at once; possible one time, and before the first response."""
        self.check_running()
        if self.initial_sent:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        try:
            metadata = checked(initial_metadata)
        except (grpc.aio.InternalError, TypeError, ValueError):
            self.imposed = _INVALID
            self.changed = True
            raise
        task = self.task or asyncio.current_task()
        if task is not None and task.cancelling():
            # The client may have given the call's id to another one.
            raise asyncio.CancelledError
        self.initial_sent = True
        self._connection.tell(Envelope(call=self._call, metadata=metadata))

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """End the call with ``code``; raises ``AbortError``, always."""
        self.abort_now(code, details, trailing_metadata)

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with code, details and trailing metadata of ``status``; raises ``AbortError``."""
        self.abort_now(status.code, status.details, status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """What is sent with the status."""
        self._trailing = tuple(trailing_metadata)
        self.changed = True

    def trailing_metadata(self) -> Any:
        """What was set, as a tuple."""
        return self._trailing

    def invocation_metadata(self) -> Any:
        """The client's metadata: a tuple of ``Metadatum``."""
        if self._first is None:
            return ()
        return tuple(Metadatum(key, value) for key, value in unpack(self._first.metadata))

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status code at the end of the call; also when the method raises something."""
        self._code = code
        self.changed = True

    def code(self) -> Any:
        """What was set; ``None`` if nothing was."""
        return self._code

    def set_details(self, details: str) -> None:
        """The status's text."""
        self._details = details
        self.changed = True

    def details(self) -> str:
        """What was set; empty if nothing was."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing is compressed on this wire; ``RuntimeError`` after the initial metadata, as in gRPC."""
        if self.initial_sent:
            raise RuntimeError("Compression setting must be specified before sending initial metadata")

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed on this wire."""

    def peer(self) -> str:
        """Who calls, as gRPC writes it: ``ipv4:127.0.0.1:50312``."""
        return self._connection.identity.peer

    def peer_identities(self) -> Iterable[bytes] | None:
        """The names in the client's certificate; ``None`` if it has shown none."""
        return self._connection.identity.identities

    def peer_identity_key(self) -> str | None:
        """Which property of ``auth_context`` these are."""
        return self._connection.identity.key

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What is known of the client, by gRPC's names for it."""
        return dict(self._connection.identity.auth_context)

    # The stub of grpc.aio leaves the None out that it documents.
    def time_remaining(self) -> float | None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """Seconds until the client's deadline, at least 0; ``None`` without a deadline."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - self._connection.loop.time())

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback`` with this context when the call has ended, in whatever way."""
        self._callbacks = (*self._callbacks, callback)
        self.changed = True

    def cancelled(self) -> bool:
        """Whether the client gave the call up, its time ran out, or connection or server were stopped."""
        return self.was_cancelled

    def done(self) -> bool:
        """Whether the method has ended or aborted the call."""
        return self.over or self._aborted is not None

    # What this package calls.

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
            _logger.error("abort was called with StatusCode.OK, which is answered with UNKNOWN")
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

    async def write_all(self, messages: AsyncIterator[Any]) -> None:
        """Send all that a generator gives."""
        assert self.responses is not None
        await self.responses.write_all(messages, self)

    def expire(self) -> None:
        """The client's time is up."""
        self.impose(failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def impose(self, end: Any) -> None:
        """Cancel the method and end the call with ``end``, whatever it does about that."""
        if not self.over and self.imposed is None:
            self.imposed = end
            self.changed = self.was_cancelled = True
            if self.task is not None and self.task is not asyncio.current_task():
                self.task.cancel()

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
            for callback in self._callbacks:
                try:
                    callback(self)
                except Exception:
                    _logger.exception("a done callback of a call from %s failed", self._connection.peer)

    def _last_message(self, error: BaseException | None, payload: bytes | None) -> Any:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if self.imposed is not None:
            return self.imposed
        if self._aborted is not None:
            if error is not self._aborted:
                _logger.error(
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
        _logger.error("unexpected %s in %s", kind, self.path, exc_info=error)
        text = f"Unexpected {type(error)}: {error}"
        return self._with_status(_number(self._code) or grpc.StatusCode.UNKNOWN.value[0], text)

    def _with_status(self, number: int, details: str) -> Any:
        return self._with_trailing(Envelope(status=Status(code=number, details=details)))

    def _with_trailing(self, message: Any) -> Any:
        if self._trailing:
            try:
                message.trailing_metadata = checked(self._trailing)
            except (grpc.aio.InternalError, TypeError, ValueError):
                return _INVALID
        return message


def _number(code: grpc.StatusCode | int | None) -> int:
    if code is None:
        return 0
    if isinstance(code, grpc.StatusCode):
        return code.value[0]
    return code if code in _NUMBERS else grpc.StatusCode.UNKNOWN.value[0]
