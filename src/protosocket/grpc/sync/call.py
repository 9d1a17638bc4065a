"""Calls of a blocking channel: the methods of ``grpc.Call`` and ``grpc.Future``, and iteration."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from grpc import aio

from protosocket.grpc.client.reraised import Repeated
from protosocket.grpc.sync.loop import HasThread, LoopThread

if TYPE_CHECKING:
    _Future = grpc.Future[Any]
else:
    # grpcio's own classes are not generic.
    _Future = grpc.Future

__all__ = ["SyncCall", "SyncError", "SyncStream", "SyncUnary"]

_BATCH: Final = 64
"""Messages that are taken from a stream in one visit of the loop's thread."""


class SyncError(grpc.RpcError, grpc.Call, _Future):
    """What blocking calls raise for another status than OK; it is also the ended call."""

    def __init__(self, error: aio.AioRpcError) -> None:
        super().__init__(str(error))
        self._error = error

    def __str__(self) -> str:
        return str(self._error).replace("AioRpcError", "SyncError", 1)

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._error.code()

    def details(self) -> str:
        """The status's text."""
        return self._error.details() or ""

    def debug_error_string(self) -> str:
        """The status in one line."""
        return self._error.debug_error_string() or ""

    def initial_metadata(self) -> Any:
        """Pairs of keys and values."""
        return tuple(self._error.initial_metadata() or ())

    def trailing_metadata(self) -> Any:
        """Pairs of keys and values."""
        return tuple(self._error.trailing_metadata() or ())

    def is_active(self) -> bool:
        """It has ended."""
        return False

    def time_remaining(self) -> Any:
        """It has ended."""
        return None

    def cancel(self) -> bool:
        """It has ended."""
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """It has ended: ``callback`` is not called."""
        return False

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.code() is grpc.StatusCode.CANCELLED

    def running(self) -> bool:
        """It has ended."""
        return False

    def done(self) -> bool:
        """It has ended."""
        return True

    def result(self, timeout: float | None = None) -> Any:
        """Raises this error."""
        raise self

    def exception(self, timeout: float | None = None) -> Exception:
        """This error."""
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        """Where it was raised."""
        return self.__traceback__

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call ``fn`` at once."""
        fn(self)


class SyncCall(grpc.Call):
    """What blocking calls of all kinds have in common; every method may be called from any thread."""

    def __init__(self, channel: HasThread, call: Any, requests: Iterable[Any] | None = None) -> None:
        self._channel = channel
        self._thread = channel.thread
        self._call = call
        if requests is not None:
            # The caller's iterator may block, so it gets a thread of its own; that does not hold this call,
            # which may be forgotten while the iterator blocks.
            threading.Thread(
                target=_feed, args=(channel.thread, call, requests), name="protosocket-requests", daemon=True
            ).start()

    def code(self) -> grpc.StatusCode:
        """Wait for the call's end; its status."""
        code: grpc.StatusCode = self._thread.run(self._call.code())
        return code

    def details(self) -> str:
        """Wait for the call's end; its status's text."""
        details: str = self._thread.run(self._call.details())
        return details

    def debug_error_string(self) -> str:
        """Wait for the call's end; its status in one line."""
        text: str = self._thread.run(self._call.debug_error_string())
        return text

    def initial_metadata(self) -> Any:
        """Wait for the server's initial metadata: pairs of keys and values."""
        return tuple(self._thread.run(self._call.initial_metadata()) or ())

    def trailing_metadata(self) -> Any:
        """Wait for the call's end: pairs of keys and values."""
        return tuple(self._thread.run(self._call.trailing_metadata()) or ())

    def is_active(self) -> bool:
        """Whether the call goes on."""
        return not self._call.done()

    def time_remaining(self) -> Any:
        """Seconds until the deadline; ``None`` without one."""

        async def remaining() -> float | None:
            left: float | None = self._call.time_remaining()
            return left

        return self._thread.run(remaining())

    def cancel(self) -> bool:
        """End the call and tell the server to stop; false if it had ended."""
        if self._call.done():
            return False
        self._thread.call_soon(self._call.cancel)
        return True

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call ``callback``, in a thread for callbacks, when the call has ended; false if it has."""
        if self._call.done():
            return False
        thread = self._thread
        thread.call_soon(self._call.add_done_callback, lambda _: thread.hand_over(callback))
        return True


class SyncUnary(SyncCall, _Future):
    """A call with one response, which others may wait for; what ``multicallable.future(...)`` gives."""

    def __init__(self, channel: HasThread, call: Any, requests: Iterable[Any] | None = None) -> None:
        super().__init__(channel, call, requests)
        self._error: Repeated[BaseException] | None = None
        self._response = channel.thread.submit(self._wait())

    async def _wait(self) -> Any:
        try:
            return await self._call
        except aio.AioRpcError as error:
            raise SyncError(error) from None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the response.

        Raises ``SyncError`` for another status than OK, ``grpc.FutureCancelledError`` if the call was
        cancelled, ``grpc.FutureTimeoutError`` after ``timeout`` seconds, and ``RuntimeError`` if it had to
        wait in the loop's own thread.
        """
        error = self._until_end(timeout)
        if error is not None:
            raise error.error
        return self._response.result()

    def exception(self, timeout: float | None = None) -> Any:
        """Wait for the end; what ``result`` raises for its status, or ``None``."""
        error = self._until_end(timeout)
        if error is None:
            return None
        if isinstance(error.error, SyncError):
            return error.error
        raise error.error

    def _until_end(self, timeout: float | None) -> Repeated[BaseException] | None:
        if not self._response.done():
            self._thread.require_other_thread()
        try:
            error = self._response.exception(timeout)
        except concurrent.futures.CancelledError:
            raise grpc.FutureCancelledError from None
        except TimeoutError:
            raise grpc.FutureTimeoutError from None
        except (KeyboardInterrupt, SystemExit):
            self.cancel()
            raise
        if error is not None and self._error is None:
            self._error = Repeated(error)
        return self._error

    def traceback(self, timeout: float | None = None) -> Any:
        """Wait for the end; where its error was raised, or ``None``."""
        error = self.exception(timeout)
        return None if error is None else error.__traceback__

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return bool(self._call.cancelled())

    def running(self) -> bool:
        """Whether it goes on."""
        return self.is_active()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._response.done()

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call ``fn`` with this call once it has ended, in a thread for callbacks; at once if it has.

        It may wait for this call and for others.
        """
        self._response.add_done_callback(lambda _: self._thread.hand_over(fn, self))


class SyncStream(SyncCall, Iterator[Any]):
    """A call with many responses: iterate over it. One that nobody holds any more is cancelled."""

    def __init__(self, channel: HasThread, call: Any, requests: Iterable[Any] | None = None) -> None:
        super().__init__(channel, call, requests)
        self._taken: deque[Any] = deque()
        self._end: BaseException | None = None

    def __del__(self) -> None:
        # The loop's thread has to do it; the method holds the call until then.
        if getattr(self, "_end", self) is None:
            self._thread.call_soon(self._call.cancel)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """The next response; raises ``SyncError`` at the end of an answer whose status is not OK."""
        if not self._taken:
            if self._end is None:
                self._thread.run(self._take())
            if not self._taken and self._end is not None:
                raise self._end
        return self._taken.popleft()

    async def _take(self) -> None:
        """Wait for a response, and take those that came with it."""
        try:
            while len(self._taken) < _BATCH:
                response = await self._call.read()
                if response is aio.EOF:
                    self._end = StopIteration()
                    return
                self._taken.append(response)
                if not self._call.responses.items:
                    return
        except aio.AioRpcError as error:
            self._end = SyncError(error)
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
            self._end = SyncError(
                aio.AioRpcError(grpc.StatusCode.CANCELLED, details=await self._call.details())
            )


def _feed(thread: LoopThread, call: Any, requests: Iterable[Any]) -> None:
    try:
        for request in requests:
            thread.run(call.write(request))
        thread.run(call.done_writing())
    except (grpc.RpcError, grpc.FutureCancelledError, asyncio.InvalidStateError, ValueError):
        # The call or the channel has ended; who waits for it hears why.
        thread.call_soon(call.cancel)
    except Exception:
        thread.call_soon(call.cancel)
        raise
    finally:
        if isinstance(requests, Generator):
            requests.close()
