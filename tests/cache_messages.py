"""The cache's commands and answers as protoc's messages: what the encoded ones are compared with."""

from __future__ import annotations

from protosocket.cache import Hit, Miss
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.commands import KEY_NOT_FOUND
from protosocket.cache.commands.times import ttl_milliseconds


def get_command(namespace: str, key: bytes) -> pb.CacheCommand:
    return pb.CacheCommand(unary=pb.Unary(get=pb.GetCommand(namespace=namespace, key=key)))


def set_command(namespace: str, key: bytes, value: bytes, ttl: float) -> pb.CacheCommand:
    put = pb.SetCommand(namespace=namespace, key=key, value=value, ttl_milliseconds=ttl_milliseconds(ttl))
    return pb.CacheCommand(unary=pb.Unary(set=put))


def delete_command(namespace: str, key: bytes) -> pb.CacheCommand:
    return pb.CacheCommand(unary=pb.Unary(delete=pb.DeleteCommand(namespace=namespace, key=key)))


def read_get(response: pb.CacheResponse) -> Hit | Miss:
    if response.HasField("get"):
        return Hit(response.get.value)
    assert (response.error.code, response.error.message) == (pb.NOT_FOUND, KEY_NOT_FOUND), response
    return Miss()
