"""Feeding a call's requests from the caller's iterator, for as long as the call goes on."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, Final, Protocol

from grpc import aio

from protosocket.event_loops import background_task
from protosocket.grpc.client.method import Method
from protosocket.grpc.client.requests import Requests
from protosocket.grpc.wire.status import failure

__all__ = ["Feeder"]

_ITEMS_A_TURN: Final = 128
"""Requests that are sent before other tasks get their turn."""

_logger = logging.getLogger(__name__)


class _Call(Protocol):
    def stop_feeding(self, end: Any) -> None: ...


class Feeder:
    """A task that sends what an iterator gives. The call's end ends it, and closes a generator.

    It knows the call weakly, so that one that is forgotten while the iterator waits can be collected.
    """

    __slots__ = ("_call", "_is_feeding", "_items", "_method", "_requests", "_task")

    def __init__(
        self,
        call: _Call,
        method: Method,
        requests: Requests,
        items: AsyncIterable[Any] | Iterable[Any],
    ) -> None:
        self._call = weakref.ref(call)
        self._method = method
        self._requests = requests
        self._items = items
        self._is_feeding = False
        self._task: asyncio.Task[None] | None = None
        # Held until the call has ended: a task that nobody holds can be collected while it waits.
        requests.on_over = self.stop
        background_task(asyncio.get_running_loop(), self._run())

    def stop(self) -> None:
        """The call has ended: nothing more is sent, whatever the iterator waits for."""
        task = self._task
        if self._is_feeding and task is not None and not task.get_loop().is_closed():
            self._is_feeding = False
            task.cancel()

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        self._is_feeding = True
        try:
            await self._feed()
        except asyncio.CancelledError:
            self._give_up()
        except Exception:
            _logger.debug("the iterator of requests of %s failed", self._method.path, exc_info=True)
            self._give_up()
        finally:
            # What ends the call from here on does not interrupt the caller's own clean-up.
            self._is_feeding = False
            self._requests.on_over = None
            await self._close()

    async def _feed(self) -> None:
        requests, encode, items = self._requests, self._method.request, self._items
        if requests.is_over:
            return
        count = 0
        async for request in items if isinstance(items, AsyncIterable) else _each(items):
            if requests.is_over:
                return
            try:
                payload = encode(request)
            except aio.AioRpcError as error:
                self._give_up(failure(error.code(), error.details() or ""))
                return
            if not requests.try_send(payload) and not await requests.send(payload):
                return
            count += 1
            if count % _ITEMS_A_TURN == 0:
                # What never waits must not keep the event loop for itself.
                await asyncio.sleep(0)
        if not requests.is_over:
            requests.half_close()

    def _give_up(self, end: Any = None) -> None:
        self._is_feeding = False
        call = self._call()
        # One that has ended keeps its answer, which may not have been read yet.
        if call is not None and not self._requests.is_over:
            call.stop_feeding(end)

    async def _close(self) -> None:
        """Close a generator; any other iterator is the caller's, who may go on with it."""
        items = self._items
        try:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
            elif isinstance(items, Generator):
                items.close()
        except Exception:
            _logger.debug("closing the requests of %s failed", self._method.path, exc_info=True)


async def _each(items: Iterable[Any]) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item
