"""The two handlers of a storage, for protoc's messages and for native ones, answer alike."""

from __future__ import annotations

import pytest
from tests.cache_messages import delete_command, get_command, set_command

from protosocket.cache import StorageHandler, create_engine
from protosocket.cache.commands import execute
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, Unary
from protosocket.cache.protosocket_messages import MESSAGES

KEPT = [set_command("n", b"k", b"v", 60)]


@pytest.mark.parametrize(
    "commands",
    [
        [get_command("n", b"k")],
        [*KEPT, get_command("n", b"k")],
        [*KEPT, get_command("other", b"k")],
        [*KEPT, delete_command("n", b"k"), get_command("n", b"k")],
        [set_command("n", b"k", bytes(100_000), 60), get_command("n", b"k")],
        [set_command("n", b"", b"", 60), get_command("n", b"")],
        [get_command("", b"k"), set_command("", b"k", b"v", 60), delete_command("", b"k")],
        [CacheCommand(), CacheCommand(unary=Unary())],
    ],
)
def test_both_answer_alike(commands: list[CacheCommand]) -> None:
    handler, engine = StorageHandler(create_engine(65_536)), create_engine(65_536)
    for command in commands:
        native = execute(engine, MESSAGES.from_protobuf(command).unary)
        assert MESSAGES.to_protobuf(native) == handler.handle(command)
