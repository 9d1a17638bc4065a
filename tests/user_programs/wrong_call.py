"""Calls with the wrong request, a wrong response, and without await where the response is used."""

from __future__ import annotations

from protosocket import rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse


async def main(client: rpc.Client[CacheCommand, CacheResponse]) -> None:
    await client.unary(CacheResponse())  # error: arg-type, reportArgumentType
    await client.unary(CacheCommand(), 0.5)  # error: call-arg, reportCallIssue
    response = client.unary(CacheCommand())
    print(response.get)  # error: attr-defined, reportAttributeAccessIssue
    command: CacheCommand = await client.unary(CacheCommand())  # error: assignment, reportAssignmentType
    print(command)
    for item in client.stream(CacheCommand()):  # error: attr-defined, reportGeneralTypeIssues
        print(item)
    await client.stream(CacheCommand())  # error: misc, reportGeneralTypeIssues
