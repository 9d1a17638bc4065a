"""Carries out the cache's commands on an engine; every transport's storage server calls it."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from protosocket.cache.commands import KEY_NOT_FOUND, error_response
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_cache_pb2 import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNIMPLEMENTED,
    CacheCommand,
    CacheResponse,
    CommandError,
)
from protosocket.errors import CacheError

__all__ = ["StorageHandler"]

_MISS = CommandError(code=NOT_FOUND, message=KEY_NOT_FOUND)


class StorageHandler:
    """Turns a ``CacheCommand`` into its ``CacheResponse``, at once and without raising.

    A miss is error 5 with the text ``Key not found``. A command that makes no sense (no command in it,
    an empty namespace) is error 3, INVALID_ARGUMENT; an entry that can never fit is error 8,
    RESOURCE_EXHAUSTED; reading a collection is error 9, FAILED_PRECONDITION. What is not in Momento's
    protosocket protocol (items, caches) is error 12, UNIMPLEMENTED, here. An empty key is a key.
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
        response = self._carry_out(command)
        response.message_id = command.message_id
        return response

    def _carry_out(self, command: CacheCommand) -> CacheResponse:
        # Fields are assigned because constructors with keywords take three times as long.
        unary = command.unary
        kind = unary.WhichOneof("command")
        response = CacheResponse()
        if kind == "get":
            get = unary.get
            namespace = get.namespace
            if not namespace:
                return _invalid("the namespace is empty")
            try:
                value = self._engine.get(namespace, get.key)
            except CacheError as error:
                return error_response(0, error)
            if value is None:
                response.error.CopyFrom(_MISS)
            else:
                response.get.value = value
        elif kind == "set":
            put = unary.set
            namespace = put.namespace
            if not namespace:
                return _invalid("the namespace is empty")
            try:
                self._engine.set(namespace, put.key, put.value, put.ttl_milliseconds)
            except CacheError as error:
                return error_response(0, error)
            response.set.SetInParent()
        elif kind == "delete":
            delete = unary.delete
            if not delete.namespace:
                return _invalid("the namespace is empty")
            self._engine.delete(delete.namespace, delete.key)
            response.delete.SetInParent()
        elif kind == "auth":
            return _invalid("this connection does not take Authenticate")
        elif kind is None:
            return _invalid("there is no command in the message")
        else:
            text = f"a {kind} command is for the protosocket hop"
            return CacheResponse(error=CommandError(code=UNIMPLEMENTED, message=text))
        return response

    def handle_bytes(self, command: bytes) -> bytes:
        """The encoded response to the encoded ``command``; bytes that are no CacheCommand are error 3."""
        try:
            parsed = CacheCommand.FromString(command)
        except DecodeError:
            return _invalid("not a CacheCommand").SerializeToString()
        return self.handle(parsed).SerializeToString()


def _invalid(text: str) -> CacheResponse:
    return CacheResponse(error=CommandError(code=INVALID_ARGUMENT, message=text))
