"""Which storage holds a key: a consistent hash, so that a change of the list moves few keys."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from uhashring import HashRing

from protosocket._core import key_hash
from protosocket.errors import OptionError

__all__ = ["Ring"]


class Ring:
    """A consistent hash over storage addresses.

    Every address has ``points_each`` points on a ring of 64-bit numbers (XXH3 of ``"<address>-<number>"``);
    a key belongs to the first point after its own XXH3, going round. The same addresses give the same ring
    on every machine, in whatever order they are listed. Raises ``OptionError`` for no or repeated addresses.
    """

    def __init__(self, addresses: Sequence[str], *, points_each: int = 160) -> None:
        if not addresses:
            raise OptionError("a ring has at least one storage address")
        if len(set(addresses)) != len(addresses):
            raise OptionError(f"a storage address is there twice: {', '.join(addresses)}")
        self.addresses = tuple(addresses)
        index = {address: number for number, address in enumerate(self.addresses)}
        points = HashRing(nodes=list(addresses), vnodes=points_each, hash_fn=_hash).get_points()
        self._positions = [position for position, _ in points]
        self._owners = [index[address] for _, address in points]

    def get(self, key: bytes) -> int:
        """The index in ``addresses`` of the storage that holds ``key``."""
        place = bisect_right(self._positions, key_hash(key))
        return self._owners[place if place < len(self._owners) else 0]

    @property
    def points(self) -> list[tuple[int, int]]:
        """``(position, index in addresses)`` of every point, sorted: what a router needs to do the same.

        A key hashed to ``h`` belongs to the first point whose position is greater than ``h``, and to the
        first of all if there is none.
        """
        return list(zip(self._positions, self._owners, strict=True))


def _hash(key: str | bytes) -> int:
    return key_hash(key.encode() if isinstance(key, str) else key)
