"""Calls that are made again when they failed: the driver of each, which runs in a task."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.call_channel import CallChannel
from protosocket.grpc.client.calls import UnaryUnaryCall
from protosocket.grpc.client.first_message import FirstMessage
from protosocket.grpc.client.method import Method
from protosocket.grpc.client.responses import Responses
from protosocket.grpc.client.retry_policy import Retries
from protosocket.grpc.client.starting import start
from protosocket.grpc.wire.envelope import pack
from protosocket.grpc.wire.status import CANCELLED_HERE, COLLECTED, EXPIRED

__all__ = ["RetriedResponses", "attempt_unary", "retry_stream", "retry_unary"]


async def retry_unary(call: ClientCall, method: Method, first: FirstMessage, retries: Retries) -> None:
    """Make ``call``, which has one request and one response, until it succeeds or nothing is tried again."""
    try:
        async with asyncio.timeout_at(call.deadline):
            while True:
                end = await attempt_unary(call, method, first, retries.attempt)
                wait = retries.next(end)
                if wait is None:
                    break
                await asyncio.sleep(wait)
    except TimeoutError:
        end = EXPIRED
    call.finish(end)


async def attempt_unary(call: ClientCall, method: Method, first: FirstMessage, number: int) -> Any:
    """The message that ends attempt ``number`` of ``call``; cancelling this cancels the attempt."""
    attempt = UnaryUnaryCall(method, asyncio.get_running_loop().create_future(), deadline=call.deadline)
    try:
        await start(attempt, method.channel, _numbered(first, number))
        return await attempt.ended()
    finally:
        attempt.cancel()


async def retry_stream(
    call: ClientCall, channel: CallChannel, first: FirstMessage, retries: Retries, responses: Responses
) -> None:
    """Make ``call``, whose ``responses`` stream, until an answer begins or nothing is tried again."""
    assert isinstance(responses, RetriedResponses)
    end = None
    try:
        async with asyncio.timeout_at(call.deadline):
            while True:
                responses.attempt = asyncio.get_running_loop().create_future()
                await start(call, channel, _numbered(first, retries.attempt))
                end = await responses.attempt
                if end is None:
                    return
                wait = retries.next(end)
                if wait is None:
                    break
                await asyncio.sleep(wait)
    except TimeoutError:
        end = EXPIRED
    except Exception:
        # It ends the call, not the attempt.
        responses.attempt = None
        raise
    call.finish(end)


class RetriedResponses(Responses):
    """Streamed responses of a call that may be made again until the first thing of an answer is there."""

    __slots__ = ("attempt",)

    def __init__(self) -> None:
        super().__init__()
        self.attempt: asyncio.Future[Any] | None = None
        """Completed with the message that ended the attempt, or ``None`` if it is the one that counts."""

    def _first(self, message: Any) -> None:
        self._counts()
        super()._first(message)

    def begin(self, metadata: list[Any]) -> None:
        """The server sent its initial metadata."""
        self._counts()
        super().begin(metadata)

    def end(self, message: Any) -> None:
        """The attempt has ended, or the call."""
        attempt = self.attempt
        ended_here = message is CANCELLED_HERE or message is COLLECTED or message is EXPIRED
        if attempt is None or attempt.done() or ended_here:
            self._counts()
            super().end(message)
        else:
            attempt.set_result(message)

    def _counts(self) -> None:
        if self.attempt is not None and not self.attempt.done():
            self.attempt.set_result(None)


def _numbered(first: FirstMessage, attempt: int) -> FirstMessage:
    """``first`` as this attempt sends it."""
    if attempt == 1:
        return replace(first, metadata=list(first.metadata))
    previous = pack([("grpc-previous-rpc-attempts", str(attempt - 1))])
    return replace(first, metadata=[*first.metadata, *previous])
