"""What our client puts on the wire is, but for the ids it chooses, what Momento's Rust SDK puts there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import Feature, locked_version
from tests.interop.momento_support import SECRET, cache, delete, get, hit, put, sdk
from tests.interop.recording import Recorder, recording
from tests.interop.table import Peer
from tests.oracle import varint

from protosocket.cache import Hit, Miss
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.protosocket_client import ProtosocketCacheClient

COMMAND_ID = bytes([pb.CacheCommand.MESSAGE_ID_FIELD_NUMBER << 3])
RESPONSE_ID = bytes([pb.CacheResponse.MESSAGE_ID_FIELD_NUMBER << 3])

VALUES = [b"value", b"", bytes(200), bytes(20_000)]


@pytest.fixture
def peer() -> Peer:
    return Peer("Momento", "momento (Rust), client", locked_version("momento"))


def without_id(message: bytes, field: bytes) -> bytes:
    """The rest of a message, whose id stands first if it is not 0."""
    if not message.startswith(field):
        return message
    _, size = varint.read(message[1:])
    return message[1 + size :]


async def test_the_same_bytes(feature: Feature, programs: Path, tmp_path: Path) -> None:
    feature("our client's commands are the SDK's, byte for byte but for the ids")
    recorders: list[Recorder] = []
    with cache(tmp_path) as system:
        async with recording(system.router) as (url, recorder), sdk(programs, url) as theirs:
            assert await theirs.one(get(b"key")) == "miss"
            for value in VALUES:
                assert await theirs.one(put(b"key", value, ttl=60_000)) == "done"
                assert await theirs.one(get(b"key")) == hit(value)
            assert await theirs.one(put(b"", b"", ttl=2**64 - 1)) == "done"
            assert await theirs.one(delete(b"key")) == "done"
            recorders.append(recorder)
        async with recording(system.router) as (url, recorder):
            async with ProtosocketCacheClient(url, token=SECRET) as ours:
                assert await ours.get("cache", b"key") == Miss()
                for value in VALUES:
                    await ours.set("cache", b"key", value, 60)
                    assert await ours.get("cache", b"key") == Hit(value)
                await ours.set("cache", b"", b"", 2**65)
                await ours.delete("cache", b"key")
            recorders.append(recorder)
    for field, theirs_sent, ours_sent in (
        (COMMAND_ID, recorders[0].sent, recorders[1].sent),
        (RESPONSE_ID, recorders[0].answered, recorders[1].answered),
    ):
        assert len(theirs_sent) == 2 * len(VALUES) + 4
        assert [without_id(message, field) for message in ours_sent] == [
            without_id(message, field) for message in theirs_sent
        ]
