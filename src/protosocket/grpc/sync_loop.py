"""An event loop in a thread of its own, for code that blocks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import grpc

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads; it is started when it is made. ``stop`` ends it."""

    def __init__(self, name: str) -> None:
        self.loop = _new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin to run ``coroutine``; raises ``ValueError`` after ``stop``, as gRPC's closed channels do."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as error:
            coroutine.close()
            raise ValueError("Cannot invoke RPC on closed channel!") from error

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run ``coroutine`` and wait for what it returns or raises.

        Raises ``grpc.FutureTimeoutError`` after ``timeout`` seconds (default: none); the coroutine goes on.
        An interrupt of the waiting thread, such as Ctrl-C, cancels it.
        """
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

    def call_soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call ``callback`` in the thread; nothing happens after ``stop``."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(callback, *arguments)

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End the thread once it has run what it was asked to, and wait for that."""
        if self._thread.is_alive():
            self.call_soon(self.loop.stop)
            if threading.current_thread() is not self._thread:
                self._thread.join()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
