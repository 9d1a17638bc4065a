"""The context that a servicer's method is given: what it says of the call, and how it ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

import grpc

from protosocket.grpc.server.server_call import INVALID_METADATA, ServerCall
from protosocket.grpc.wire.envelope import Envelope, unpack
from protosocket.grpc.wire.metadata import checked

__all__ = ["Metadatum", "ServicerContext"]


class Metadatum(NamedTuple):
    """A key and its value, which is ``bytes`` where the key ends in ``-bin``."""

    key: str
    value: str | bytes


class ServicerContext(ServerCall, grpc.aio.ServicerContext[Any, Any]):
    """One call, as its servicer sees it: the methods are those of ``grpc.aio.ServicerContext``.

    Compression can be set, as in gRPC, and changes nothing: there is none on this wire. What else it has is
    for this package.
    """

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
            self.imposed = INVALID_METADATA
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
