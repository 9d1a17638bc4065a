"""The cache's messages as msgspec structs, for the systems that carry MessagePack."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from benchmarks.client import WrongAnswer, gets_among

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Verdict
    from protosocket.bench.operations import Operations

__all__ = ["Command", "Response", "answer", "calls", "read_set", "verdicts"]

T = TypeVar("T", bound="Awaitable[object]")


class Command(msgspec.Struct, array_like=True, gc=False):
    """A set if it has a value, else a get."""

    id: int = 0
    control: int = 0
    key: bytes = b""
    value: bytes | None = None


class Response(msgspec.Struct, array_like=True, gc=False):
    """``found`` is whether a get found ``value``, and true for a set."""

    id: int = 0
    control: int = 0
    found: bool = False
    value: bytes | None = None


def answer(store: Store, command: Command) -> Response:
    """A server's response, with the command's id."""
    if command.value is None:
        value = store.get(command.key)
        return Response(command.id, 0, value is not None, value)
    store[command.key] = command.value
    return Response(command.id, 0, True)


def calls(operations: Operations, send: Callable[[Command], T]) -> Callable[[int], T]:
    """A driver's ``call``: makes an operation's command and has it sent."""
    gets, keys, values = gets_among(operations), operations.keys, operations.values

    def call(index: int) -> T:
        if gets[index]:
            return send(Command(key=keys[index]))
        return send(Command(key=keys[index], value=values[index]))

    return call


def verdicts(operations: Operations) -> Callable[[int, Response], Verdict]:
    """A driver's ``verify``."""
    gets, lengths = gets_among(operations), operations.lengths

    def verify(index: int, response: Response) -> Verdict:
        if not gets[index]:
            read_set(response)
            return None
        value = response.value
        if value is None:
            if response.found:
                raise WrongAnswer("a get was answered as a set")
            return "miss"
        return None if len(value) == lengths[index] else "wrong length"

    return verify


def read_set(response: Response) -> None:
    """Nothing. Raises WrongAnswer."""
    if not response.found or response.value is not None:
        raise WrongAnswer("a set was answered as a get")
