"""The context of a servicer's method that is not async: usable from its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import grpc

from protosocket.grpc.server.context import ServicerContext
from protosocket.grpc.wire.status import failure

__all__ = ["SyncServicerContext"]


class SyncServicerContext(grpc.ServicerContext):
    """The methods of ``grpc.ServicerContext`` for one call that an event loop carries."""

    def __init__(self, context: ServicerContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def is_active(self) -> bool:
        """Whether the call has neither ended nor been given up."""
        return not self._context.done() and not self._context.cancelled()

    def time_remaining(self) -> Any:
        """Seconds until the client's deadline; ``None`` without one."""
        return self._context.time_remaining()

    def cancel(self) -> bool:
        """End the call with ``CANCELLED``; false if it has ended."""
        if not self.is_active():
            return False
        end = failure(grpc.StatusCode.CANCELLED, "Cancelled by the servicer")
        self._loop.call_soon_threadsafe(self._context.impose, end)
        return True

    def add_callback(self, callback: Callable[[], Any]) -> bool:
        """Call ``callback`` in the event loop when the call has ended; false if it has already."""
        if not self.is_active():
            return False
        self._context.add_done_callback(lambda _: callback())
        return True

    def invocation_metadata(self) -> Any:
        """The client's metadata."""
        return self._context.invocation_metadata()

    def peer(self) -> str:
        """Who calls."""
        return self._context.peer()

    def peer_identities(self) -> Iterable[bytes] | None:
        """The names in the client's certificate; ``None`` if it has shown none."""
        return self._context.peer_identities()

    def peer_identity_key(self) -> str | None:
        """Which property of ``auth_context`` these are."""
        return self._context.peer_identity_key()

    # Of lists of bytes: the stub's type is that of the client's side.
    def auth_context(self) -> Any:
        """What is known of the client."""
        return self._context.auth_context()

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing is compressed on this wire."""
        self._context.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed on this wire."""

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send initial metadata at once; possible one time, and before the first response."""
        sent = self._context.send_initial_metadata(initial_metadata)
        asyncio.run_coroutine_threadsafe(sent, self._loop).result()

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """What is sent with the status."""
        self._context.set_trailing_metadata(trailing_metadata)

    def trailing_metadata(self) -> Any:
        """What was set."""
        return self._context.trailing_metadata()

    def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with ``code``; raises ``AbortError``, always."""
        self._context.abort_now(code, details, trailing_metadata)

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with code, details and trailing metadata of ``status``; raises ``AbortError``."""
        self._context.abort_now(status.code, status.details, status.trailing_metadata or ())

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status code at the end of the call."""
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """The status's text."""
        self._context.set_details(details)

    def code(self) -> Any:
        """What was set; ``None`` if nothing was."""
        return self._context.code()

    def details(self) -> str:
        """What was set; empty if nothing was."""
        return self._context.details()
