from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OK: _ClassVar[Status]
    CANCELLED: _ClassVar[Status]
    UNKNOWN: _ClassVar[Status]
    INVALID_ARGUMENT: _ClassVar[Status]
    DEADLINE_EXCEEDED: _ClassVar[Status]
    NOT_FOUND: _ClassVar[Status]
    ALREADY_EXISTS: _ClassVar[Status]
    PERMISSION_DENIED: _ClassVar[Status]
    RESOURCE_EXHAUSTED: _ClassVar[Status]
    FAILED_PRECONDITION: _ClassVar[Status]
    ABORTED: _ClassVar[Status]
    OUT_OF_RANGE: _ClassVar[Status]
    UNIMPLEMENTED: _ClassVar[Status]
    INTERNAL: _ClassVar[Status]
    UNAVAILABLE: _ClassVar[Status]
    DATA_LOSS: _ClassVar[Status]
    UNAUTHENTICATED: _ClassVar[Status]
OK: Status
CANCELLED: Status
UNKNOWN: Status
INVALID_ARGUMENT: Status
DEADLINE_EXCEEDED: Status
NOT_FOUND: Status
ALREADY_EXISTS: Status
PERMISSION_DENIED: Status
RESOURCE_EXHAUSTED: Status
FAILED_PRECONDITION: Status
ABORTED: Status
OUT_OF_RANGE: Status
UNIMPLEMENTED: Status
INTERNAL: Status
UNAVAILABLE: Status
DATA_LOSS: Status
UNAUTHENTICATED: Status

class CacheCommand(_message.Message):
    __slots__ = ("message_id", "control_code", "unary")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_CODE_FIELD_NUMBER: _ClassVar[int]
    UNARY_FIELD_NUMBER: _ClassVar[int]
    message_id: int
    control_code: int
    unary: Unary
    def __init__(self, message_id: _Optional[int] = ..., control_code: _Optional[int] = ..., unary: _Optional[_Union[Unary, _Mapping]] = ...) -> None: ...

class Unary(_message.Message):
    __slots__ = ("auth", "get", "set", "delete", "item", "caches")
    AUTH_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CACHES_FIELD_NUMBER: _ClassVar[int]
    auth: AuthenticateCommand
    get: GetCommand
    set: SetCommand
    delete: DeleteCommand
    item: ItemCommand
    caches: CachesCommand
    def __init__(self, auth: _Optional[_Union[AuthenticateCommand, _Mapping]] = ..., get: _Optional[_Union[GetCommand, _Mapping]] = ..., set: _Optional[_Union[SetCommand, _Mapping]] = ..., delete: _Optional[_Union[DeleteCommand, _Mapping]] = ..., item: _Optional[_Union[ItemCommand, _Mapping]] = ..., caches: _Optional[_Union[CachesCommand, _Mapping]] = ...) -> None: ...

class CacheResponse(_message.Message):
    __slots__ = ("message_id", "control_code", "error", "auth", "get", "set", "delete", "item", "caches")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CACHES_FIELD_NUMBER: _ClassVar[int]
    message_id: int
    control_code: int
    error: CommandError
    auth: AuthenticateResponse
    get: GetResponse
    set: SetResponse
    delete: DeleteResponse
    item: ItemResponse
    caches: CachesResponse
    def __init__(self, message_id: _Optional[int] = ..., control_code: _Optional[int] = ..., error: _Optional[_Union[CommandError, _Mapping]] = ..., auth: _Optional[_Union[AuthenticateResponse, _Mapping]] = ..., get: _Optional[_Union[GetResponse, _Mapping]] = ..., set: _Optional[_Union[SetResponse, _Mapping]] = ..., delete: _Optional[_Union[DeleteResponse, _Mapping]] = ..., item: _Optional[_Union[ItemResponse, _Mapping]] = ..., caches: _Optional[_Union[CachesResponse, _Mapping]] = ...) -> None: ...

class AuthenticateCommand(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class AuthenticateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCommand(_message.Message):
    __slots__ = ("namespace", "key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: bytes
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    def __init__(self, value: _Optional[bytes] = ...) -> None: ...

class SetCommand(_message.Message):
    __slots__ = ("namespace", "key", "value", "ttl_milliseconds")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: bytes
    value: bytes
    ttl_milliseconds: int
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., ttl_milliseconds: _Optional[int] = ...) -> None: ...

class SetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeleteCommand(_message.Message):
    __slots__ = ("namespace", "key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: bytes
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ItemCommand(_message.Message):
    __slots__ = ("namespace", "key", "operation")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: bytes
    operation: bytes
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[bytes] = ..., operation: _Optional[bytes] = ...) -> None: ...

class ItemResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: bytes
    def __init__(self, answer: _Optional[bytes] = ...) -> None: ...

class CachesCommand(_message.Message):
    __slots__ = ("namespace", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LIST: _ClassVar[CachesCommand.Action]
        CREATE: _ClassVar[CachesCommand.Action]
        DELETE: _ClassVar[CachesCommand.Action]
        FLUSH: _ClassVar[CachesCommand.Action]
    LIST: CachesCommand.Action
    CREATE: CachesCommand.Action
    DELETE: CachesCommand.Action
    FLUSH: CachesCommand.Action
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    action: CachesCommand.Action
    def __init__(self, namespace: _Optional[str] = ..., action: _Optional[_Union[CachesCommand.Action, str]] = ...) -> None: ...

class CachesResponse(_message.Message):
    __slots__ = ("names", "existed")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    existed: bool
    def __init__(self, names: _Optional[_Iterable[str]] = ..., existed: bool = ...) -> None: ...

class CommandError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: Status
    message: str
    def __init__(self, code: _Optional[_Union[Status, str]] = ..., message: _Optional[str] = ...) -> None: ...
