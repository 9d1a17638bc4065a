from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Goods(_message.Message):
    __slots__ = ("name", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class PlaceRequest(_message.Message):
    __slots__ = ("goods",)
    GOODS_FIELD_NUMBER: _ClassVar[int]
    goods: Goods
    def __init__(self, goods: _Optional[_Union[Goods, _Mapping]] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("id", "goods", "buyer")
    ID_FIELD_NUMBER: _ClassVar[int]
    GOODS_FIELD_NUMBER: _ClassVar[int]
    BUYER_FIELD_NUMBER: _ClassVar[int]
    id: str
    goods: Goods
    buyer: str
    def __init__(self, id: _Optional[str] = ..., goods: _Optional[_Union[Goods, _Mapping]] = ..., buyer: _Optional[str] = ...) -> None: ...

class TrackRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("kind",)
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Event.Kind]
        KIND_PACKED: _ClassVar[Event.Kind]
        KIND_SHIPPED: _ClassVar[Event.Kind]
        KIND_DELIVERED: _ClassVar[Event.Kind]
    KIND_UNSPECIFIED: Event.Kind
    KIND_PACKED: Event.Kind
    KIND_SHIPPED: Event.Kind
    KIND_DELIVERED: Event.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: Event.Kind
    def __init__(self, kind: _Optional[_Union[Event.Kind, str]] = ...) -> None: ...

class Stock(_message.Message):
    __slots__ = ("counts",)
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.ScalarMap[str, int]
    def __init__(self, counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("cents", "accepted")
    CENTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    cents: int
    accepted: bool
    def __init__(self, cents: _Optional[int] = ..., accepted: bool = ...) -> None: ...
