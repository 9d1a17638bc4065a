"""The cache's messages as msgspec structs, for the systems that carry MessagePack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from benchmarks.client import WrongAnswer

if TYPE_CHECKING:
    from benchmarks.store import Store

__all__ = ["Command", "Response", "answer", "read_get", "read_set"]


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


def read_get(response: Response) -> bytes | None:
    """What a read found. Raises WrongAnswer."""
    if response.found and response.value is None:
        raise WrongAnswer("a get was answered as a set")
    return response.value


def read_set(response: Response) -> None:
    """Nothing. Raises WrongAnswer."""
    if not response.found or response.value is not None:
        raise WrongAnswer("a set was answered as a get")
