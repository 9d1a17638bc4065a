"""Where our decoders and the published crate's are known to differ, and why (docs/interop.md lists it).

Each difference is a question about the bytes at which the two part, so that nothing else hides behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.interop.decoders import End, Message, Outcome
from tests.interop.streams import LIMIT, Case, Form
from tests.oracle import messagepack, protobuf, varint
from tests.oracle.header import Malformed
from tests.oracle.protobuf import Wire


@dataclass(frozen=True)
class Divergence:
    """The place where two decoders part."""

    case: Case
    at: int
    """Where the message begins about which they do not agree."""

    ours: Message | End
    theirs: Message | End

    @property
    def unread(self) -> bytes:
        """From that message to the end of the stream."""
        return self.case.data[self.at :]

    @property
    def prefix(self) -> tuple[int, int] | None:
        """The declared length of that message and how many bytes declare it."""
        if self.case.form is Form.PROTOBUF:
            try:
                return varint.read(self.unread)
            except (varint.Incomplete, varint.Overlong):
                return None
        if len(self.unread) < 5 or self.unread[0] != 0xCE:
            return None
        return int.from_bytes(self.unread[1:5], "big"), 5

    @property
    def payload(self) -> bytes:
        """That message without its prefix, as far as it has arrived."""
        length, header = self.prefix or (0, 0)
        return self.unread[header : header + length]


def divergence(case: Case, ours: Outcome, theirs: Outcome) -> Divergence | None:
    """Where they part, if they do."""
    if ours == theirs:
        return None
    at = same = 0
    for mine, other in zip(ours.messages, theirs.messages, strict=False):
        if mine != other:
            break
        at += mine.consumed
        same += 1
    return Divergence(case, at, _step(ours, same), _step(theirs, same))


def _step(outcome: Outcome, number: int) -> Message | End:
    return outcome.messages[number] if number < len(outcome.messages) else outcome.end


def reason(place: Divergence) -> str | None:
    """Why they part, if that is known."""
    return next((text for text, holds in DIFFERENCES.items() if holds(place)), None)


def _hopeless_prefix(place: Divergence) -> bool:
    return place.ours == "refused" and place.theirs == "incomplete" and place.prefix is None


def _prefix_in_limit(place: Divergence) -> bool:
    length, header = place.prefix or (0, 0)
    whole = len(place.unread) >= length + header
    return length <= LIMIT < length + header and not whole and place.theirs == "refused"


def _value_is_the_length(place: Divergence) -> bool:
    """The declared length is not that of the value which begins behind the prefix."""
    if place.case.form is Form.PROTOBUF or place.prefix is None:
        return False
    length, header = place.prefix
    reader = messagepack.Reader(place.unread[header:])
    try:
        reader.skip()
    except Malformed:
        return len(place.payload) == length and isinstance(place.ours, Message)
    return reader.at != length and len(place.payload) == length


def _only_the_header(place: Divergence) -> bool:
    return isinstance(place.ours, Message) and place.ours.fields is None and place.theirs == "refused"


def _other_container(place: Divergence) -> bool:
    container = {Form.ARRAY: messagepack.Reader.array, Form.MAP: messagepack.Reader.map}.get(place.case.form)
    if container is None or place.ours != "refused":
        return False
    try:
        container(messagepack.Reader(place.payload))
    except Malformed:
        return isinstance(place.theirs, Message)
    return False


def _count(place: Divergence) -> int:
    """The elements of an array; -1 for everything else."""
    if place.case.form is not Form.ARRAY:
        return -1
    try:
        return messagepack.Reader(place.payload).array()
    except Malformed:
        return -1


def _short_array(place: Divergence) -> bool:
    return 0 <= _count(place) < 2 and place.ours == "refused" and isinstance(place.theirs, Message)


def _long_array(place: Divergence) -> bool:
    return _count(place) > 5 and isinstance(place.ours, Message) and place.theirs == "refused"


_FIELDS = ["id", "code", "command", "number", "body"]


def _fields(place: Divergence) -> list[tuple[str | None, bytes]]:
    """The fields of a MessagePack message: names and encoded values; as far as they can be told apart."""
    reader = messagepack.Reader(place.payload)
    found: list[tuple[str | None, bytes]] = []
    try:
        is_array = place.case.form is Form.ARRAY
        for index in range(reader.array() if is_array else reader.map()):
            name = (_FIELDS[index] if index < len(_FIELDS) else None) if is_array else reader.key()
            start = reader.at
            reader.skip()
            found.append((name, reader.data[start : reader.at]))
    except Malformed:
        pass
    return found


def _other_type(place: Divergence) -> bool:
    """A field has a value of another type than the others take for it."""
    return place.case.form is not Form.PROTOBUF and any(
        name in _FIELDS and not _is_expected(name, value) for name, value in _fields(place)
    )


def _is_expected(name: str, value: bytes) -> bool:
    marker = value[0]
    if name == "command":
        return 0xA0 <= marker <= 0xBF or 0xD9 <= marker <= 0xDB
    if name == "body":
        return 0xC4 <= marker <= 0xC6
    try:
        messagepack.Reader(value).element()
    except Malformed:
        return False
    return True


def _other_key(place: Divergence) -> bool:
    return place.case.form is Form.MAP and any(name is None for name, _ in _fields(place))


def _field_twice(place: Divergence) -> bool:
    names = [name for name, _ in _fields(place) if name in _FIELDS]
    return place.case.form is Form.MAP and len(names) > len(set(names)) and place.theirs == "refused"


_WIRES = {1: Wire.VARINT, 2: Wire.VARINT, 3: Wire.BYTES, 4: Wire.VARINT, 5: Wire.BYTES}


def _other_wire(place: Divergence) -> bool:
    """A field is there in another wire type than its own."""
    if place.case.form is not Form.PROTOBUF or place.theirs != "refused":
        return False
    try:
        parts = list(protobuf.parts(place.payload))
    except Malformed:
        return False
    return any(_WIRES.get(part.number, part.wire) != part.wire for part in parts)


def _wide_tag_or_length(place: Divergence) -> bool:
    """A tag or a length takes more than five bytes."""
    if place.case.form is not Form.PROTOBUF or place.ours != "refused":
        return False
    try:
        parts = list(protobuf.parts(place.payload))
    except Malformed:
        return False
    return any(_is_wide(part) for part in parts)


def _is_wide(part: protobuf.Part) -> bool:
    if part.wire is Wire.START_GROUP:
        # The tags and lengths in it as well.
        return re.search(rb"[\x80-\xff]{5}", part.encoded) is not None
    _, tag = varint.read(part.encoded)
    length = varint.read(part.encoded, tag)[1] - tag if part.wire is Wire.BYTES else 0
    return max(tag, length) > 5


def _padded_prefix(place: Divergence) -> bool:
    if place.case.form is not Form.PROTOBUF or place.prefix is None:
        return False
    length, header = place.prefix
    return header > len(varint.write(length)) and place.theirs == "refused"


def _wrapping_length(place: Divergence) -> bool:
    length, _ = place.prefix or (0, 0)
    return place.case.form is not Form.PROTOBUF and length + 5 >= 1 << 32 and place.ours == "refused"


DIFFERENCES: dict[str, Callable[[Divergence], bool]] = {
    "the crate waits for more of a prefix that no more bytes can make whole": _hopeless_prefix,
    "the crate counts the prefix to the length that it limits": _prefix_in_limit,
    "the crate adds 5 to a MessagePack length in 32 bits, so that the largest become small": _wrapping_length,
    "the crate counts on a prefix in its shortest form: split, a longer one is refused": _padded_prefix,
    "the crate decodes all of a Cancel or an End; here only the header is read": _only_the_header,
    "the crate takes the bytes of the value, whatever length was declared": _value_is_the_length,
    "a field in another wire type is unknown to upb, and refused by prost": _other_wire,
    "upb takes at most five bytes for a tag or a length, prost ten": _wide_tag_or_length,
    "a codec says whether its messages are arrays or maps; the crate takes both": _other_container,
    "an array has to hold the header; the crate lets every field be missing": _short_array,
    "msgspec ignores elements behind the last field, which rmp-serde refuses": _long_array,
    "msgspec and rmp-serde do not take the same types for a field": _other_type,
    "keys are text; rmp-serde reads names from other types too": _other_key,
    "a field that is twice in a map: the last one counts; rmp-serde refuses the message": _field_twice,
}
"""Why the two differ, with the bytes for which that is so."""
