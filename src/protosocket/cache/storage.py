"""Carries out the cache's commands on an engine; every transport's storage server calls it."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from protosocket.cache.commands import KEY_NOT_FOUND, error_response
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_cache_pb2 import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    CacheCommand,
    CacheResponse,
    CommandError,
    DeleteResponse,
    GetResponse,
    SetResponse,
)
from protosocket.errors import CacheError

__all__ = ["StorageHandler"]

_MISS = CommandError(code=NOT_FOUND, message=KEY_NOT_FOUND)
_SET = SetResponse()
_DELETE = DeleteResponse()


class StorageHandler:
    """Turns a ``CacheCommand`` into its ``CacheResponse``, at once and without raising.

    A miss is error 5 with the text ``Key not found``. A command that makes no sense (no command in it,
    an empty namespace) is error 3, INVALID_ARGUMENT; an entry that can never fit is error 8,
    RESOURCE_EXHAUSTED. An empty key is a key. Authenticating belongs to the connection: the transport answers
    it, and here it is error 3. The message id is echoed.
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine it works on."""
        return self._engine

    def handle(self, command: CacheCommand) -> CacheResponse:
        """The response to ``command``."""
        message_id = command.message_id
        unary = command.unary
        kind = unary.WhichOneof("command")
        if kind == "get":
            get = unary.get
            if not get.namespace:
                return _invalid(message_id, "the namespace is empty")
            value = self._engine.get(get.namespace, get.key)
            if value is None:
                return CacheResponse(message_id=message_id, error=_MISS)
            return CacheResponse(message_id=message_id, get=GetResponse(value=value))
        if kind == "set":
            put = unary.set
            if not put.namespace:
                return _invalid(message_id, "the namespace is empty")
            try:
                self._engine.set(put.namespace, put.key, put.value, put.ttl_milliseconds)
            except CacheError as error:
                return error_response(message_id, error)
            return CacheResponse(message_id=message_id, set=_SET)
        if kind == "delete":
            delete = unary.delete
            if not delete.namespace:
                return _invalid(message_id, "the namespace is empty")
            self._engine.delete(delete.namespace, delete.key)
            return CacheResponse(message_id=message_id, delete=_DELETE)
        if kind == "auth":
            return _invalid(message_id, "this connection does not take Authenticate")
        return _invalid(message_id, "there is no command in the message")

    def handle_bytes(self, command: bytes) -> bytes:
        """The encoded response to the encoded ``command``; bytes that are no CacheCommand are error 3."""
        try:
            parsed = CacheCommand.FromString(command)
        except DecodeError:
            return _invalid(0, "not a CacheCommand").SerializeToString()
        return self.handle(parsed).SerializeToString()


def _invalid(message_id: int, text: str) -> CacheResponse:
    return CacheResponse(message_id=message_id, error=CommandError(code=INVALID_ARGUMENT, message=text))
