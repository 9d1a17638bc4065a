"""The consistent hash: stable, balanced, moving few keys, and the same as its published points say."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uhashring import HashRing

from protosocket._core import key_hash
from protosocket.cache.ring import Ring
from protosocket.errors import OptionError

ADDRESSES = [f"tcp://10.0.0.{number}:7400" for number in range(1, 6)]
KEYS = [b"key-%d" % number for number in range(5000)]


def test_key_hash_is_xxh3() -> None:
    # Published test values of XXH3 64 bits with seed 0.
    assert key_hash(b"") == 0x2D06800538D394C2
    assert key_hash(b"abc") == 0x78AF5F94892F3950


def test_spreads_keys_evenly() -> None:
    ring = Ring(ADDRESSES)
    share = Counter(ring.get(key) for key in KEYS)
    assert set(share) == set(range(5))
    assert max(share.values()) < 2 * min(share.values())


def test_removing_a_storage_moves_only_its_keys() -> None:
    before, after = Ring(ADDRESSES), Ring(ADDRESSES[:-1])
    for key in KEYS:
        owner = before.get(key)
        if owner != 4:
            assert after.get(key) == owner


def test_the_order_of_the_list_does_not_matter() -> None:
    there, back = Ring(ADDRESSES), Ring(ADDRESSES[::-1])
    assert all(there.addresses[there.get(key)] == back.addresses[back.get(key)] for key in KEYS)


@given(st.binary(max_size=40), st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_agrees_with_uhashring_and_with_its_own_points(key: bytes, addresses: set[str]) -> None:
    ring = Ring(sorted(addresses))

    def hash_fn(name: str | bytes) -> int:
        return key_hash(name.encode() if isinstance(name, str) else name)

    reference = HashRing(nodes=sorted(addresses), vnodes=160, hash_fn=hash_fn)
    assert ring.addresses[ring.get(key)] == reference.get_node(key)
    points = ring.points
    assert points == sorted(points)
    place = bisect_right([position for position, _ in points], key_hash(key))
    assert ring.get(key) == points[place % len(points)][1]


@pytest.mark.parametrize("addresses", [[], ["tcp://a:1", "tcp://a:1"]])
def test_refuses_a_senseless_list(addresses: list[str]) -> None:
    with pytest.raises(OptionError):
        Ring(addresses)
