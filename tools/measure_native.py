"""Measures native messages against google's protobuf: the cache's commands and responses, step by step.

Run it as ``python tools/measure_native.py``. It prints the nanoseconds of building a message, encoding it,
decoding it and reading its fields, google's and native ones in turn, medians of many rounds.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.codecs import NativeMessages

LOOPS = 5_000
ROUNDS = 41
KEY, VALUE = b"k" * 32, b"v" * 128

native: Any = NativeMessages(pb)
CacheCommand, Unary, CacheResponse = native.CacheCommand, native.Unary, native.CacheResponse
GetCommand, SetCommand = native.GetCommand, native.SetCommand
GetResponse, CommandError = native.GetResponse, native.CommandError


@dataclass(frozen=True)
class Subject:
    """A message: how either library builds it, and reads what a handler needs of it."""

    name: str
    kind: Any
    build: Callable[[], Any]
    read: Callable[[Any], Any]
    build_native: Callable[[], Any]
    read_native: Callable[[Any], Any]


def _build_get() -> Any:
    command = pb.CacheCommand()
    get = command.unary.get
    get.namespace = "cache"
    get.key = KEY
    return command


def _read_get(command: Any) -> Any:
    unary = command.unary
    if unary.WhichOneof("command") == "get":
        get = unary.get
        return get.namespace, get.key
    return None


def _build_get_native() -> Any:
    return CacheCommand(unary=Unary(get=GetCommand(namespace="cache", key=KEY)))


def _read_get_native(command: Any) -> Any:
    get = command.unary.get
    if get is not None:
        return get.namespace, get.key
    return None


def _build_set() -> Any:
    command = pb.CacheCommand()
    put = command.unary.set
    put.namespace = "cache"
    put.key = KEY
    put.value = VALUE
    put.ttl_milliseconds = 60_000
    return command


def _read_set(command: Any) -> Any:
    unary = command.unary
    if unary.WhichOneof("command") == "set":
        put = unary.set
        return put.namespace, put.key, put.value, put.ttl_milliseconds
    return None


def _build_set_native() -> Any:
    put = SetCommand(namespace="cache", key=KEY, value=VALUE, ttl_milliseconds=60_000)
    return CacheCommand(unary=Unary(set=put))


def _read_set_native(command: Any) -> Any:
    put = command.unary.set
    if put is not None:
        return put.namespace, put.key, put.value, put.ttl_milliseconds
    return None


def _build_hit() -> Any:
    response = pb.CacheResponse()
    response.get.value = VALUE
    return response


def _read_hit(response: Any) -> Any:
    return response.get.value if response.HasField("get") else None


def _build_hit_native() -> Any:
    return CacheResponse(get=GetResponse(value=VALUE))


def _read_hit_native(response: Any) -> Any:
    get = response.get
    return get.value if get is not None else None


def _build_miss() -> Any:
    response = pb.CacheResponse()
    error = response.error
    error.code = pb.NOT_FOUND
    error.message = "Key not found"
    return response


def _read_miss(response: Any) -> Any:
    if response.HasField("get"):
        return None
    error = response.error
    return error.code, error.message


def _build_miss_native() -> Any:
    return CacheResponse(error=CommandError(code=5, message="Key not found"))


def _read_miss_native(response: Any) -> Any:
    if response.get is not None:
        return None
    error = response.error
    return error.code, error.message


SUBJECTS = [
    Subject("get command", pb.CacheCommand, _build_get, _read_get, _build_get_native, _read_get_native),
    Subject("set command", pb.CacheCommand, _build_set, _read_set, _build_set_native, _read_set_native),
    Subject("hit", pb.CacheResponse, _build_hit, _read_hit, _build_hit_native, _read_hit_native),
    Subject("miss", pb.CacheResponse, _build_miss, _read_miss, _build_miss_native, _read_miss_native),
]


def steps(subject: Subject) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Each step as a function without arguments: google's and ours."""
    kind, read, build = subject.kind, subject.read, subject.build
    build_native, read_native = subject.build_native, subject.read_native
    encode, decode = native.encode, native.decoder(native[kind.DESCRIPTOR.full_name])
    message, message_native = build(), build_native()
    data = message.SerializeToString()
    assert encode(message_native) == data
    assert read(kind.FromString(data)) == read_native(decode(data))
    return {
        "build": (build, build_native),
        "encode": (message.SerializeToString, partial(encode, message_native)),
        "decode": (partial(kind.FromString, data), partial(decode, data)),
        "decode and read": (lambda: read(kind.FromString(data)), lambda: read_native(decode(data))),
        "all of it": (
            lambda: read(kind.FromString(build().SerializeToString())),
            lambda: read_native(decode(encode(build_native()))),
        ),
    }


def main() -> None:
    """Prints a table in Markdown: google's / native nanoseconds, and the ratio of neighbouring runs."""
    tables = {subject.name: steps(subject) for subject in SUBJECTS}
    times: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for name, table in tables.items():
            for step, pair in table.items():
                for side, function in enumerate(pair):
                    taken = timeit.timeit(function, number=LOOPS) / LOOPS * 1e9
                    times.setdefault((name, step, side), []).append(taken)
    columns = list(next(iter(tables.values())))
    print("| ns |", " | ".join(columns), "|")
    print("|---|" + "--:|" * len(columns))
    for name in tables:
        cells = []
        for step in columns:
            google, ours = times[name, step, 0], times[name, step, 1]
            ratio = statistics.median(theirs / mine for theirs, mine in zip(google, ours, strict=True))
            cells.append(f"{statistics.median(google):,.0f} / {statistics.median(ours):,.0f}, {ratio:.1f} ×")
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
