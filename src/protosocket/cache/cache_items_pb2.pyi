from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCALAR: _ClassVar[Kind]
    DICTIONARY: _ClassVar[Kind]
    SET: _ClassVar[Kind]
    LIST: _ClassVar[Kind]
    SORTED_SET: _ClassVar[Kind]
SCALAR: Kind
DICTIONARY: Kind
SET: Kind
LIST: Kind
SORTED_SET: Kind

class ItemOperation(_message.Message):
    __slots__ = ("set_if", "increment", "update_ttl", "inspect", "length", "clear", "dictionary_set", "dictionary_get", "dictionary_fetch", "dictionary_increment", "dictionary_remove", "set_add", "set_remove", "set_subtract_from", "set_fetch", "set_sample", "set_pop", "set_contains", "list_push", "list_pop", "list_fetch", "list_retain", "list_remove", "list_erase", "sorted_set_put", "sorted_set_store", "sorted_set_increment", "sorted_set_remove", "sorted_set_scores", "sorted_set_rank", "sorted_set_by_rank", "sorted_set_by_score", "sorted_set_count")
    SET_IF_FIELD_NUMBER: _ClassVar[int]
    INCREMENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TTL_FIELD_NUMBER: _ClassVar[int]
    INSPECT_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_SET_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_GET_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_FETCH_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_INCREMENT_FIELD_NUMBER: _ClassVar[int]
    DICTIONARY_REMOVE_FIELD_NUMBER: _ClassVar[int]
    SET_ADD_FIELD_NUMBER: _ClassVar[int]
    SET_REMOVE_FIELD_NUMBER: _ClassVar[int]
    SET_SUBTRACT_FROM_FIELD_NUMBER: _ClassVar[int]
    SET_FETCH_FIELD_NUMBER: _ClassVar[int]
    SET_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    SET_POP_FIELD_NUMBER: _ClassVar[int]
    SET_CONTAINS_FIELD_NUMBER: _ClassVar[int]
    LIST_PUSH_FIELD_NUMBER: _ClassVar[int]
    LIST_POP_FIELD_NUMBER: _ClassVar[int]
    LIST_FETCH_FIELD_NUMBER: _ClassVar[int]
    LIST_RETAIN_FIELD_NUMBER: _ClassVar[int]
    LIST_REMOVE_FIELD_NUMBER: _ClassVar[int]
    LIST_ERASE_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_PUT_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_STORE_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_INCREMENT_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_REMOVE_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_SCORES_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_RANK_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_BY_RANK_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_BY_SCORE_FIELD_NUMBER: _ClassVar[int]
    SORTED_SET_COUNT_FIELD_NUMBER: _ClassVar[int]
    set_if: SetIf
    increment: Increment
    update_ttl: UpdateTtl
    inspect: Inspect
    length: Length
    clear: Clear
    dictionary_set: DictionarySet
    dictionary_get: DictionaryGet
    dictionary_fetch: DictionaryFetch
    dictionary_increment: DictionaryIncrement
    dictionary_remove: DictionaryRemove
    set_add: SetAdd
    set_remove: SetRemove
    set_subtract_from: SetSubtractFrom
    set_fetch: SetFetch
    set_sample: SetSample
    set_pop: SetPop
    set_contains: SetContains
    list_push: ListPush
    list_pop: ListPop
    list_fetch: ListFetch
    list_retain: ListRetain
    list_remove: ListRemove
    list_erase: ListErase
    sorted_set_put: SortedSetPut
    sorted_set_store: SortedSetStore
    sorted_set_increment: SortedSetIncrement
    sorted_set_remove: SortedSetRemove
    sorted_set_scores: SortedSetScores
    sorted_set_rank: SortedSetRank
    sorted_set_by_rank: SortedSetByRank
    sorted_set_by_score: SortedSetByScore
    sorted_set_count: SortedSetCount
    def __init__(self, set_if: _Optional[_Union[SetIf, _Mapping]] = ..., increment: _Optional[_Union[Increment, _Mapping]] = ..., update_ttl: _Optional[_Union[UpdateTtl, _Mapping]] = ..., inspect: _Optional[_Union[Inspect, _Mapping]] = ..., length: _Optional[_Union[Length, _Mapping]] = ..., clear: _Optional[_Union[Clear, _Mapping]] = ..., dictionary_set: _Optional[_Union[DictionarySet, _Mapping]] = ..., dictionary_get: _Optional[_Union[DictionaryGet, _Mapping]] = ..., dictionary_fetch: _Optional[_Union[DictionaryFetch, _Mapping]] = ..., dictionary_increment: _Optional[_Union[DictionaryIncrement, _Mapping]] = ..., dictionary_remove: _Optional[_Union[DictionaryRemove, _Mapping]] = ..., set_add: _Optional[_Union[SetAdd, _Mapping]] = ..., set_remove: _Optional[_Union[SetRemove, _Mapping]] = ..., set_subtract_from: _Optional[_Union[SetSubtractFrom, _Mapping]] = ..., set_fetch: _Optional[_Union[SetFetch, _Mapping]] = ..., set_sample: _Optional[_Union[SetSample, _Mapping]] = ..., set_pop: _Optional[_Union[SetPop, _Mapping]] = ..., set_contains: _Optional[_Union[SetContains, _Mapping]] = ..., list_push: _Optional[_Union[ListPush, _Mapping]] = ..., list_pop: _Optional[_Union[ListPop, _Mapping]] = ..., list_fetch: _Optional[_Union[ListFetch, _Mapping]] = ..., list_retain: _Optional[_Union[ListRetain, _Mapping]] = ..., list_remove: _Optional[_Union[ListRemove, _Mapping]] = ..., list_erase: _Optional[_Union[ListErase, _Mapping]] = ..., sorted_set_put: _Optional[_Union[SortedSetPut, _Mapping]] = ..., sorted_set_store: _Optional[_Union[SortedSetStore, _Mapping]] = ..., sorted_set_increment: _Optional[_Union[SortedSetIncrement, _Mapping]] = ..., sorted_set_remove: _Optional[_Union[SortedSetRemove, _Mapping]] = ..., sorted_set_scores: _Optional[_Union[SortedSetScores, _Mapping]] = ..., sorted_set_rank: _Optional[_Union[SortedSetRank, _Mapping]] = ..., sorted_set_by_rank: _Optional[_Union[SortedSetByRank, _Mapping]] = ..., sorted_set_by_score: _Optional[_Union[SortedSetByScore, _Mapping]] = ..., sorted_set_count: _Optional[_Union[SortedSetCount, _Mapping]] = ...) -> None: ...

class SetIf(_message.Message):
    __slots__ = ("value", "ttl_milliseconds", "condition", "other")
    class Condition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PRESENT: _ClassVar[SetIf.Condition]
        ABSENT: _ClassVar[SetIf.Condition]
        EQUAL: _ClassVar[SetIf.Condition]
        NOT_EQUAL: _ClassVar[SetIf.Condition]
        PRESENT_AND_NOT_EQUAL: _ClassVar[SetIf.Condition]
        ABSENT_OR_EQUAL: _ClassVar[SetIf.Condition]
        PRESENT_AND_HASH_EQUAL: _ClassVar[SetIf.Condition]
        PRESENT_AND_NOT_HASH_EQUAL: _ClassVar[SetIf.Condition]
        ABSENT_OR_HASH_EQUAL: _ClassVar[SetIf.Condition]
        ABSENT_OR_NOT_HASH_EQUAL: _ClassVar[SetIf.Condition]
    PRESENT: SetIf.Condition
    ABSENT: SetIf.Condition
    EQUAL: SetIf.Condition
    NOT_EQUAL: SetIf.Condition
    PRESENT_AND_NOT_EQUAL: SetIf.Condition
    ABSENT_OR_EQUAL: SetIf.Condition
    PRESENT_AND_HASH_EQUAL: SetIf.Condition
    PRESENT_AND_NOT_HASH_EQUAL: SetIf.Condition
    ABSENT_OR_HASH_EQUAL: SetIf.Condition
    ABSENT_OR_NOT_HASH_EQUAL: SetIf.Condition
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    ttl_milliseconds: int
    condition: SetIf.Condition
    other: bytes
    def __init__(self, value: _Optional[bytes] = ..., ttl_milliseconds: _Optional[int] = ..., condition: _Optional[_Union[SetIf.Condition, str]] = ..., other: _Optional[bytes] = ...) -> None: ...

class Increment(_message.Message):
    __slots__ = ("amount", "ttl_milliseconds")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    amount: int
    ttl_milliseconds: int
    def __init__(self, amount: _Optional[int] = ..., ttl_milliseconds: _Optional[int] = ...) -> None: ...

class UpdateTtl(_message.Message):
    __slots__ = ("ttl_milliseconds", "change")
    class Change(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OVERWRITE: _ClassVar[UpdateTtl.Change]
        INCREASE: _ClassVar[UpdateTtl.Change]
        DECREASE: _ClassVar[UpdateTtl.Change]
    OVERWRITE: UpdateTtl.Change
    INCREASE: UpdateTtl.Change
    DECREASE: UpdateTtl.Change
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    ttl_milliseconds: int
    change: UpdateTtl.Change
    def __init__(self, ttl_milliseconds: _Optional[int] = ..., change: _Optional[_Union[UpdateTtl.Change, str]] = ...) -> None: ...

class Inspect(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Length(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ...) -> None: ...

class Clear(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ...) -> None: ...

class DictionarySet(_message.Message):
    __slots__ = ("fields", "values", "ttl_milliseconds", "refresh_ttl")
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[bytes]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, fields: _Optional[_Iterable[bytes]] = ..., values: _Optional[_Iterable[bytes]] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class DictionaryGet(_message.Message):
    __slots__ = ("fields",)
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, fields: _Optional[_Iterable[bytes]] = ...) -> None: ...

class DictionaryFetch(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DictionaryIncrement(_message.Message):
    __slots__ = ("field", "amount", "ttl_milliseconds", "refresh_ttl")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    field: bytes
    amount: int
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, field: _Optional[bytes] = ..., amount: _Optional[int] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class DictionaryRemove(_message.Message):
    __slots__ = ("fields",)
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, fields: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SetAdd(_message.Message):
    __slots__ = ("elements", "ttl_milliseconds", "refresh_ttl")
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    elements: _containers.RepeatedScalarFieldContainer[bytes]
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, elements: _Optional[_Iterable[bytes]] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class SetRemove(_message.Message):
    __slots__ = ("elements",)
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    elements: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, elements: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SetSubtractFrom(_message.Message):
    __slots__ = ("elements",)
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    elements: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, elements: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SetFetch(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetSample(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class SetPop(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class SetContains(_message.Message):
    __slots__ = ("elements",)
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    elements: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, elements: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ListPush(_message.Message):
    __slots__ = ("values", "front", "keep", "ttl_milliseconds", "refresh_ttl")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    front: bool
    keep: int
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, values: _Optional[_Iterable[bytes]] = ..., front: bool = ..., keep: _Optional[int] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class ListPop(_message.Message):
    __slots__ = ("front",)
    FRONT_FIELD_NUMBER: _ClassVar[int]
    front: bool
    def __init__(self, front: bool = ...) -> None: ...

class ListFetch(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class ListRetain(_message.Message):
    __slots__ = ("start", "end", "ttl_milliseconds", "refresh_ttl")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class ListRemove(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    def __init__(self, value: _Optional[bytes] = ...) -> None: ...

class ListErase(_message.Message):
    __slots__ = ("begins", "counts")
    BEGINS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    begins: _containers.RepeatedScalarFieldContainer[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, begins: _Optional[_Iterable[int]] = ..., counts: _Optional[_Iterable[int]] = ...) -> None: ...

class SortedSetPut(_message.Message):
    __slots__ = ("values", "scores", "ttl_milliseconds", "refresh_ttl")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    scores: _containers.RepeatedScalarFieldContainer[float]
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, values: _Optional[_Iterable[bytes]] = ..., scores: _Optional[_Iterable[float]] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class SortedSetStore(_message.Message):
    __slots__ = ("values", "scores", "ttl_milliseconds")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    scores: _containers.RepeatedScalarFieldContainer[float]
    ttl_milliseconds: int
    def __init__(self, values: _Optional[_Iterable[bytes]] = ..., scores: _Optional[_Iterable[float]] = ..., ttl_milliseconds: _Optional[int] = ...) -> None: ...

class SortedSetIncrement(_message.Message):
    __slots__ = ("value", "amount", "ttl_milliseconds", "refresh_ttl")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TTL_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    amount: float
    ttl_milliseconds: int
    refresh_ttl: bool
    def __init__(self, value: _Optional[bytes] = ..., amount: _Optional[float] = ..., ttl_milliseconds: _Optional[int] = ..., refresh_ttl: bool = ...) -> None: ...

class SortedSetRemove(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SortedSetScores(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SortedSetRank(_message.Message):
    __slots__ = ("value", "descending")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    descending: bool
    def __init__(self, value: _Optional[bytes] = ..., descending: bool = ...) -> None: ...

class SortedSetByRank(_message.Message):
    __slots__ = ("start", "end", "descending")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    descending: bool
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., descending: bool = ...) -> None: ...

class ScoreBound(_message.Message):
    __slots__ = ("score", "exclusive")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    score: float
    exclusive: bool
    def __init__(self, score: _Optional[float] = ..., exclusive: bool = ...) -> None: ...

class SortedSetByScore(_message.Message):
    __slots__ = ("least", "most", "descending", "offset", "count")
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    least: ScoreBound
    most: ScoreBound
    descending: bool
    offset: int
    count: int
    def __init__(self, least: _Optional[_Union[ScoreBound, _Mapping]] = ..., most: _Optional[_Union[ScoreBound, _Mapping]] = ..., descending: bool = ..., offset: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class SortedSetCount(_message.Message):
    __slots__ = ("least", "most")
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    least: ScoreBound
    most: ScoreBound
    def __init__(self, least: _Optional[_Union[ScoreBound, _Mapping]] = ..., most: _Optional[_Union[ScoreBound, _Mapping]] = ...) -> None: ...

class ItemAnswer(_message.Message):
    __slots__ = ("done", "flag", "number", "inspected", "values", "pairs", "elements", "flags", "popped", "score", "scores", "scored")
    DONE_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INSPECTED_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    POPPED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    SCORED_FIELD_NUMBER: _ClassVar[int]
    done: Done
    flag: Flag
    number: Number
    inspected: Inspected
    values: Values
    pairs: Pairs
    elements: Elements
    flags: Flags
    popped: Popped
    score: Score
    scores: Scores
    scored: Scored
    def __init__(self, done: _Optional[_Union[Done, _Mapping]] = ..., flag: _Optional[_Union[Flag, _Mapping]] = ..., number: _Optional[_Union[Number, _Mapping]] = ..., inspected: _Optional[_Union[Inspected, _Mapping]] = ..., values: _Optional[_Union[Values, _Mapping]] = ..., pairs: _Optional[_Union[Pairs, _Mapping]] = ..., elements: _Optional[_Union[Elements, _Mapping]] = ..., flags: _Optional[_Union[Flags, _Mapping]] = ..., popped: _Optional[_Union[Popped, _Mapping]] = ..., score: _Optional[_Union[Score, _Mapping]] = ..., scores: _Optional[_Union[Scores, _Mapping]] = ..., scored: _Optional[_Union[Scored, _Mapping]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Flag(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bool
    def __init__(self, value: bool = ...) -> None: ...

class Number(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class Inspected(_message.Message):
    __slots__ = ("kind", "ttl_milliseconds")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TTL_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    ttl_milliseconds: int
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., ttl_milliseconds: _Optional[int] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("found", "values")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedScalarFieldContainer[bool]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, found: _Optional[_Iterable[bool]] = ..., values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Pairs(_message.Message):
    __slots__ = ("fields", "values")
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[bytes]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, fields: _Optional[_Iterable[bytes]] = ..., values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Elements(_message.Message):
    __slots__ = ("elements",)
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    elements: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, elements: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Flags(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, values: _Optional[_Iterable[bool]] = ...) -> None: ...

class Popped(_message.Message):
    __slots__ = ("value", "length")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    length: int
    def __init__(self, value: _Optional[bytes] = ..., length: _Optional[int] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: float
    def __init__(self, value: _Optional[float] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("found", "scores")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedScalarFieldContainer[bool]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, found: _Optional[_Iterable[bool]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class Scored(_message.Message):
    __slots__ = ("values", "scores")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...
