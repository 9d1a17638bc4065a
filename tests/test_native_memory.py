"""Native messages and memory: references, the garbage collector, and what is left after many messages."""

from __future__ import annotations

import contextlib
import gc
import itertools
import random
import sys
import tracemalloc
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import struct_pb2
from tests import native_schemas

from protosocket.cache import protosocket_cache_pb2
from protosocket.codecs import NativeMessages
from protosocket.errors import EncodeError, InvalidMessage

cache: Any = NativeMessages(protosocket_cache_pb2)
structs: Any = NativeMessages(struct_pb2)


def test_encoding_takes_no_references() -> None:
    key, namespace, value = b"k" * 40, "n" * 40, "v" * 40
    get = cache.GetCommand(namespace=namespace, key=key)
    tree = structs.Struct(
        fields={namespace: structs.Value(list_value=structs.ListValue([structs.Value(string_value=value)]))}
    )
    held = [key, namespace, value, get, tree.fields, tree.fields[namespace].list_value.values]
    before = [sys.getrefcount(each) for each in held]
    wrong = structs.Struct(fields={namespace: structs.Value(string_value=value, bool_value=False)})
    for _ in range(100):
        cache.encode(cache.Unary(get=get))
        structs.encode(tree)
        with pytest.raises(EncodeError):
            structs.encode(wrong)
    del wrong
    assert [sys.getrefcount(each) for each in held] == before


def test_decoded_objects_have_one_reference() -> None:
    data = cache.encode(cache.Unary(get=cache.GetCommand("n" * 40, b"k" * 40)))
    message = cache.decode(cache.Unary, data + data)

    def counts(message: Any) -> list[int]:
        get = message.get
        return [sys.getrefcount(get), sys.getrefcount(get.key), sys.getrefcount(get.namespace)]

    # How many of them are the names' and the arguments' is the interpreter's business: fewer since 3.14.
    plain = types.SimpleNamespace(get=types.SimpleNamespace(key=b"k" * len(data), namespace="n" * len(data)))
    assert counts(message) == counts(plain)
    # A class keeps a few objects for reuse, which hold it as well.
    many = [cache.decode(cache.Unary, data) for _ in range(100)]
    del many
    none = sys.getrefcount(None)
    many = [cache.decode(cache.Unary, data) for _ in range(1000)]
    assert sys.getrefcount(None) - none >= 4000 or sys.version_info >= (3, 12)
    del many
    assert abs(sys.getrefcount(None) - none) < 100


def churn(task: Callable[[], object]) -> None:
    for _ in range(100):
        task()


def left_after(task: Callable[[], object]) -> int:
    """Bytes that stay allocated after many more runs of a task: the fewest of three times, as other threads
    of the test's process allocate, too.
    """
    churn(task)
    gc.collect()
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(4):
            churn(task)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        return min(after - before for before, after in itertools.pairwise(sizes))
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_left_behind(seed: int) -> None:
    schema = native_schemas.make_schema(seed)
    messages = NativeMessages(*schema.classes)
    chance = random.Random(seed)
    samples = []
    for kind in schema.classes:
        message = kind()
        native_schemas.fill(message, chance)
        data = message.SerializePartialToString()
        native = messages[kind.DESCRIPTOR.full_name]
        samples += [(native, data), *((native, native_schemas.mutilate(data, chance)) for _ in range(10))]

    def task() -> None:
        for native, data in samples:
            with contextlib.suppress(InvalidMessage, EncodeError):
                messages.encode(messages.decode(native, data + data))

    assert left_after(task) < 2000


def test_only_classes_that_can_hold_themselves_are_collected() -> None:
    assert not gc.is_tracked(cache.CacheCommand(unary=cache.Unary(get=cache.GetCommand())))
    assert not gc.is_tracked(cache.decode(cache.Unary, b"\x12\x00"))
    assert gc.is_tracked(structs.decode(structs.Value, b"\x32\x00"))
    gc.collect()
    count = sum(type(each) is structs.ListValue for each in gc.get_objects())
    for _ in range(50):
        message = structs.decode(structs.ListValue, b"\x0a\x00")
        message.values.append(structs.Value(list_value=message))
        del message
    gc.collect()
    assert sum(type(each) is structs.ListValue for each in gc.get_objects()) == count


def test_a_very_deep_message_is_freed() -> None:
    message: Any = structs.Value()
    for _ in range(60_000):
        message = structs.Value(list_value=structs.ListValue([message]))
    del message


def test_classes_go_when_nothing_needs_them() -> None:
    messages = NativeMessages(struct_pb2)
    value = messages.Value(number_value=1.0)
    decode = messages.decoder(messages.Value)
    gone = weakref.ref(type(value))
    assert decode(messages.encode(value)) == value
    del messages, value, decode
    gc.collect()
    assert gone() is None


def test_a_decoder_keeps_what_it_needs() -> None:
    messages = NativeMessages(struct_pb2)
    decode = messages.decoder(messages.Value)
    del messages
    gc.collect()
    assert decode(b"\x1a\x01x").string_value == "x"


def test_collections_while_messages_are_made() -> None:
    """The collector runs at every allocation it can, and looks at half-made messages."""
    tree: Any = structs.Struct(
        fields={"k": structs.Value(list_value=structs.ListValue([structs.Value(bool_value=True)]))}
    )
    for _ in range(10):
        tree = structs.Struct(
            fields={"a": structs.Value(struct_value=tree), "b": structs.Value(struct_value=tree)}
        )
        if len(structs.encode(tree)) > 5000:
            break
    data = structs.encode(tree)
    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        assert structs.encode(structs.decode(structs.Struct, data)) == data
    finally:
        gc.set_threshold(*thresholds)
