"""Making and freeing native messages: classes with a constructor and a destructor of their own."""

from __future__ import annotations

import copy
import gc
import sys
import weakref
from typing import Any

import msgspec
import pytest
from google.protobuf import struct_pb2, wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from protosocket.cache import protosocket_cache_pb2
from protosocket.codecs import NativeMessages

cache: Any = NativeMessages(protosocket_cache_pb2)
structs: Any = NativeMessages(struct_pb2)

# More than a class keeps for reuse.
MANY = 500


def test_a_used_object_is_as_good_as_new() -> None:
    unknown_field = b"\x70\x01"
    for _ in range(MANY):
        used = cache.decode(cache.SetCommand, unknown_field)
        used.namespace, used.key, used.value, used.ttl_milliseconds = "n", b"k", b"v", 7
        assert cache.encode(used).endswith(unknown_field)
        del used
        fresh = cache.SetCommand()
        assert (fresh.namespace, fresh.key, fresh.value, fresh.ttl_milliseconds) == ("", b"", b"", 0)
        assert cache.encode(fresh) == b""
        decoded = cache.decode(cache.SetCommand, b"")
        assert decoded == fresh
        del decoded, fresh


def test_defaults_are_left_out_of_a_repr() -> None:
    wrapped: Any = NativeMessages(wrappers_pb2)
    for name in ("DoubleValue", "FloatValue", "Int64Value", "BoolValue", "StringValue", "BytesValue"):
        kind = getattr(wrapped, name)
        for message in (kind(), wrapped.decode(kind, b"")):
            assert repr(message) == f"{name}()"
    assert repr(wrapped.DoubleValue(value=0.5)) == "DoubleValue(value=0.5)"


def test_lists_and_dicts_are_an_objects_own() -> None:
    for _ in range(3):
        one, other = structs.ListValue(), structs.ListValue()
        assert one.values == []
        assert one.values is not other.values
        one.values.append(structs.Value())
        one, other = cache.CachesResponse(), cache.decode(cache.CachesResponse, b"")
        assert one.names == other.names == []
        assert one.names is not other.names
        other.names.append("n")
        one, other = structs.Struct(), structs.Struct()
        assert one.fields == {}
        assert one.fields is not other.fields
        one.fields["a"] = structs.Value()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: cache.GetCommand(kay=b"k"), "kay"),
        (lambda: cache.GetCommand(key=b"k", kay=b"k"), "kay"),
        (lambda: cache.GetCommand("n", b"k", b"x"), "positional"),
        (lambda: cache.GetCommand("n", namespace="n"), "namespace"),
    ],
)
def test_wrong_arguments(make: Any, error: str) -> None:
    for _ in range(3):
        with pytest.raises(TypeError, match=error):
            make()
    assert cache.GetCommand() == cache.GetCommand(namespace="", key=b"")


def test_arguments_by_position_and_by_names_made_at_run_time() -> None:
    name = b"key".decode()
    assert cache.GetCommand("n", b"k") == cache.GetCommand(namespace="n", **{name: b"k"})
    assert cache.GetCommand("n", key=b"k").key == b"k"


def test_many_objects_at_once() -> None:
    for _ in range(3):
        held = [cache.GetCommand(key=str(number).encode()) for number in range(MANY)]
        assert [int(each.key) for each in held] == list(range(MANY))
        assert len({id(each) for each in held}) == MANY
        del held[::2]
        more = [cache.decode(cache.GetCommand, b"\x12\x01k") for _ in range(MANY)]
        assert [int(each.key) for each in held] == list(range(1, MANY, 2))
        assert {each.key for each in more} == {b"k"}


def test_values_are_let_go_with_their_object() -> None:
    class Watched:
        pass

    for _ in range(MANY):
        value = Watched()
        message = cache.GetCommand(key=value)
        seen = weakref.ref(value)
        del value
        assert seen() is not None
        del message
        assert seen() is None


def test_a_value_that_makes_messages_when_it_goes() -> None:
    made = []

    class Busy:
        def __del__(self) -> None:
            made.append(cache.GetCommand(key=b"later"))
            cache.GetCommand(namespace="gone at once")

    for number in range(MANY):
        message = cache.GetCommand(namespace=Busy(), key=Busy())
        del message
        assert len(made) == 2 * number + 2
        assert made[-1] == cache.GetCommand(key=b"later")
    assert len({id(each) for each in made}) == 2 * MANY


def test_a_finaliser_added_to_a_class() -> None:
    messages: Any = NativeMessages(protosocket_cache_pb2)
    kept: list[Any] = []
    messages.GetCommand.__del__ = lambda message: kept.append(message)  # noqa: PLW0108 - to be bound
    messages.GetCommand(key=b"k")
    assert [each.key for each in kept] == [b"k"]
    del messages.GetCommand.__del__
    again = kept.pop()
    assert again == messages.GetCommand(key=b"k")


def test_derived_classes() -> None:
    ended = []

    class Plain(cache.GetCommand):  # type: ignore[misc]
        extra: int = 7

    class Collected(cache.GetCommand, gc=True, weakref=True, dict=True):  # type: ignore[misc, call-arg]
        def __del__(self) -> None:
            ended.append(self.key)

    for _ in range(MANY):
        plain = Plain(key=b"p")
        assert (plain.key, plain.namespace, plain.extra) == (b"p", "", 7)
        assert cache.encode(plain) == cache.encode(cache.GetCommand(key=b"p"))
        collected = Collected(key=b"c")
        collected.anything = [1]
        seen = weakref.ref(collected)
        del plain, collected
        assert seen() is None
    assert ended == [b"c"] * MANY
    assert cache.GetCommand().key == b""


def test_copies() -> None:
    for _ in range(MANY):
        message = cache.Unary(get=cache.GetCommand(key=b"k"))
        for other in (
            copy.copy(message),
            copy.deepcopy(message),
            msgspec.structs.replace(message, get=cache.GetCommand(key=b"k")),
        ):
            assert other == message
            assert other is not message


def test_classes_and_what_they_keep_go_with_their_schema() -> None:
    messages: Any = NativeMessages(protosocket_cache_pb2)
    held = [messages.GetCommand(key=b"k") for _ in range(MANY)]
    seen = weakref.ref(messages.GetCommand)
    last = held.pop()
    del held, messages
    gc.collect()
    assert seen() is type(last)
    assert last.key == b"k"
    del last
    gc.collect()
    assert seen() is None


def test_none_is_counted_right() -> None:
    if sys.version_info >= (3, 12):
        pytest.skip("None is not counted")
    churn = [cache.Unary() for _ in range(MANY)]
    del churn
    before = sys.getrefcount(None)
    for _ in range(100):
        churn = [cache.Unary(get=cache.GetCommand()) for _ in range(MANY)]
        churn.extend(cache.decode(cache.Unary, b"\x12\x00") for _ in range(MANY))
        with pytest.raises(TypeError):
            cache.Unary(get=None, git=None)
        del churn
    assert abs(sys.getrefcount(None) - before) < 50


ATTRIBUTES = {"namespace": "", "key": b"", "value": b"", "ttl_milliseconds": 0}
names = st.sampled_from(sorted(ATTRIBUTES))
values: st.SearchStrategy[Any] = st.sampled_from(["text", b"bytes", 7, None, 1.5, (), [], ""])
steps = st.one_of(
    st.tuples(st.just("make"), st.dictionaries(names, values)),
    st.tuples(st.just("decode"), st.binary(max_size=3)),
    st.tuples(st.just("set"), st.integers(0, 99), names, values),
    st.tuples(st.just("delete"), st.integers(0, 99), names),
    st.tuples(st.just("copy"), st.integers(0, 99)),
    st.tuples(st.just("drop"), st.integers(0, 99)),
)


@given(st.lists(steps, max_size=60))
def test_any_life_of_objects(program: list[Any]) -> None:
    living: list[tuple[Any, dict[str, Any]]] = []
    for step in program:
        if step[0] == "make":
            living.append((cache.SetCommand(**step[1]), {**ATTRIBUTES, **step[1]}))
        elif step[0] == "decode":
            wire = cache.encode(cache.SetCommand(value=step[1]))
            living.append((cache.decode(cache.SetCommand, wire), {**ATTRIBUTES, "value": step[1]}))
        elif living:
            message, model = living[step[1] % len(living)]
            if step[0] == "set":
                setattr(message, step[2], step[3])
                model[step[2]] = step[3]
            elif step[0] == "delete" and step[2] in model:
                delattr(message, step[2])
                del model[step[2]]
            elif step[0] == "copy" and len(model) == len(ATTRIBUTES):
                living.append((copy.copy(message), dict(model)))
            elif step[0] == "drop":
                living.pop(step[1] % len(living))
        message = model = None
        for message, model in living:
            for name in ATTRIBUTES:
                assert getattr(message, name, ...) == model.get(name, ...)
