from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class HelloRequest(_message.Message):
    __slots__ = ("id", "control", "name", "times")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    id: int
    control: int
    name: str
    times: int
    def __init__(self, id: _Optional[int] = ..., control: _Optional[int] = ..., name: _Optional[str] = ..., times: _Optional[int] = ...) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ("id", "control", "text")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: int
    control: int
    text: str
    def __init__(self, id: _Optional[int] = ..., control: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...
