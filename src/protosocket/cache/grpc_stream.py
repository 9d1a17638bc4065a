"""One long-lived gRPC stream that carries many calls at once, and comes back after it broke."""

from __future__ import annotations

import asyncio
import contextlib

from grpc import aio

from protosocket.cache.commands import cache_error
from protosocket.cache.grpc_channel import open_channel, token_metadata
from protosocket.cache.grpc_server import SERVICE
from protosocket.cache.grpc_writer import MessageWriter
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE, CacheResponse
from protosocket.errors import CacheError
from protosocket.event_loops import background_task

__all__ = ["GrpcStream"]

# A server that accepts streams and ends them at once must not make us spin.
_PAUSE_AFTER_BREAK = 0.05


class GrpcStream:
    """Calls over ``Cache.Stream`` to one server, matched by message ids of the stream's own.

    It connects when made (inside a running loop) and again whenever the stream breaks. Calls under way fail
    as soon as it does, and so do new ones until it is back.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._url = url
        self._metadata = token_metadata(token)
        self._channel = open_channel(url)
        self._open: aio.StreamStreamMultiCallable[bytes, CacheResponse] = self._channel.stream_stream(
            f"/{SERVICE}/Stream", response_deserializer=CacheResponse.FromString
        )
        self._writer: MessageWriter | None = None
        self._next_id = 1
        self._pending: dict[int, tuple[asyncio.Future[CacheResponse], int]] = {}
        self._up = asyncio.Event()
        self._reason = "not connected yet"
        self._run_task = background_task(asyncio.get_running_loop(), self._run(), f"grpc stream to {url}")

    async def connect(self, timeout: float) -> bool:
        """Wait until the stream is up, for ``timeout`` seconds at most; whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), timeout)
        return self._up.is_set()

    def call(self, message_id: int, command: bytes) -> asyncio.Future[CacheResponse]:
        """The answer to the encoded ``command``, carrying ``message_id``, which is the one in it.

        Raises ``CacheUnavailable``, here or in the future, when the stream is down. Cancelling the future
        gives up waiting; the server still carries the command out.
        """
        if self._writer is None:
            raise self._unavailable()
        own_id = self._next_id
        self._next_id += 1
        answer: asyncio.Future[CacheResponse] = asyncio.get_running_loop().create_future()
        self._pending[own_id] = (answer, message_id)
        # Of a field that is there twice protobuf reads the last, so the id is replaced without decoding.
        self._writer.push(command + b"\x10" + _varint(own_id))
        return answer

    async def close(self) -> None:
        """Close the stream and its connection; calls under way fail. Again does nothing."""
        self._reason = "the client was closed"
        self._run_task.cancel()
        await asyncio.wait((self._run_task,))
        await self._channel.close()

    async def _run(self) -> None:
        while True:
            stream = self._open(metadata=self._metadata, wait_for_ready=True)
            try:
                await self._serve(stream)
            except aio.AioRpcError as error:
                self._reason = f"{error.code().name}: {error.details()}"
            finally:
                stream.cancel()
            await asyncio.sleep(_PAUSE_AFTER_BREAK)

    async def _serve(self, stream: aio.StreamStreamCall[bytes, CacheResponse]) -> None:
        # The server sends its metadata at once: only then is it known to take commands.
        await stream.initial_metadata()
        writer = MessageWriter(stream.write)
        writing = background_task(asyncio.get_running_loop(), writer.run(), f"writer to {self._url}")
        self._writer = writer
        self._up.set()
        pending = self._pending
        try:
            async for response in stream:
                known = pending.pop(response.message_id, None)
                if known is None:
                    continue
                answer, response.message_id = known
                if not answer.done():
                    answer.set_result(response)
            self._reason = f"{(await stream.code()).name}: {await stream.details()}"
        finally:
            self._writer = None
            self._up.clear()
            writing.cancel()
            # What broke the writer has broken the stream, and is told by its status.
            await asyncio.wait((writing,))
            if not writing.cancelled():
                writing.exception()
            self._fail_pending()

    def _fail_pending(self) -> None:
        pending = list(self._pending.values())
        self._pending.clear()
        for answer, _ in pending:
            if not answer.done():
                answer.set_exception(self._unavailable())

    def _unavailable(self) -> CacheError:
        return cache_error(UNAVAILABLE, f"{self._url} is not connected ({self._reason})")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
