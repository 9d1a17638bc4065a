"""The operations of a run, made before it: verbs, keys and values by weight, the same for the same seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from protosocket.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from protosocket.bench.workload import Keyspace

__all__ = ["Operations", "Verb", "generate"]

SMALLEST = 1 << 16
LARGEST = 1 << 20
VALUES_PER_KEYSPACE = 256
ALPHABET = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
INDEX_DIGITS = 8


class Verb(IntEnum):
    """What an operation does."""

    GET = 0
    SET = 1
    DELETE = 2


@dataclass(frozen=True, slots=True)
class Operations:
    """Operation number ``n`` is entry ``n`` of each list; a run that outlasts them begins again.

    ``values`` holds what a set sends (``b""`` for the other verbs), ``lengths`` how long the value of a get
    must be, ``ttls`` seconds or None. ``prefill`` is every key with a value and its ttl.
    """

    verbs: list[Verb]
    keys: list[bytes]
    values: list[bytes]
    lengths: list[int]
    ttls: list[float | None]
    prefill: list[tuple[bytes, bytes, float | None]]

    def __len__(self) -> int:
        return len(self.verbs)


def generate(keyspaces: Sequence[Keyspace], seed: str, part: int = 0) -> Operations:
    """The operations of ``keyspaces``, drawn by their weights.

    The same ``seed`` gives the same keys; ``part`` numbers the generator processes of one run, each of which
    draws its own sequence from them. Raises OptionError if the keyspaces cannot have different keys.
    """
    entropy = zlib.crc32(seed.encode())
    pools = list(_pools(keyspaces, np.random.default_rng([entropy, 0])))
    rng = np.random.default_rng([entropy, 1, part])
    count = min(LARGEST, max(SMALLEST, 1 << (4 * sum(k.nkeys for k in keyspaces) - 1).bit_length()))

    weights = np.array([keyspace.weight for keyspace in keyspaces], float)
    which = rng.choice(len(keyspaces), count, p=weights / weights.sum())
    verbs = np.zeros(count, np.int64)
    picks = np.zeros(count, np.int64)
    for number, keyspace in enumerate(keyspaces):
        mine = which == number
        size = int(mine.sum())
        shares = np.array([command.weight for command in keyspace.commands], float)
        codes = np.array([_verb(command.verb) for command in keyspace.commands])
        verbs[mine] = codes[rng.choice(len(codes), size, p=shares / shares.sum())]
        picks[mine] = _choose_keys(keyspace, size, rng)

    operations = Operations([], [], [], [], [], [])
    value_picks = rng.integers(0, VALUES_PER_KEYSPACE, count)
    rows = zip(which.tolist(), verbs.tolist(), picks.tolist(), value_picks.tolist(), strict=True)
    for space, code, pick, value in rows:
        verb = Verb(code)
        keys, values = pools[space]
        operations.verbs.append(verb)
        operations.keys.append(keys[pick])
        operations.values.append(values[value] if verb is Verb.SET else b"")
        operations.lengths.append(keyspaces[space].vlen)
        operations.ttls.append(keyspaces[space].ttl_seconds)
    for keyspace, (keys, values) in zip(keyspaces, pools, strict=True):
        ttl = keyspace.ttl_seconds
        operations.prefill.extend(
            (key, values[number % VALUES_PER_KEYSPACE], ttl) for number, key in enumerate(keys)
        )
    return operations


def _verb(name: str) -> Verb:
    return Verb.DELETE if name == "del" else Verb[name.upper()]


def _choose_keys(
    keyspace: Keyspace, count: int, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.int64]]:
    if keyspace.key_distribution == "uniform":
        return rng.integers(0, keyspace.nkeys, count)
    # rpc-perf's zipf has the exponent 1: the k-th key is asked for 1/k as often as the first.
    shares = np.cumsum(1.0 / np.arange(1, keyspace.nkeys + 1))
    picks: np.ndarray[Any, np.dtype[np.int64]] = np.searchsorted(shares, rng.random(count) * shares[-1])
    return picks


def _pools(
    keyspaces: Sequence[Keyspace], rng: np.random.Generator
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Keys and values of each keyspace; no key is in two, or values of wrong lengths would be read."""
    first = 0
    for keyspace in keyspaces:
        last = first + keyspace.nkeys
        if keyspace.klen < INDEX_DIGITS:
            if last > 256**keyspace.klen:
                raise OptionError(f"{last} different keys do not fit into klen = {keyspace.klen} bytes")
            keys = [index.to_bytes(keyspace.klen, "big") for index in range(first, last)]
        else:
            filler = ALPHABET[rng.integers(0, len(ALPHABET), (keyspace.nkeys, keyspace.klen - INDEX_DIGITS))]
            keys = [row.tobytes() + b"%08x" % index for index, row in enumerate(filler, first)]
        random_bytes = round(keyspace.vlen / keyspace.compression_ratio)
        values = [
            rng.bytes(random_bytes) + bytes(keyspace.vlen - random_bytes) for _ in range(VALUES_PER_KEYSPACE)
        ]
        first = last
        yield keys, values
