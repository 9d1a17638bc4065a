"""The cache's commands as its clients exchange them: encoded bytes, for which no message object is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protosocket import _core
from protosocket._core import DoneReader, ValueReader, WireCodec
from protosocket.cache.commands import KEY_NOT_FOUND, cache_error, ttl_milliseconds
from protosocket.cache.protosocket_cache_pb2 import NOT_FOUND
from protosocket.cache.protosocket_codec import command_layout, response_layout
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.cache.results import GetResult, Hit, Miss
from protosocket.errors import CacheError
from protosocket.rpc import Codec

__all__ = [
    "EncodedCodec",
    "authenticate_command",
    "delete_command",
    "get_command",
    "read_authenticated",
    "read_delete",
    "read_get",
    "read_set",
    "set_command",
]

_MISS = Miss()
_response = MESSAGES.decoder(MESSAGES.CacheResponse)


class EncodedCodec(Codec[bytes, bytes]):
    """The RPC codec of commands and responses that are bytes; the wire is that of ``cache_codec``."""

    def client_wire(self) -> WireCodec:
        """Commands go out, responses come in."""
        return WireCodec("varint", None, None, command_layout(), response_layout())

    def server_wire(self) -> WireCodec:
        """Responses go out, commands come in."""
        return WireCodec("varint", None, None, response_layout(), command_layout())


get_command: Callable[[str, bytes], bytes] = _core.get_command
"""A read of ``(namespace, key)``."""

delete_command: Callable[[str, bytes], bytes] = _core.delete_command
"""A removal of ``(namespace, key)``."""


def set_command(namespace: str, key: bytes, value: bytes, ttl: float) -> bytes:
    """A write for ``ttl`` seconds; raises ``OptionError`` for a ``ttl`` that is none."""
    return _core.set_command(namespace, key, value, ttl_milliseconds(ttl))


def authenticate_command(token: str) -> bytes:
    """The first command on a connection that needs a token."""
    authenticate = MESSAGES.AuthenticateCommand(token=token)
    return MESSAGES.encode(MESSAGES.CacheCommand(unary=MESSAGES.Unary(auth=authenticate)))


def _read_other(encoded: bytes) -> GetResult:
    """A read's response that is not simply a value."""
    response = _response(encoded)
    if response.get is not None:
        return Hit(response.get.value)
    error = response.error
    if error is not None and error.code == NOT_FOUND and error.message == KEY_NOT_FOUND:
        return _MISS
    raise _unexpected(response)


read_get: Callable[[bytes], GetResult] = ValueReader(Hit, _read_other)
"""What a read found; raises the error in the response, ``CacheError`` for one to something else."""


def _read_set(encoded: bytes) -> None:
    """A write's response that is not simply one."""
    response = _response(encoded)
    if response.set is None:
        raise _unexpected(response)


read_set: Callable[[bytes], None] = DoneReader("set", _read_set)
"""Nothing if the response is to a write; raises as ``read_get`` does."""


def _read_delete(encoded: bytes) -> None:
    """A removal's response that is not simply one."""
    response = _response(encoded)
    if response.delete is None:
        raise _unexpected(response)


read_delete: Callable[[bytes], None] = DoneReader("delete", _read_delete)
"""Nothing if the response is to a removal; raises as ``read_get`` does."""


def read_authenticated(encoded: bytes) -> None:
    """Nothing if the token was accepted; raises the error in the response."""
    response = _response(encoded)
    if response.error is not None:
        raise _unexpected(response)


def _unexpected(response: Any) -> CacheError:
    if response.error is not None:
        return cache_error(response.error.code, response.error.message)
    kind = MESSAGES.which_oneof(response, "kind")
    return CacheError(f"the cache sent an answer to something else: {kind or 'nothing'}", detail=kind or "")
