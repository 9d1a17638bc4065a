"""Native protobuf messages: light objects with protobuf's wire, of classes made from protoc's at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from protosocket._core import NativeDecoder, NativeSchema
from protosocket.codecs.native_classes import NativeMessage, make_enum, plan_messages
from protosocket.codecs.native_names import nested_names
from protosocket.errors import OptionError

__all__ = ["NativeMessages", "messages_of", "which_oneof"]

M = TypeVar("M", bound=NativeMessage)

_HOME = "__native__"
_AMBIGUOUS = object()


class NativeMessages:
    """Classes of native messages and the codec between their objects and protobuf's bytes.

    ``sources`` are modules that protoc made (``..._pb2``), or message classes of such. There is a class for
    each of their messages and for every message these can hold: an attribute by its name, a nested one in
    its outer class. Enums (``enum.IntEnum``) are found likewise; ``messages["package.Outer.Name"]`` finds any
    of them by its full name. A field is an attribute of the same name, and every field may be left out of
    the constructor. Fields, values of enums and nested types whose name Python keeps for itself, or another
    one has, get a ``_`` at its end (``from_``); ``__`` at its beginning becomes ``_``. Attributes hold:

    * numbers, ``bool``, ``str`` and ``bytes`` are what they are, zero or empty by default; enums are ``int``
    * ``optional`` fields, members of a oneof and submessages are ``None`` when absent, also where proto2
      declares another default
    * ``repeated`` fields are ``list``, maps ``dict``

    Types and ranges are looked at when a message is encoded, not when a field is set. Fields unknown to the
    schema, which extensions are here, are kept and written back. Raises ``OptionError`` for other sources,
    for messages with groups or in the wire format of message sets, and for two types of one full name.
    """

    encode: Callable[[NativeMessage], bytes]
    """The bytes of a message of one of the classes, as google's ``protobuf`` writes them; map entries come in
    the order of the ``dict``. Raises ``EncodeError``, which names the field, for a value it cannot hold, two
    members of a oneof, an absent required field or too deep nesting; ``TypeError`` for anything else."""

    def __init__(self, *sources: ModuleType | type[Message]) -> None:
        messages, enums = _declared(sources)
        plans = plan_messages(messages)
        for descriptor in plans:
            enums.update(dict.fromkeys(descriptor.enum_types))
            held = (field.enum_type for field in descriptor.fields)
            enums.update(dict.fromkeys(each for each in held if each is not None))
        made: dict[Descriptor | EnumDescriptor, Any] = {each: plan.message for each, plan in plans.items()}
        made.update((each, make_enum(each)) for each in enums)
        self._by_full_name = _by_full_name(made)
        self._protobuf = {plan.message: GetMessageClass(descriptor) for descriptor, plan in plans.items()}
        self._by_name: dict[str, Any] = {}
        for each, found in made.items():
            if each.containing_type not in made and self._by_name.setdefault(each.name, found) is not found:
                self._by_name[each.name] = _AMBIGUOUS
        self._schema = NativeSchema(list(plans.values()))
        self.encode = self._schema.encode
        # As plain attributes, which cost nothing to look up; our own names come first.
        for name, found in self._by_name.items():
            if found is not _AMBIGUOUS and not hasattr(type(self), name) and name not in self.__dict__:
                self.__dict__[name] = found
        # After the schema was compiled, which looks for the fields in the classes.
        for descriptor, plan in plans.items():
            _put_nested(descriptor, made)
            setattr(plan.message, _HOME, self)

    def decode(self, kind: type[M], data: bytes) -> M:
        """The message of class ``kind`` in ``data``; raises ``InvalidMessage`` if there is none in it.

        It takes what google's ``protobuf`` takes: fields in any order, the last of a kind counts, and
        submessages are merged. ``decoder`` gives a faster way to decode many of one class.
        """
        return self._schema.decode(kind, data)

    def decoder(self, kind: type[M]) -> Callable[[bytes], M]:
        """A function that does what ``decode`` does for messages of class ``kind``."""
        return self._schema.decoder(kind).decode

    def wire_encoder(self) -> NativeSchema:
        """What a ``WireCodec`` encodes with, without a Python call for each message."""
        return self._schema

    def wire_decoder(self, kind: type[M]) -> NativeDecoder[M]:
        """What a ``WireCodec`` decodes messages of class ``kind`` with, without a Python call for each."""
        return self._schema.decoder(kind)

    def from_protobuf(self, message: Message) -> Any:
        """The native message that says what ``message`` says; ``OptionError`` if it has no class here."""
        name = message.DESCRIPTOR.full_name
        kind = self._by_full_name.get(name)
        if kind is None:
            raise OptionError(f"there is no native class for {name} here; it must be among the sources")
        return self._schema.decode(kind, message.SerializePartialToString())

    def to_protobuf(self, message: NativeMessage) -> Message:
        """The message of protoc's class that says what ``message`` says; raises as ``encode`` does."""
        return self.protobuf_class(type(message)).FromString(self.encode(message))

    def protobuf_class(self, kind: type[NativeMessage]) -> type[Message]:
        """Protoc's class for a native one (or a class derived from it); ``TypeError`` if there is none."""
        for each in kind.__mro__:
            if each in self._protobuf:
                return self._protobuf[each]
        raise TypeError(f"{kind!r} is not a message class of this schema")

    def which_oneof(self, message: NativeMessage, oneof: str) -> str | None:
        """What the function ``which_oneof`` gives."""
        return self._schema.which_oneof(message, oneof)

    def __getitem__(self, full_name: str) -> Any:
        return self._by_full_name[full_name]

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__.get("_by_name", {}).get(name)
        if found is None:
            raise AttributeError(f"there is no message or enum named {name!r} here")
        if found is _AMBIGUOUS:
            raise AttributeError(f"more than one package has a {name!r}; use messages['package.{name}']")
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._by_name]


def which_oneof(message: NativeMessage, oneof: str) -> str | None:
    """The attribute of the member of ``oneof`` that is not ``None``; ``None`` if all are.

    Raises ``KeyError`` if the message has no oneof of that name. To look at one member, ``is not None`` on
    its attribute is faster.
    """
    return messages_of("message", type(message)).which_oneof(message, oneof)


def messages_of(what: str, kind: object) -> NativeMessages:
    """The messages a class belongs to; ``OptionError`` if it is no native message class."""
    home = getattr(kind, _HOME, None)
    if not isinstance(home, NativeMessages):
        raise OptionError(f"{what} is a class of NativeMessages, not {kind!r}")
    return home


def _declared(sources: tuple[object, ...]) -> tuple[list[Descriptor], dict[EnumDescriptor, None]]:
    messages: list[Descriptor] = []
    enums: dict[EnumDescriptor, None] = {}
    for source in sources:
        descriptor = getattr(source, "DESCRIPTOR", None)
        if isinstance(source, ModuleType) and descriptor is not None:
            file = cast(FileDescriptor, descriptor)
            for message in file.message_types_by_name.values():
                messages.extend(_with_nested(message))
            enums.update(dict.fromkeys(file.enum_types_by_name.values()))
        elif isinstance(source, type) and issubclass(source, Message) and descriptor is not None:
            messages.append(cast(Descriptor, descriptor))
        else:
            raise OptionError(
                f"native messages are made of protoc's modules and message classes, not of {source!r}"
            )
    if not messages:
        raise OptionError("native messages are made of at least one message class of protoc's")
    return messages, enums


def _by_full_name(made: dict[Descriptor | EnumDescriptor, Any]) -> dict[str, Any]:
    known: dict[str, Descriptor | EnumDescriptor] = {}
    for descriptor in made:
        other = known.setdefault(descriptor.full_name, descriptor)
        if other is not descriptor:
            raise OptionError(
                f"two types are called {descriptor.full_name}, of {other.file.name} and of "
                f"{descriptor.file.name} in another pool of descriptors: make native messages of each alone"
            )
    return {full_name: made[descriptor] for full_name, descriptor in known.items()}


def _put_nested(outer: Descriptor, made: dict[Descriptor | EnumDescriptor, Any]) -> None:
    """Give the class of a message those of what is declared in it."""
    nested: list[Descriptor | EnumDescriptor] = [*outer.nested_types, *outer.enum_types]
    nested = [each for each in nested if each in made]
    names = nested_names((each.name for each in nested), made[outer])
    for each in nested:
        setattr(made[outer], names[each.name], made[each])


def _with_nested(message: Descriptor) -> Iterator[Descriptor]:
    yield message
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from _with_nested(nested)
