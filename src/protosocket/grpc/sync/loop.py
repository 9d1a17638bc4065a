"""An event loop in a thread of its own, for code that blocks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import grpc

from protosocket.event_loops import hold_standard_descriptors, stops_with_the_interpreter
from protosocket.limited_log import limited_log

__all__ = ["HasThread", "LoopThread"]

T = TypeVar("T")
Last = Callable[[], Coroutine[Any, Any, None]]


class LoopThread:
    """Runs coroutines for other threads; it is started when it is made. ``stop`` ends it."""

    def __init__(self, name: str) -> None:
        self.loop = _new_event_loop()
        # A collection of garbage may call ``stop`` in a thread that is in ``submit`` already.
        self._lock = threading.RLock()
        self._is_stopped = False
        self._last: Last | None = None
        self._callers = concurrent.futures.ThreadPoolExecutor(thread_name_prefix=f"{name}-callbacks")
        self._is_parked = False
        stops_with_the_interpreter(self.loop, self._park)
        # Threads that are no daemons may use the channel after the main thread has ended.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        try:
            self.loop.run_until_complete(self._finish())
        finally:
            self.loop.close()
            self._callers.shutdown(wait=False)

    def _park(self) -> None:
        """The interpreter ends, and with it this thread and those that wait for it; the main one must not."""
        self._is_parked = True

    async def _finish(self) -> None:
        try:
            if self._last is not None:
                await self._last()
        finally:
            # Somebody may wait for each of them, and nothing would run them any more.
            itself = asyncio.current_task()
            while tasks := [task for task in asyncio.all_tasks() if task is not itself]:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await self.loop.shutdown_asyncgens()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin to run ``coroutine``; raises ``ValueError`` after ``stop``, as gRPC's closed channels do."""
        with self._lock:
            if not self._is_stopped and not (self._is_parked and _is_main_thread()):
                return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        coroutine.close()
        raise ValueError("Cannot invoke RPC on closed channel!")

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run ``coroutine`` and wait for what it returns or raises.

        Raises ``grpc.FutureTimeoutError`` after ``timeout`` seconds (default: none); the coroutine goes on.
        Raises ``grpc.FutureCancelledError`` if ``stop`` cancelled it, and ``RuntimeError`` in the loop's own
        thread. An interrupt of the waiting thread, such as Ctrl-C, cancels it.
        """
        try:
            self.require_other_thread()
        except RuntimeError:
            coroutine.close()
            raise
        future = self.submit(coroutine)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            raise grpc.FutureTimeoutError from None
        except concurrent.futures.CancelledError:
            raise grpc.FutureCancelledError from None
        except (KeyboardInterrupt, SystemExit):
            future.cancel()
            raise

    def require_other_thread(self) -> None:
        """Raise ``RuntimeError`` in the loop's own thread, which would wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("the event loop's own thread cannot wait for a call; use another thread")

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call ``callback`` in the thread; nothing happens after it has ended."""
        # The loop says so with this error when it is closed.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *arguments)

    def hand_over(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call the user's ``callback`` where it may wait for calls: not in the loop's thread.

        In any other thread it is called at once. What it raises is logged.
        """
        if threading.current_thread() is not self._thread:
            _call(callback, arguments)
            return
        # The interpreter starts no threads while it ends.
        with contextlib.suppress(RuntimeError):
            self._callers.submit(_call, callback, arguments)

    def stop(self, last: Last | None = None, wait: bool = True) -> None:
        """Take no further coroutine, run what ``last`` makes, cancel all others and end the thread.

        Returns when the thread has ended; at once if ``wait`` is false, and in the thread itself. May be
        repeated, by several threads at once: the first one's ``last`` is run.
        """
        with self._lock:
            if not self._is_stopped:
                self._is_stopped = True
                self._last = last
                self.loop.call_soon_threadsafe(self.loop.stop)
        if wait and not self._is_parked and threading.current_thread() is not self._thread:
            self._thread.join()


class HasThread(Protocol):
    """A blocking channel, whose thread ends when nobody holds it any more."""

    @property
    def thread(self) -> LoopThread:
        """Runs everything that the channel does."""
        ...


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _call(callback: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        callback(*arguments)
    except Exception as error:
        limited_log.error("a callback of a call failed: %r", callback, exc_info=error)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    # uvloop aborts the process when it closes a descriptor of a standard stream that was closed before.
    hold_standard_descriptors()
    return uvloop.new_event_loop()
