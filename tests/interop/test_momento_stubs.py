"""What Momento's Python SDK does not call, called by the stubs of momento-wire-types, against our router."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import Any

import grpc
import pytest
from grpc import aio
from momento_wire_types import cacheclient_pb2 as momento
from momento_wire_types import cacheclient_pb2_grpc, cachepubsub_pb2, cachepubsub_pb2_grpc
from momento_wire_types import common_pb2 as common
from tests.interop.conftest import Feature
from tests.interop.momento_gateway import CACHE, gateway
from tests.interop.processes import Serving
from tests.interop.table import Peer
from tests.patience import HANG

METADATA = (("cache", CACHE),)
MINUTE = 60_000
METHODS = [method.name for method in momento.DESCRIPTOR.services_by_name["Scs"].methods]


@pytest.fixture
def peer() -> Peer:
    return Peer("Momento's gRPC API", "momento-wire-types (Python), stubs", version("momento-wire-types"))


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with gateway(storages=3) as running:
        yield running


@pytest.fixture
async def channel(served: Serving) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(served.place) as channel:
        yield channel


def scs(channel: aio.Channel) -> Any:
    return cacheclient_pb2_grpc.ScsStub(channel)  # type: ignore[no-untyped-call]


@pytest.fixture
def call(channel: aio.Channel) -> Any:
    """Makes one unary call: ``await call("Get", cache_key=...)``."""
    stub = scs(channel)

    async def make(method: str, request: Any) -> Any:
        return await getattr(stub, method)(request, metadata=METADATA, timeout=HANG)

    return make


@pytest.fixture
def name() -> bytes:
    """A key that no other test uses."""
    return uuid.uuid4().hex.encode()


async def store(call: Any, key: bytes, value: bytes, ttl: int = MINUTE) -> None:
    await call("Set", momento._SetRequest(cache_key=key, cache_body=value, ttl_milliseconds=ttl))


async def read(call: Any, key: bytes) -> bytes | None:
    response = await call("Get", momento._GetRequest(cache_key=key))
    body: bytes = response.cache_body
    return body if response.result == momento.Hit else None


async def status(awaitable: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code(), caught.value.details() or ""


# Conditions: nothing there, "a" there, "b" there.
@pytest.mark.parametrize(
    ("condition", "stored"),
    [
        ({"present": common.Present()}, [False, True, True]),
        ({"absent": common.Absent()}, [True, False, False]),
        ({"equal": common.Equal(value_to_check=b"a")}, [False, True, False]),
        ({"not_equal": common.NotEqual(value_to_check=b"a")}, [True, False, True]),
        ({"present_and_not_equal": common.PresentAndNotEqual(value_to_check=b"a")}, [False, False, True]),
        ({"absent_or_equal": common.AbsentOrEqual(value_to_check=b"a")}, [True, True, False]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_set_if(
    feature: Feature, call: Any, name: bytes, condition: dict[str, Any], stored: list[bool]
) -> None:
    feature("SetIf: all six conditions")
    for there, expected in zip([None, b"a", b"b"], stored, strict=True):
        key = name + (there or b"")
        if there is not None:
            await store(call, key, there)
        request = momento._SetIfRequest(
            cache_key=key, cache_body=b"new", ttl_milliseconds=MINUTE, **condition
        )
        response = await call("SetIf", request)
        assert response.WhichOneof("result") == ("stored" if expected else "not_stored")
        assert await read(call, key) == (b"new" if expected else there)


@pytest.mark.parametrize(
    ("condition", "stored"),
    [
        ({"present_and_hash_equal": common.PresentAndHashEqual}, [False, True, False]),
        ({"present_and_not_hash_equal": common.PresentAndNotHashEqual}, [False, False, True]),
        ({"absent_or_hash_equal": common.AbsentOrHashEqual}, [True, True, False]),
        ({"absent_or_not_hash_equal": common.AbsentOrNotHashEqual}, [True, False, True]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_set_if_hash(
    feature: Feature, call: Any, name: bytes, condition: dict[str, Any], stored: list[bool]
) -> None:
    feature("GetWithHash, SetIfHash: all five conditions")
    request = momento._SetIfHashRequest
    unconditional = common.Unconditional()
    first = request(
        cache_key=name + b"1", cache_body=b"a", ttl_milliseconds=MINUTE, unconditional=unconditional
    )
    of_a = (await call("SetIfHash", first)).stored.new_hash
    ((kind, make),) = condition.items()
    for there, expected in zip([None, b"a", b"b"], stored, strict=True):
        key = name + (there or b"")
        if there is not None:
            await store(call, key, there)
        conditional = request(
            cache_key=key,
            cache_body=b"new",
            ttl_milliseconds=MINUTE,
            **{kind: make(hash_to_check=of_a)},
        )
        response = await call("SetIfHash", conditional)
        assert response.WhichOneof("result") == ("stored" if expected else "not_stored")
        left = await call("GetWithHash", momento._GetWithHashRequest(cache_key=key))
        if expected:
            assert left.found.value == b"new"
            assert left.found.hash == response.stored.new_hash != of_a
        elif there is None:
            assert left.HasField("missing")
        else:
            assert left.found.value == there
            assert (left.found.hash == of_a) == (there == b"a")


async def test_one_of_many_sets_if_absent(feature: Feature, call: Any, name: bytes) -> None:
    feature("SetIf and SetIfNotExists are atomic")
    requests = [
        momento._SetIfNotExistsRequest(cache_key=name, cache_body=b"%d" % number, ttl_milliseconds=MINUTE)
        for number in range(50)
    ]
    responses = await asyncio.gather(*(call("SetIfNotExists", request) for request in requests))
    stored = [number for number, each in enumerate(responses) if each.HasField("stored")]
    assert len(stored) == 1
    assert await read(call, name) == b"%d" % stored[0]


async def test_set_if_without_a_condition(feature: Feature, call: Any, name: bytes) -> None:
    feature("SetIf: all six conditions")
    code, _ = await status(call("SetIf", momento._SetIfRequest(cache_key=name, ttl_milliseconds=MINUTE)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_batches(feature: Feature, channel: aio.Channel, name: bytes) -> None:
    feature("GetBatch, SetBatch over three storages, in order")
    stub = scs(channel)
    keys = [name + b"%d" % number for number in range(3000)]
    put = [
        momento._SetRequest(cache_key=key, cache_body=b"of " + key, ttl_milliseconds=MINUTE)
        for key in keys[::2]
    ]
    done = [each async for each in stub.SetBatch(momento._SetBatchRequest(items=put), metadata=METADATA)]
    assert [each.result for each in done] == [momento.Ok] * len(put)
    get = momento._GetBatchRequest(items=[momento._GetRequest(cache_key=key) for key in keys])
    found = [each async for each in stub.GetBatch(get, metadata=METADATA)]
    assert [each.result for each in found] == [momento.Hit, momento.Miss] * (len(keys) // 2)
    assert [each.cache_body for each in found[::2]] == [b"of " + key for key in keys[::2]]


async def test_errors_in_batches(feature: Feature, channel: aio.Channel, call: Any, name: bytes) -> None:
    feature("GetBatch: an item of another kind is told in its place")
    stub = scs(channel)
    await call("SetUnion", momento._SetUnionRequest(set_name=name, elements=[b"e"], ttl_milliseconds=MINUTE))
    items = [momento._GetRequest(cache_key=key) for key in (b"nothing " + name, name)]
    found = [each async for each in stub.GetBatch(momento._GetBatchRequest(items=items), metadata=METADATA)]
    assert [each.result for each in found] == [momento.Miss, momento.Invalid]
    assert "the item is a set" in found[1].message
    empty = momento._GetBatchRequest(items=[momento._GetRequest()])
    code, _ = await status(anext(aiter(stub.GetBatch(empty, metadata=METADATA))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_keys_exist(feature: Feature, call: Any, name: bytes) -> None:
    feature("KeysExist over three storages")
    keys = [name + b"%d" % number for number in range(40)]
    for key in keys[::3]:
        await store(call, key, b"")
    response = await call("KeysExist", momento._KeysExistRequest(cache_keys=keys))
    assert list(response.exists) == [number % 3 == 0 for number in range(40)]
    response = await call("KeysExist", momento._KeysExistRequest())
    assert list(response.exists) == []


async def test_update_ttl(feature: Feature, call: Any, name: bytes) -> None:
    feature("UpdateTtl: overwrite, increase, decrease; ItemGetTtl")

    async def update(**to: int) -> str:
        response = await call("UpdateTtl", momento._UpdateTtlRequest(cache_key=name, **to))
        result: str = response.WhichOneof("result")
        return result

    async def left() -> int:
        response = await call("ItemGetTtl", momento._ItemGetTtlRequest(cache_key=name))
        found: int = response.found.remaining_ttl_millis
        return found

    assert await update(overwrite_to_milliseconds=1) == "missing"
    response = await call("ItemGetTtl", momento._ItemGetTtlRequest(cache_key=name))
    assert response.HasField("missing")
    await store(call, name, b"value", 1_000_000)
    assert await update(increase_to_milliseconds=500_000) == "not_set"
    assert 900_000 < await left() <= 1_000_000
    assert await update(increase_to_milliseconds=2_000_000) == "set"
    assert 1_900_000 < await left() <= 2_000_000
    assert await update(decrease_to_milliseconds=3_000_000) == "not_set"
    assert await update(decrease_to_milliseconds=600_000) == "set"
    assert 500_000 < await left() <= 600_000
    assert await update(overwrite_to_milliseconds=700_000) == "set"
    assert 600_000 < await left() <= 700_000
    assert await update(overwrite_to_milliseconds=0) == "set"
    assert await read(call, name) is None
    code, _ = await status(update())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_item_get_type(feature: Feature, call: Any, name: bytes) -> None:
    feature("ItemGetType")
    pair = momento._DictionaryFieldValuePair(field=b"f", value=b"v")
    element = momento._SortedSetElement(value=b"v", score=1)
    ttl: dict[str, Any] = {"ttl_milliseconds": MINUTE}
    await store(call, name + b"0", b"")
    await call(
        "DictionarySet", momento._DictionarySetRequest(dictionary_name=name + b"1", items=[pair], **ttl)
    )
    await call("SetUnion", momento._SetUnionRequest(set_name=name + b"2", elements=[b"e"], **ttl))
    await call("ListPushBack", momento._ListPushBackRequest(list_name=name + b"3", value=b"v", **ttl))
    await call("SortedSetPut", momento._SortedSetPutRequest(set_name=name + b"4", elements=[element], **ttl))
    for number in range(5):
        request = momento._ItemGetTypeRequest(cache_key=name + b"%d" % number)
        response = await call("ItemGetType", request)
        assert response.found.item_type == number
    response = await call("ItemGetType", momento._ItemGetTypeRequest(cache_key=name))
    assert response.HasField("missing")


async def test_dictionary_length_and_delete(feature: Feature, call: Any, name: bytes) -> None:
    feature("DictionaryLength, DictionaryDelete of all")
    length = momento._DictionaryLengthRequest(dictionary_name=name)
    assert (await call("DictionaryLength", length)).HasField("missing")
    pairs = [momento._DictionaryFieldValuePair(field=b"%d" % number) for number in range(7)]
    await call(
        "DictionarySet",
        momento._DictionarySetRequest(dictionary_name=name, items=pairs, ttl_milliseconds=MINUTE),
    )
    assert (await call("DictionaryLength", length)).found.length == 7
    everything = momento._DictionaryDeleteRequest.All()
    await call("DictionaryDelete", momento._DictionaryDeleteRequest(dictionary_name=name, all=everything))
    assert (await call("DictionaryLength", length)).HasField("missing")


async def add(call: Any, name: bytes, *elements: bytes) -> None:
    request = momento._SetUnionRequest(set_name=name, elements=elements, ttl_milliseconds=MINUTE)
    await call("SetUnion", request)


async def test_set_contains_length_sample_pop(feature: Feature, call: Any, name: bytes) -> None:
    feature("SetContains, SetLength, SetSample, SetPop")
    contains = momento._SetContainsRequest(set_name=name, elements=[b"1", b"x", b"2"])
    length = momento._SetLengthRequest(set_name=name)
    sample = momento._SetSampleRequest(set_name=name, limit=3)
    pop = momento._SetPopRequest(set_name=name, count=2)
    for method, request in [
        ("SetContains", contains),
        ("SetLength", length),
        ("SetSample", sample),
        ("SetPop", pop),
    ]:
        assert (await call(method, request)).HasField("missing")
    elements = {b"%d" % number for number in range(5)}
    await add(call, name, *elements)
    assert list((await call("SetContains", contains)).found.contains) == [True, False, True]
    assert (await call("SetLength", length)).found.length == 5
    drawn = list((await call("SetSample", sample)).found.elements)
    assert len(drawn) == len(set(drawn)) == 3
    assert set(drawn) < elements
    popped: list[bytes] = []
    for expected in (2, 2, 1):
        some = list((await call("SetPop", pop)).found.elements)
        assert len(some) == expected
        popped += some
    assert sorted(popped) == sorted(elements)
    assert (await call("SetPop", pop)).HasField("missing")


async def test_set_difference(feature: Feature, call: Any, name: bytes) -> None:
    feature("SetDifference: minuend, subtrahend, identity")
    request = momento._SetDifferenceRequest
    minuend = request(set_name=name, minuend=request._Minuend(elements=[b"1", b"8", b"9", b"8"]))
    assert (await call("SetDifference", minuend)).HasField("missing")
    await add(call, name, b"1", b"2")
    assert (await call("SetDifference", minuend)).HasField("found")
    fetched = await call("SetFetch", momento._SetFetchRequest(set_name=name))
    assert sorted(fetched.found.elements) == [b"8", b"9"]
    identity = request._Subtrahend(identity=request._Subtrahend._Identity())
    await call("SetDifference", request(set_name=name, subtrahend=identity))
    fetched = await call("SetFetch", momento._SetFetchRequest(set_name=name))
    assert fetched.HasField("missing")
    code, _ = await status(call("SetDifference", request(set_name=name)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_list_slices(feature: Feature, call: Any, name: bytes) -> None:
    feature("ListFetch of a slice, ListRetain, ListErase")
    values = [b"%d" % number for number in range(10)]
    request = momento._ListConcatenateBackRequest(list_name=name, values=values, ttl_milliseconds=MINUTE)
    await call("ListConcatenateBack", request)

    async def fetch(**bounds: Any) -> list[bytes]:
        response = await call("ListFetch", momento._ListFetchRequest(list_name=name, **bounds))
        return list(response.found.values)

    assert await fetch(inclusive_start=2, exclusive_end=-6) == values[2:4]
    assert await fetch(inclusive_start=-7, exclusive_end=-2) == values[-7:-2]
    assert await fetch(inclusive_start=-2, exclusive_end=-6) == []
    assert await fetch(unbounded_start=common._Unbounded(), exclusive_end=3) == values[:3]
    assert await fetch(inclusive_start=8, unbounded_end=common._Unbounded()) == values[8:]
    ranges = [momento._ListRange(begin_index=begin, count=count) for begin, count in [(8, 9), (0, 2), (1, 2)]]
    some = momento._ListEraseRequest._ListRanges(ranges=ranges)
    erased = await call("ListErase", momento._ListEraseRequest(list_name=name, some=some))
    assert erased.found.list_length == 5
    assert await fetch() == values[3:8]
    retain = momento._ListRetainRequest(
        list_name=name, inclusive_start=1, exclusive_end=-1, ttl_milliseconds=MINUTE
    )
    assert (await call("ListRetain", retain)).found.list_length == 3
    assert await fetch() == values[4:7]
    remove = momento._ListRemoveRequest(list_name=name, all_elements_with_value=b"5")
    assert (await call("ListRemove", remove)).found.list_length == 2
    everything = momento._ListEraseRequest._All()
    erased = await call("ListErase", momento._ListEraseRequest(list_name=name, all=everything))
    assert erased.found.list_length == 0
    assert (await call("ListRetain", retain)).HasField("missing")
    assert (await call("ListErase", momento._ListEraseRequest(list_name=name, some=some))).HasField("missing")


async def put(call: Any, name: bytes, **scores: float) -> None:
    elements = [
        momento._SortedSetElement(value=value.encode(), score=score) for value, score in scores.items()
    ]
    request = momento._SortedSetPutRequest(set_name=name, elements=elements, ttl_milliseconds=MINUTE)
    await call("SortedSetPut", request)


async def elements_of(call: Any, name: bytes) -> dict[str, float]:
    request = momento._SortedSetFetchRequest(set_name=name, with_scores=True)
    response = await call("SortedSetFetch", request)
    return {each.value.decode(): each.score for each in response.found.values_with_scores.elements}


async def test_sorted_set_lengths(feature: Feature, call: Any, name: bytes) -> None:
    feature("SortedSetLength, SortedSetLengthByScore, values without scores, exclusive bounds")
    length = momento._SortedSetLengthRequest(set_name=name)
    by_score = momento._SortedSetLengthByScoreRequest
    assert (await call("SortedSetLength", length)).HasField("missing")
    assert (await call("SortedSetLengthByScore", by_score(set_name=name))).HasField("missing")
    await put(call, name, a=0, b=1, c=1, d=2)
    assert (await call("SortedSetLength", length)).found.length == 4
    for bounds, expected in [
        ({}, 4),
        ({"unbounded_min": common._Unbounded(), "exclusive_max": 1.0}, 1),
        ({"inclusive_min": 1.0, "inclusive_max": 1.0}, 2),
        ({"exclusive_min": 1.0, "unbounded_max": common._Unbounded()}, 1),
        ({"exclusive_min": 2.0, "inclusive_max": 0.0}, 0),
    ]:
        request: Any = by_score(set_name=name, **bounds)  # type: ignore[arg-type]
        assert (await call("SortedSetLengthByScore", request)).found.length == expected
    fetch = momento._SortedSetFetchRequest
    bound = fetch._ByScore._Score(score=1, exclusive=True)
    response = await call(
        "SortedSetFetch",
        fetch(set_name=name, by_score=fetch._ByScore(min_score=bound, offset=0, count=-1)),
    )
    assert list(response.found.values.values) == [b"d"]
    response = await call(
        "SortedSetFetch",
        fetch(set_name=name, by_score=fetch._ByScore(max_score=bound, offset=0, count=-1)),
    )
    assert list(response.found.values.values) == [b"a"]
    everything = momento._SortedSetRemoveRequest._All()
    await call("SortedSetRemove", momento._SortedSetRemoveRequest(set_name=name, all=everything))
    assert (await call("SortedSetLength", length)).HasField("missing")


async def test_no_numbers(feature: Feature, call: Any, name: bytes) -> None:
    feature("scores that are no numbers are refused")
    for awaitable in (
        put(call, name, a=float("nan")),
        call("SortedSetIncrement", momento._SortedSetIncrementRequest(set_name=name, amount=float("nan"))),
    ):
        code, _ = await status(awaitable)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
    await put(call, name, a=float("inf"))
    request = momento._SortedSetIncrementRequest(set_name=name, value=b"a", amount=float("-inf"))
    code, _ = await status(call("SortedSetIncrement", request))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert await elements_of(call, name) == {"a": float("inf")}


async def test_union_store(feature: Feature, call: Any, name: bytes) -> None:
    feature("SortedSetUnionStore over three storages: sum, min, max, weights")
    request = momento._SortedSetUnionStoreRequest
    names = [name + b"%d" % number for number in range(8)]
    for number, each in enumerate(names):
        await put(call, each, shared=number + 1.0, **{f"of {number}": float(number)})

    async def union(aggregate: Any, *sources: tuple[bytes, float]) -> int:
        listed = [request._Source(set_name=source, weight=weight) for source, weight in sources]
        stored = await call(
            "SortedSetUnionStore",
            request(set_name=name, sources=listed, aggregate=aggregate, ttl_milliseconds=MINUTE),
        )
        length: int = stored.length
        return length

    every = [(each, 1.0) for each in names]
    assert await union(request.SUM, *every, (b"nothing " + name, 1.0)) == 9
    assert (await elements_of(call, name))["shared"] == 36
    assert await union(request.MIN, (names[0], 2.0), (names[1], -1.0)) == 3
    assert await elements_of(call, name) == {"shared": -2.0, "of 0": 0.0, "of 1": -1.0}
    assert await union(request.MAX, (names[0], 2.0), (name, 1.0)) == 3
    assert (await elements_of(call, name))["shared"] == 2.0
    assert await union(request.SUM, (b"nothing " + name, 1.0)) == 0
    assert await elements_of(call, name) == {}
    code, _ = await status(union(request.SUM))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_collection_stays_fetchable(feature: Feature, call: Any, name: bytes) -> None:
    feature("a collection that would not fit into one answer is RESOURCE_EXHAUSTED")
    request = momento._ListConcatenateBackRequest(
        list_name=name, values=[bytes(100_000)] * 30, ttl_milliseconds=MINUTE
    )
    await call("ListConcatenateBack", request)
    code, detail = await status(call("ListConcatenateBack", request))
    assert (code, "4177920" in detail) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    fetched = await call("ListFetch", momento._ListFetchRequest(list_name=name))
    assert len(fetched.found.values) == 30


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_is_served(feature: Feature, channel: aio.Channel, method: str) -> None:
    feature("all methods of Scs are served")
    call: Any = channel.unary_stream(f"/cache_client.Scs/{method}")
    answered = call(b"", metadata=METADATA)
    with contextlib.suppress(aio.AioRpcError, StopAsyncIteration):
        await anext(aiter(answered))
    # An empty request names no key.
    assert await answered.code() in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)


async def test_what_is_not_served(feature: Feature, channel: aio.Channel, call: Any) -> None:
    feature("other methods are UNIMPLEMENTED by name")
    unheard: Any = channel.unary_unary("/cache_client.Scs/Unheard")
    code, detail = await status(unheard(b"", metadata=METADATA))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "/cache_client.Scs/Unheard" in detail
    topics: Any = cachepubsub_pb2_grpc.PubsubStub(channel)  # type: ignore[no-untyped-call]
    subscribe = topics.Subscribe(cachepubsub_pb2._SubscriptionRequest(topic="t"), metadata=METADATA)
    code, detail = await status(anext(aiter(subscribe)))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "/cache_client.pubsub.Pubsub/Subscribe" in detail


async def test_without_a_cache(feature: Feature, channel: aio.Channel) -> None:
    feature("a call without the metadata cache is INVALID_ARGUMENT")
    stub = scs(channel)
    for metadata in [(), (("cache", ""),)]:
        code, _ = await status(stub.Get(momento._GetRequest(cache_key=b"key"), metadata=metadata))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
