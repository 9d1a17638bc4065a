"""Keys that are texts, no time to live, and a result that is taken for the value."""

from __future__ import annotations

from protosocket.cache.protosocket_client import ProtosocketCacheClient


async def main(cache: ProtosocketCacheClient) -> bytes:
    await cache.set("default", "key", b"value", 60)  # error: arg-type, reportArgumentType
    await cache.set("default", b"key", b"value")  # error: call-arg, reportCallIssue
    result = await cache.get("default", b"key")
    print(result.value)  # error: union-attr, reportAttributeAccessIssue
    return result  # error: return-value, reportReturnType
