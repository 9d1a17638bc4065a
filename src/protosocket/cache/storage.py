"""A storage's handler of encoded commands, for transports that carry them as bytes."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands import execute_of_client
from protosocket.cache.commands.answers import invalid
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import InvalidMessage

__all__ = ["StorageHandler"]

_decode: Any = MESSAGES.decoder(MESSAGES.CacheCommand)
_Response: Any = MESSAGES.CacheResponse
_NOT_A_COMMAND = MESSAGES.encode(invalid("not a CacheCommand"))


class StorageHandler:
    """Turns a ``CacheCommand`` into its ``CacheResponse``, at once and without raising, by the command table.

    A miss is error 5 with the text ``Key not found``. A command that makes no sense (no command in it,
    an empty namespace) is error 3, INVALID_ARGUMENT; an entry that can never fit is error 8,
    RESOURCE_EXHAUSTED; reading a collection is error 9, FAILED_PRECONDITION. What the cache's clients have no
    method for (caches, most operations on items) is error 12, UNIMPLEMENTED, here. An empty key is a key.
    Authenticating belongs to the connection: the transport answers it, and here it is error 3. The message
    id is echoed.
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine it works on."""
        return self._engine

    def handle(self, command: CacheCommand) -> CacheResponse:
        """The response to ``command``, with its message id."""
        return CacheResponse.FromString(self.handle_bytes(command.SerializeToString()))

    def handle_bytes(self, command: bytes) -> bytes:
        """The encoded response to the encoded ``command``; bytes that are no CacheCommand are error 3."""
        try:
            parsed = _decode(command)
        except InvalidMessage:
            return _NOT_A_COMMAND
        response = MESSAGES.encode(execute_of_client(self._engine, parsed.unary))
        # Responses are shared, so the id is put behind: messages that follow each other are merged.
        return response + MESSAGES.encode(_Response(message_id=parsed.message_id))
