"""Every name that a schema may have is one of a class, an attribute or a member of native messages."""

from __future__ import annotations

import builtins
import enum
import keyword
from types import ModuleType
from typing import Any

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from protosocket.codecs import NativeMessages, which_oneof
from protosocket.errors import EncodeError, OptionError

# What Python's classes, the enum module and msgspec have or keep for themselves, and what is like it.
SPECIAL = sorted(
    {
        *dir(enum.IntEnum),
        *dir(type),
        *dir(msgspec.Struct),
        *dir(NativeMessages),
        *dir(builtins),
        *keyword.kwlist,
        *keyword.softkwlist,
        *("_", "__", "___", "_UNSET_", "_ignore_", "_order_", "_value_", "_missing_", "_a__b_", "mro"),
        *("_Kind__x", "_Kind__x_", "_Kind__x__", "_Kind__", "_unknown_fields", "_unknown_fields_"),
        *("__native__", "__struct_fields__", "__slots__", "__dict__", "__weakref__", "self", "cls"),
    }
)
PARTS = st.lists(
    st.sampled_from(["_", "__", "x", "from", "None", "init", "Kind", "mro"]), min_size=1, max_size=5
)
NAMES = st.lists(st.sampled_from(SPECIAL) | PARTS.map("".join), min_size=1, max_size=12, unique=True).filter(
    lambda names: "Kind" not in names
)


def module(file: FileDescriptorProto) -> Any:
    """What protoc would make of a file, as far as native messages look at it."""
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    made: Any = ModuleType(file.package)
    made.DESCRIPTOR = pool.FindFileByName(file.name)
    return made


def build(file: FileDescriptorProto) -> list[type[Message]]:
    """The message classes of a file."""
    return [GetMessageClass(each) for each in module(file).DESCRIPTOR.message_types_by_name.values()]


def add_fields(message: DescriptorProto, names: list[str]) -> None:
    for number, name in enumerate(names, start=1):
        message.field.add(
            name=name,
            number=number,
            label=1,
            type=FieldDescriptorProto.TYPE_INT32,
            json_name=f"j{number}",  # those that protoc derives would be the same for some
        )


def check_fields(names: list[str]) -> None:
    """Each field is set, read, shown, compared, copied, encoded and decoded by its attribute."""
    file = FileDescriptorProto(name="f.proto", package="f", syntax="proto2")
    add_fields(file.message_type.add(name="Fields"), names)
    [theirs] = build(file)
    messages: Any = NativeMessages(theirs)
    attributes = messages.Fields.__struct_fields__[:-1]
    assert len(set(attributes)) == len(names)
    for name, attribute in zip(names, attributes, strict=True):
        assert attribute == name or attribute.strip("_") in {name.strip("_"), "0"}
        if name.isidentifier() and not keyword.iskeyword(name) and name[:2] != "__":
            assert attribute == name or name == "_unknown_fields"
    message = messages.Fields(**{attribute: number for number, attribute in enumerate(attributes, 100)})
    data = messages.encode(message)
    assert data == theirs(**{name: number for number, name in enumerate(names, 100)}).SerializeToString()
    assert messages.decode(messages.Fields, data) == message == msgspec.structs.replace(message)
    assert all(f"{attribute}=" in repr(message) for attribute in attributes)


def check_values(names: list[str]) -> None:
    """Each value of an enum is a member."""
    file = FileDescriptorProto(name="e.proto", package="e", syntax="proto2")
    message = file.message_type.add(name="Holder")
    kind = message.enum_type.add(name="Kind")
    for number, name in enumerate(names):
        kind.value.add(name=name, number=number)
    message.field.add(
        name="kind", number=1, label=1, type=FieldDescriptorProto.TYPE_ENUM, type_name=".e.Holder.Kind"
    )
    messages: Any = NativeMessages(*build(file))
    kinds = messages.Holder.Kind
    assert [member.value for member in kinds] == list(range(len(names)))
    for number, member in enumerate(kinds):
        assert kinds(number) is member
        assert getattr(kinds, member.name) is kinds[member.name] is member
        assert str(member) == str(number)
        assert repr(member).endswith(f": {number}>")
        message = messages.Holder(kind=member)
        assert messages.decode(messages.Holder, messages.encode(message)).kind == number


def check_nested(names: list[str], field: str) -> None:
    """Each nested type is a class in its outer one's, which loses nothing."""
    file = FileDescriptorProto(name="n.proto", package="n", syntax="proto2")
    outer = file.message_type.add(name="Outer")
    if field not in names:
        add_fields(outer, [field])
    for name in names:
        add_fields(outer.nested_type.add(name=name), ["value"])
    messages: Any = NativeMessages(module(file))
    inside = {messages[f"n.Outer.{name}"] for name in names}
    assert {
        each for each in vars(messages.Outer).values() if isinstance(each, type) and each in inside
    } == inside
    for each in inside:
        assert messages.decode(each, messages.encode(each(value=3))).value == 3
    for attribute in messages.Outer.__struct_fields__[:-1]:
        message = messages.Outer(**{attribute: 7})
        assert messages.decode(messages.Outer, messages.encode(message)) == message
        assert getattr(message, attribute) == 7
    assert messages.encode(messages.decode(messages.Outer, b"\xf8\x07\x01")) == b"\xf8\x07\x01"


@pytest.mark.parametrize(
    "name", ["from", "from_", "__init__", "_init__", "_unknown_fields", "__native__", "__eq__"]
)
def test_a_nested_type_beside_a_field(name: str) -> None:
    for field in ("from", "from_", "__init__", "_init__", "__eq__"):
        check_nested([name], field)


def test_special_names_all_at_once() -> None:
    check_fields(SPECIAL)
    check_values(SPECIAL)
    check_nested(SPECIAL, "field")


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_any_names_of_fields(names: list[str]) -> None:
    check_fields(names)


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_any_names_of_values(names: list[str]) -> None:
    check_values(names)


@settings(max_examples=100, deadline=None)
@given(NAMES, st.sampled_from(SPECIAL))
def test_any_names_of_nested_types(names: list[str], field: str) -> None:
    check_nested(names, field)


def test_names_that_differ_in_underscores_keep_theirs() -> None:
    file = FileDescriptorProto(name="u.proto", package="u", syntax="proto2")
    names = ["from", "__x", "from_", "_x", "x_", "_x_", "x"]
    add_fields(file.message_type.add(name="Under"), names)
    messages: Any = NativeMessages(*build(file))
    fields = ("from__", "_x__", "from_", "_x", "x_", "_x_", "x")
    assert messages.Under.__struct_fields__[:-1] == fields


def test_any_name_of_a_message_and_of_an_enum() -> None:
    file = FileDescriptorProto(name="m.proto", package="m", syntax="proto2")
    for name in SPECIAL:
        add_fields(file.message_type.add(name=name), ["value"])
    messages: Any = NativeMessages(*build(file))
    for name in SPECIAL:
        kind = messages[f"m.{name}"]
        assert messages.decode(kind, messages.encode(kind(value=1))) == kind(value=1)
    assert messages.decode(messages.self, b"").value is None


def test_two_types_of_one_name_are_named() -> None:
    files = [FileDescriptorProto(name=f"{each}.proto", package="same", syntax="proto2") for each in "ab"]
    for file in files:
        add_fields(file.message_type.add(name="Twice"), ["value"])
    with pytest.raises(OptionError, match=r"two types are called same\.Twice, of a\.proto and of b\.proto"):
        NativeMessages(*(each for file in files for each in build(file)))


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_a_message_with_many_oneofs(count: int) -> None:
    file = FileDescriptorProto(name="o.proto", package="o", syntax="proto2")
    message = file.message_type.add(name="Many")
    add_fields(message, [f"f{number}" for number in range(2 * count)])
    for number in range(count):
        message.oneof_decl.add(name=f"o{number}")
        for field in message.field[2 * number : 2 * number + 2]:
            field.oneof_index = number
    [theirs] = build(file)
    messages: Any = NativeMessages(theirs)
    every = {f"f{2 * number + number % 2}": number for number in range(count)}
    native = messages.Many(**every)
    assert messages.encode(native) == theirs(**every).SerializeToString()
    assert messages.decode(messages.Many, messages.encode(native)) == native
    assert which_oneof(native, f"o{count - 1}") == f"f{2 * (count - 1) + (count - 1) % 2}"
    for number in (0, count - 1):
        both = {**every, f"f{2 * number}": 1, f"f{2 * number + 1}": 1}
        with pytest.raises(EncodeError, match=f"one member of the oneof o{number} at most"):
            messages.encode(messages.Many(**both))
