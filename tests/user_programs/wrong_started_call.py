"""A started call's response is asked for in the wrong ways."""

from __future__ import annotations

from protosocket import rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse


def answered(response: CacheResponse) -> None:
    print(response)


def main(client: rpc.Client[CacheCommand, CacheResponse]) -> None:
    call = client.unary(CacheCommand()).start()
    print(call.get)  # error: attr-defined, reportAttributeAccessIssue
    print(call.result().value)  # error: attr-defined, reportAttributeAccessIssue
    client.unary(CacheCommand()).start(answered)  # error: arg-type, reportArgumentType
