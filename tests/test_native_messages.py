"""Native messages: classes, values and their limits, errors, unknown fields, nesting."""

from __future__ import annotations

import copy
import math
import pickle
import struct
from types import ModuleType
from typing import Any

import msgspec
import pytest
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from protosocket.cache import protosocket_cache_pb2
from protosocket.codecs import NativeMessage, NativeMessages, which_oneof
from protosocket.errors import EncodeError, InvalidMessage, OptionError

cache: Any = NativeMessages(protosocket_cache_pb2)
structs: Any = NativeMessages(struct_pb2)
wrappers: Any = NativeMessages(wrappers_pb2)


def build(file: FileDescriptorProto) -> list[type[Message]]:
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindFileByName(file.name)
    return [GetMessageClass(each) for each in found.message_types_by_name.values()]


def one_message(syntax: str, fields: dict[str, Any]) -> type[Message]:
    file = FileDescriptorProto(name="one.proto", package="one", syntax=syntax)
    message = file.message_type.add(name="One")
    for number, (name, kind) in enumerate(fields.items(), start=1):
        message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL, type=kind)
    return build(file)[0]


def test_a_command_looks_like_what_it_is() -> None:
    get = cache.GetCommand(namespace="users", key=b"k")
    command = cache.CacheCommand(unary=cache.Unary(get=get))
    assert repr(command) == "CacheCommand(unary=Unary(get=GetCommand(namespace='users', key=b'k')))"
    assert issubclass(cache.CacheCommand, NativeMessage)
    assert command.message_id == 0
    assert command.unary.set is None
    assert which_oneof(command.unary, "command") == "get"
    assert which_oneof(command, "rpc_kind") == "unary"
    assert which_oneof(cache.Unary(), "command") is None
    assert cache.decode(cache.CacheCommand, cache.encode(command)) == command
    match command:
        case cache.CacheCommand(unary=cache.Unary(get=cache.GetCommand(key=key))):
            assert key == b"k"
        case _:
            pytest.fail("a native message matches its class")


def test_classes_and_enums_are_found_by_name() -> None:
    assert cache.Status.NOT_FOUND == 5
    assert cache["protosocket.cache.Status"] is cache.Status
    assert cache["protosocket.cache.Unary"] is cache.Unary
    assert "CacheResponse" in dir(cache)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = cache.Nothing
    nested = NativeMessages(descriptor_pb2)
    assert nested["google.protobuf.DescriptorProto.ExtensionRange"] is nested.DescriptorProto.ExtensionRange
    assert nested.FieldDescriptorProto.Type.TYPE_BOOL == 8
    only_reached = NativeMessages(descriptor_pb2.EnumDescriptorProto)
    assert only_reached.EnumOptions
    with pytest.raises(AttributeError):
        _ = only_reached.FileDescriptorProto


def test_a_name_in_two_packages_is_asked_for_in_full() -> None:
    first, second = (
        FileDescriptorProto(name="a.proto", package="a"),
        FileDescriptorProto(name="b.proto", package="b"),
    )
    for file in (first, second):
        file.message_type.add(name="Same")
    messages = NativeMessages(*build(first), *build(second))
    assert messages["a.Same"] is not messages["b.Same"]
    with pytest.raises(AttributeError, match="more than one package"):
        _ = messages.Same


@pytest.mark.parametrize("source", [3, int, ModuleType("m"), NativeMessage])
def test_other_sources_are_refused(source: Any) -> None:
    with pytest.raises(OptionError):
        NativeMessages(source)


def test_no_sources_are_refused() -> None:
    with pytest.raises(OptionError, match="at least one"):
        NativeMessages()


def test_groups_and_message_sets_are_refused() -> None:
    file = FileDescriptorProto(name="g.proto", package="g")
    message = file.message_type.add(name="Outer")
    message.nested_type.add(name="Inner")
    message.field.add(
        name="inner", number=1, label=1, type=FieldDescriptorProto.TYPE_GROUP, type_name=".g.Outer.Inner"
    )
    with pytest.raises(OptionError, match=r"g\.Outer\.inner is a group"):
        NativeMessages(*build(file))
    file = FileDescriptorProto(name="s.proto", package="s")
    message = file.message_type.add(name="Set")
    message.options.message_set_wire_format = True
    message.extension_range.add(start=4, end=1000)
    with pytest.raises(OptionError, match="message sets"):
        NativeMessages(*build(file))


def test_names_that_python_keeps_for_itself() -> None:
    names = ["from", "__init__", "_unknown_fields", "self", "None"]
    messages = NativeMessages(one_message("proto3", dict.fromkeys(names, FieldDescriptorProto.TYPE_INT32)))
    assert messages.One.__struct_fields__[:-1] == ("from_", "_init__", "_unknown_fields_", "self", "None_")
    message = messages.One(from_=1, _init__=2, _unknown_fields_=3, self=4, None_=5)
    data = messages.encode(message)
    assert data.hex() == "08011002180320042805"
    assert messages.decode(messages.One, data) == message


LIMITS = [
    ("Int32Value", -(2**31), 2**31 - 1),
    ("Int64Value", -(2**63), 2**63 - 1),
    ("UInt32Value", 0, 2**32 - 1),
    ("UInt64Value", 0, 2**64 - 1),
]


@pytest.mark.parametrize(("name", "low", "high"), LIMITS)
def test_ranges(name: str, low: int, high: int) -> None:
    kind, theirs = wrappers[f"google.protobuf.{name}"], getattr(wrappers_pb2, name)
    for value in (low, high, 0, 1, True):
        data = wrappers.encode(kind(value=value))
        assert data == theirs(value=int(value)).SerializeToString()
        assert wrappers.decode(kind, data).value == value
    for value in (low - 1, high + 1, 2**200, -(2**200)):
        with pytest.raises(EncodeError, match=rf"google\.protobuf\.{name}\.value takes an int from"):
            wrappers.encode(kind(value=value))
    for other in (1.0, "1", None, b"1"):
        with pytest.raises(EncodeError, match=r"value takes an int from .*, not "):
            wrappers.encode(kind(value=other))


REFUSED = [
    ("BoolValue", 2, "a bool"),
    ("BoolValue", "", "a bool"),
    ("DoubleValue", "1", "a float"),
    ("DoubleValue", 10**400, "a float"),
    ("FloatValue", None, "a float"),
    ("StringValue", b"x", "str"),
    ("StringValue", 1, "str"),
    ("StringValue", "\ud800", "text that UTF-8 can hold"),
    ("BytesValue", "x", "bytes"),
    ("BytesValue", bytearray(b"x"), "bytes"),
]


@pytest.mark.parametrize(("name", "value", "wanted"), REFUSED)
def test_values_of_other_types_are_refused(name: str, value: object, wanted: str) -> None:
    kind = wrappers[f"google.protobuf.{name}"]
    with pytest.raises(EncodeError, match=rf"google\.protobuf\.{name}\.value takes {wanted}"):
        wrappers.encode(kind(value=value))


def test_floats() -> None:
    for value in (0.0, -0.0, 1, 2**70, float("inf"), 1e39):
        double = wrappers.encode(wrappers.DoubleValue(value=value))
        assert double == wrappers_pb2.DoubleValue(value=value).SerializeToString()
        single = wrappers.encode(wrappers.FloatValue(value=value))
        assert single == wrappers_pb2.FloatValue(value=value).SerializeToString()
        assert wrappers.from_protobuf(wrappers_pb2.FloatValue(value=value)) == wrappers.decode(
            wrappers.FloatValue, single
        )


@pytest.mark.parametrize("text", ["", "a", "ascii", "\0", "é", "€uro", "𝄞", "a" * 1000 + "é"])
def test_text(text: str) -> None:
    data = wrappers.encode(wrappers.StringValue(value=text))
    assert data == wrappers_pb2.StringValue(value=text).SerializeToString()
    assert wrappers.decode(wrappers.StringValue, data).value == text


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82"])
def test_text_that_is_not_utf8(raw: bytes) -> None:
    data = wrappers.encode(wrappers.BytesValue(value=raw))
    with pytest.raises(InvalidMessage, match=r"google\.protobuf\.StringValue\.value is not UTF-8"):
        wrappers.decode(wrappers.StringValue, data)
    lax = one_message("proto2", {"text": FieldDescriptorProto.TYPE_STRING})
    messages = NativeMessages(lax)
    message = messages.decode(messages.One, data)
    assert message.text == raw == lax.FromString(data).text  # type: ignore[attr-defined]
    assert messages.encode(message) == data


def test_two_members_of_a_oneof_are_refused() -> None:
    both = cache.Unary(get=cache.GetCommand(), delete=cache.DeleteCommand())
    with pytest.raises(EncodeError, match="one member of the oneof command at most, not get and delete"):
        cache.encode(both)


def test_the_last_member_of_a_oneof_wins() -> None:
    get, put = (
        cache.encode(cache.Unary(get=cache.GetCommand())),
        cache.encode(cache.Unary(set=cache.SetCommand())),
    )
    assert which_oneof(cache.decode(cache.Unary, get + put), "command") == "set"
    assert which_oneof(cache.decode(cache.Unary, put + get), "command") == "get"
    with pytest.raises(KeyError, match="no oneof 'other'"):
        which_oneof(cache.Unary(), "other")
    with pytest.raises(OptionError):
        which_oneof(3, "command")  # type: ignore[arg-type]


def test_a_submessage_that_comes_twice_is_merged() -> None:
    one = cache.encode(cache.Unary(set=cache.SetCommand(namespace="n", key=b"1")))
    two = cache.encode(cache.Unary(set=cache.SetCommand(key=b"2", ttl_milliseconds=5)))
    merged = cache.decode(cache.Unary, one + two)
    assert merged.set == cache.SetCommand(namespace="n", key=b"2", ttl_milliseconds=5)


def test_wrong_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="not a message class"):
        cache.encode(structs.Value())
    with pytest.raises(TypeError, match="not a message class"):
        cache.decode(structs.Value, b"")
    with pytest.raises(EncodeError, match=r"CacheCommand\.unary takes a protosocket\.cache\.Unary, not"):
        cache.encode(cache.CacheCommand(unary=cache.GetCommand()))
    with pytest.raises(EncodeError, match="takes a list, not tuple"):
        structs.encode(structs.ListValue(values=()))
    with pytest.raises(EncodeError, match="takes a dict, not NoneType"):
        structs.encode(structs.Struct(fields=None))
    command = cache.GetCommand()
    del command.key
    with pytest.raises(EncodeError, match=r"GetCommand\.key was deleted"):
        cache.encode(command)
    with pytest.raises(EncodeError, match="unknown fields"):
        cache.encode(cache.GetCommand(_unknown_fields="text"))
    with pytest.raises(OptionError, match="must be among the sources"):
        cache.from_protobuf(timestamp_pb2.Timestamp())


def test_a_derived_class_is_encoded_as_its_base() -> None:
    class Named(cache.GetCommand):  # type: ignore[misc]
        def shown(self) -> str:
            return f"{self.namespace}/{self.key!r}"

    named = Named(namespace="n", key=b"k")
    assert named.shown() == "n/b'k'"
    assert cache.encode(named) == cache.encode(cache.GetCommand(namespace="n", key=b"k"))
    assert cache.to_protobuf(named) == protosocket_cache_pb2.GetCommand(namespace="n", key=b"k")
    assert cache.encode(cache.Unary(get=named)) == cache.encode(cache.Unary(get=cache.GetCommand("n", b"k")))


def test_unknown_fields_are_kept_by_copies_too() -> None:
    data = b"\x0a\x01n" + b"\xa0\x06\x05" + b"\xa3\x06\x08\x01\xa4\x06"
    message = cache.decode(cache.GetCommand, data)
    assert message.namespace == "n"
    for same in (message, copy.copy(message), copy.deepcopy(message), msgspec.structs.replace(message)):
        assert cache.encode(same) == data
    assert "unknown" not in repr(cache.GetCommand())


def test_proto2_required_and_defaults() -> None:
    file = FileDescriptorProto(name="r.proto", package="r")
    message = file.message_type.add(name="R")
    message.field.add(
        name="must", number=1, label=FieldDescriptorProto.LABEL_REQUIRED, type=FieldDescriptorProto.TYPE_INT32
    )
    message.field.add(name="may", number=2, label=1, type=FieldDescriptorProto.TYPE_INT32, default_value="7")
    messages = NativeMessages(*build(file))
    assert messages.R(must=0).may is None
    assert messages.encode(messages.R(must=0)) == b"\x08\x00"
    with pytest.raises(EncodeError, match=r"r\.R\.must is required"):
        messages.encode(messages.R())


def test_a_closed_enum_keeps_other_numbers_as_unknown() -> None:
    kinds = NativeMessages(descriptor_pb2)
    # FieldDescriptorProto.label = 99, the second time longer than need be
    for data in (b"\x20\x63", b"\x20\xe3\x00"):
        message = kinds.decode(kinds.FieldDescriptorProto, data)
        assert message.label is None
        assert (
            kinds.encode(message)
            == data
            == descriptor_pb2.FieldDescriptorProto.FromString(data).SerializeToString()
        )
    with pytest.raises(EncodeError, match=r"label takes a number of its closed enum, not 99"):
        kinds.encode(kinds.FieldDescriptorProto(label=99))
    label = kinds.FieldDescriptorProto.Label.LABEL_REPEATED
    assert kinds.encode(kinds.FieldDescriptorProto(label=label)) == b"\x20\x03"


@pytest.mark.parametrize("module", [descriptor_pb2, any_pb2, duration_pb2, struct_pb2, protosocket_cache_pb2])
def test_real_schemas_survive_the_round_trip(module: Any) -> None:
    kinds = NativeMessages(descriptor_pb2)
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    native = kinds.from_protobuf(file)
    assert kinds.encode(native) == file.SerializeToString()
    assert kinds.to_protobuf(native) == file


SINGLES = [
    0,
    0x80000000,
    1,
    0x7F7FFFFF,
    0x7F800000,
    0xFF800000,
    0x7FC00000,
    0x7F800001,
    0xFFA00001,
    0xFFFFFFFF,
]


@given(st.sampled_from(SINGLES) | st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_single_floats_keep_their_bits(bits: int) -> None:
    """Of what is no number, too: which bits say so, and whether it is a signalling one."""
    data = b"\x0d" + struct.pack("<I", bits)
    message = wrappers.decode(wrappers.FloatValue, data)
    expected = b"" if bits == 0 else data
    assert (
        wrappers.encode(message) == expected == wrappers_pb2.FloatValue.FromString(data).SerializeToString()
    )
    assert math.isnan(message.value) or struct.pack("<f", message.value) == data[1:]


@given(st.integers(0, 2**64 - 1) | st.integers(0x7FF0000000000000, 0x7FFFFFFFFFFFFFFF))
@settings(deadline=None)
def test_floats_keep_their_bits(bits: int) -> None:
    data = b"\x09" + struct.pack("<Q", bits)
    message = wrappers.decode(wrappers.DoubleValue, data)
    assert wrappers.encode(message) == (b"" if bits == 0 else data)
    assert struct.pack("<d", message.value) == data[1:]


@given(st.floats())
@settings(deadline=None)
def test_a_float_is_rounded_as_protobuf_rounds_it(number: float) -> None:
    theirs = wrappers_pb2.FloatValue(value=number).SerializeToString()
    assert wrappers.encode(wrappers.FloatValue(value=number)) == theirs


def nested(depth: int) -> Any:
    """A ``ListValue`` or ``Value`` with ``depth`` messages below it."""
    message: Any = structs.ListValue() if depth % 2 == 0 else structs.Value()
    for _ in range(depth):
        if type(message) is structs.Value:
            message = structs.ListValue(values=[message])
        else:
            message = structs.Value(list_value=message)
    return message


def deep_bytes(depth: int) -> tuple[Any, Any, bytes]:
    data, kinds = b"", [("Value", b"\x32"), ("ListValue", b"\x0a")]
    for level in range(depth):
        key, length = kinds[level % 2][1], len(data)
        prefix = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
        data = key + prefix + data
    name = kinds[(depth - 1) % 2][0]
    return structs[f"google.protobuf.{name}"], getattr(struct_pb2, name), data


@pytest.mark.parametrize("depth", [99, 100, 101, 102, 3000])
def test_nesting_ends_where_protobuf_ends_it(depth: int) -> None:
    kind, theirs, data = deep_bytes(depth)
    if depth <= 100:
        assert theirs.FromString(data).SerializeToString() == data
        message = structs.decode(kind, data)
        assert structs.encode(message) == data
        return
    with pytest.raises(DecodeError):
        theirs.FromString(data)
    with pytest.raises(InvalidMessage, match="nested deeper than 100"):
        structs.decode(kind, data)
    with pytest.raises(EncodeError, match="nested deeper than 100"):
        structs.encode(nested(depth))


@pytest.mark.parametrize("depth", [33, 34, 1000])
def test_nesting_through_maps(depth: int) -> None:
    """Each level here is three: the entry, the ``Value`` in it, and the ``Struct`` in that."""
    theirs = struct_pb2.Struct()
    inner = theirs
    native: Any = structs.Struct()
    for _ in range(depth):
        inner = inner.fields["k"].struct_value
        inner.SetInParent()
        native = structs.Struct(fields={"k": structs.Value(struct_value=native)})
    data = theirs.SerializeToString()
    if depth == 33:
        assert structs.encode(native) == data
        assert structs.decode(structs.Struct, data) == native
        return
    with pytest.raises(DecodeError):
        struct_pb2.Struct.FromString(data)
    with pytest.raises(InvalidMessage, match="nested deeper"):
        structs.decode(structs.Struct, data)
    with pytest.raises(EncodeError, match="nested deeper"):
        structs.encode(native)


def test_a_message_that_holds_itself_is_refused() -> None:
    message = structs.ListValue()
    message.values.append(structs.Value(list_value=message))
    with pytest.raises(EncodeError, match="nested deeper than 100"):
        structs.encode(message)
    message.values.clear()


def test_maps_keep_the_order_of_the_dict() -> None:
    fields = {key: structs.Value(number_value=float(index)) for index, key in enumerate("zayx")}
    data = structs.encode(structs.Struct(fields=fields))
    assert list(structs.decode(structs.Struct, data).fields) == list("zayx")
    assert struct_pb2.Struct.FromString(data) == structs.to_protobuf(structs.Struct(fields=fields))


@pytest.mark.parametrize("data", ["08", "0a05", "0f", "07", "0c", "00", "08ffffffffffffffffffff01", "fa"])
def test_bytes_that_are_no_message(data: str) -> None:
    with pytest.raises(InvalidMessage, match=r"not a message of type protosocket\.cache\.CommandError"):
        cache.decode(cache.CommandError, bytes.fromhex(data))


def test_a_message_is_not_pickled_by_accident() -> None:
    """Its class lives in no module, so pickle says so instead of finding another."""
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(cache.GetCommand())
