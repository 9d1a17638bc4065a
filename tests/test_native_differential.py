"""Native messages against google's protobuf: schemas, messages and bytes made at random."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import native_schemas
from tests.oracle import varint

from protosocket.codecs import NativeMessages
from protosocket.errors import EncodeError, InvalidMessage

SCHEMAS = 40
"""So many different schemas are compiled; each example takes one of them."""


@cache
def made(seed: int) -> tuple[native_schemas.Schema, NativeMessages]:
    schema = native_schemas.make_schema(seed)
    return schema, NativeMessages(*schema.classes)


seeds = st.integers(0, 2**32)
schemas = st.integers(0, SCHEMAS - 1).map(made)


def plain(value: Any, field: Any) -> Any:
    return said(value) if field.message_type is not None else value


def said(message: Message) -> dict[str, Any]:
    """What a message of google's says, by the rules of native ones."""
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value: Any = getattr(message, field.name)
        inside: Any = field.message_type
        if inside is not None and inside.GetOptions().map_entry:
            kind = inside.fields_by_number[2]
            fields[field.name] = {key: plain(value[key], kind) for key in value}
        elif field.is_repeated:
            fields[field.name] = [plain(each, field) for each in value]
        elif field.has_presence and not message.HasField(field.name):
            fields[field.name] = None
        else:
            fields[field.name] = plain(value, field)
    return fields


def native_said(value: Any) -> Any:
    if isinstance(value, list):
        return [native_said(each) for each in value]
    if isinstance(value, dict):
        return {key: native_said(each) for key, each in value.items()}
    if hasattr(value, "__struct_fields__"):
        return {name: native_said(getattr(value, name)) for name in value.__struct_fields__ if name[0] != "_"}
    return value


def canonical(kind: type[Message], data: bytes) -> bytes:
    """The bytes with maps in protobuf's own order."""
    return kind.FromString(data).SerializePartialToString(deterministic=True)


def check(kind: type[Message], messages: NativeMessages, original: Message) -> None:
    """``original`` decodes to the same content, and that encodes to the same bytes."""
    data = original.SerializePartialToString(deterministic=True)
    native_kind = messages[kind.DESCRIPTOR.full_name]
    native = messages.decode(native_kind, data)
    assert native_said(native) == said(original)
    if not original.IsInitialized():
        with pytest.raises(EncodeError, match="required"):
            messages.encode(native)
        return
    ours = messages.encode(native)
    assert ours == data or (native_schemas.has_map(kind.DESCRIPTOR) and canonical(kind, ours) == data)
    again = messages.decode(native_kind, ours)
    assert again == native
    assert messages.encode(again) == ours


def check_bytes(kind: type[Message], messages: NativeMessages, data: bytes) -> None:
    """``data`` is refused by both, or encodes to what protobuf makes of it."""
    native_kind = messages[kind.DESCRIPTOR.full_name]
    try:
        original = kind.FromString(data)
    except DecodeError:
        with pytest.raises(InvalidMessage):
            messages.decode(native_kind, data)
        return
    native = messages.decode(native_kind, data)
    if original.IsInitialized() and "nan" not in str(original):  # one that is not is not to be encoded
        assert canonical(kind, messages.encode(native)) == original.SerializeToString(deterministic=True)


@settings(max_examples=300, deadline=None)
@given(schemas, seeds)
def test_messages_have_the_same_bytes(made: tuple[native_schemas.Schema, NativeMessages], seed: int) -> None:
    schema, messages = made
    for kind in schema.classes:
        original = kind()
        native_schemas.fill(original, random.Random(seed))
        check(kind, messages, original)


def taken(messages: NativeMessages, kind: Any, data: bytes) -> bool:
    try:
        messages.decode(kind, data)
    except InvalidMessage:
        return False
    return True


@settings(max_examples=600, deadline=None)
@given(schemas, seeds)
def test_any_bytes_are_taken_or_refused_alike(
    made: tuple[native_schemas.Schema, NativeMessages], seed: int
) -> None:
    schema, messages = made
    chance = random.Random(seed)
    kind = chance.choice(schema.classes)
    source = kind()
    native_schemas.fill(source, chance)
    data = source.SerializePartialToString()
    data = (
        chance.randbytes(chance.randrange(30))
        if chance.random() < 0.1
        else native_schemas.mutilate(data, chance)
    )
    native_kind = messages[kind.DESCRIPTOR.full_name]
    try:
        original = kind.FromString(data)
    except DecodeError:
        with pytest.raises(InvalidMessage):
            messages.decode(native_kind, data)
        return
    if any(not each.DESCRIPTOR.fields for each in schema.classes) and not taken(messages, native_kind, data):
        # upb takes the field number 0 in a message that has no fields, and only there; it is never valid.
        with pytest.raises(InvalidMessage, match="field number is zero"):
            messages.decode(native_kind, data)
        return
    native = messages.decode(native_kind, data)
    if "nan" in str(original) or not original.IsInitialized():
        return  # not equal to itself, or not to be encoded
    ours = messages.encode(native)
    expected = original.SerializeToString(deterministic=True)
    assert ours == expected or (native_schemas.has_map(kind.DESCRIPTOR) and canonical(kind, ours) == expected)


@settings(max_examples=200, deadline=None)
@given(schemas, seeds)
def test_what_another_schema_wrote_is_kept(
    made: tuple[native_schemas.Schema, NativeMessages], seed: int
) -> None:
    """Fields with other numbers and types, unknown here, come back out as protobuf gives them back."""
    schema, messages = made
    chance = random.Random(seed)
    writer = chance.choice([each for index in range(SCHEMAS) for each in made_classes(index)])
    source = writer()
    native_schemas.fill(source, chance)
    data = source.SerializePartialToString()
    for kind in schema.classes:
        check_bytes(kind, messages, data)


def made_classes(index: int) -> list[type[Message]]:
    return made(index)[0].classes


@settings(max_examples=200, deadline=None)
@given(schemas, seeds)
def test_submessages_in_many_parts_are_merged_alike(
    made: tuple[native_schemas.Schema, NativeMessages], seed: int
) -> None:
    """The parts of several fields take turns, and each has fields that are unknown here."""
    schema, messages = made
    chance = random.Random(seed)
    writers = [each for index in range(SCHEMAS) for each in made_classes(index)]
    for kind in schema.classes:
        fields = [each for each in kind.DESCRIPTOR.fields if each.message_type is not None]
        data = b""
        for _ in range(chance.randrange(12) if fields else 0):
            part = chance.choice([*writers, *schema.classes])()
            native_schemas.fill(part, chance, 2)
            content = part.SerializePartialToString()
            data += varint.write(chance.choice(fields).number << 3 | 2) + varint.write(len(content)) + content
        check_bytes(kind, messages, data)
