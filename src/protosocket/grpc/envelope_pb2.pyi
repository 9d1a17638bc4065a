from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("id", "control", "payload", "method", "path", "timeout_ms", "timeout_us", "metadata", "status", "trailing_metadata", "call", "credit", "hello", "ping", "pong", "going_away", "streams")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TRAILING_METADATA_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    GOING_AWAY_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    id: int
    control: int
    payload: bytes
    method: int
    path: str
    timeout_ms: int
    timeout_us: int
    metadata: _containers.RepeatedCompositeFieldContainer[Metadatum]
    status: Status
    trailing_metadata: _containers.RepeatedCompositeFieldContainer[Metadatum]
    call: int
    credit: int
    hello: Hello
    ping: int
    pong: int
    going_away: bool
    streams: bool
    def __init__(self, id: _Optional[int] = ..., control: _Optional[int] = ..., payload: _Optional[bytes] = ..., method: _Optional[int] = ..., path: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., timeout_us: _Optional[int] = ..., metadata: _Optional[_Iterable[_Union[Metadatum, _Mapping]]] = ..., status: _Optional[_Union[Status, _Mapping]] = ..., trailing_metadata: _Optional[_Iterable[_Union[Metadatum, _Mapping]]] = ..., call: _Optional[int] = ..., credit: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., ping: _Optional[int] = ..., pong: _Optional[int] = ..., going_away: bool = ..., streams: bool = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "window", "ping_after_ms", "refusal")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PING_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    version: int
    window: int
    ping_after_ms: int
    refusal: str
    def __init__(self, version: _Optional[int] = ..., window: _Optional[int] = ..., ping_after_ms: _Optional[int] = ..., refusal: _Optional[str] = ...) -> None: ...

class Metadatum(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("code", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    details: str
    def __init__(self, code: _Optional[int] = ..., details: _Optional[str] = ...) -> None: ...
