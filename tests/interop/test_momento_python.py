"""Momento's Python SDK against the gateway of our router, in front of two storages."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from momento import CacheClient, CacheClientAsync, Configurations, CredentialProvider
from momento.errors import MomentoErrorCode
from momento.requests import CollectionTtl, SortOrder
from momento.responses import (
    CacheDelete,
    CacheDictionaryFetch,
    CacheDictionaryGetField,
    CacheDictionaryGetFields,
    CacheDictionaryIncrement,
    CacheDictionaryRemoveFields,
    CacheDictionarySetFields,
    CacheFlush,
    CacheGet,
    CacheIncrement,
    CacheListConcatenateBack,
    CacheListConcatenateFront,
    CacheListFetch,
    CacheListLength,
    CacheListPopBack,
    CacheListPopFront,
    CacheListPushBack,
    CacheListPushFront,
    CacheListRemoveValue,
    CacheSet,
    CacheSetAddElements,
    CacheSetFetch,
    CacheSetIfNotExists,
    CacheSetRemoveElements,
    CacheSortedSetFetch,
    CacheSortedSetGetRank,
    CacheSortedSetGetScore,
    CacheSortedSetGetScores,
    CacheSortedSetIncrementScore,
    CacheSortedSetPutElements,
    CacheSortedSetRemoveElements,
    CreateCache,
    CreateSigningKey,
    DeleteCache,
    ListCaches,
)
from tests.interop.conftest import Feature
from tests.interop.momento_gateway import CACHE, gateway, sdk
from tests.interop.processes import Serving
from tests.interop.table import Peer

# Long enough for the calls of a test on a busy machine.
SHORT = CollectionTtl.of(timedelta(seconds=2))


@pytest.fixture
def peer() -> Peer:
    return Peer("Momento's gRPC API", "momento (Python), client", version("momento"))


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with gateway() as running:
        yield running


@pytest.fixture
async def client(served: Serving) -> AsyncIterator[CacheClientAsync]:
    async with sdk(served) as momento:
        yield momento


@pytest.fixture
def name() -> str:
    """A key that no other test uses."""
    return uuid.uuid4().hex


def code(response: Any) -> MomentoErrorCode:
    found: MomentoErrorCode = response.error_code
    return found


async def until_missed(fetch: Any, miss: type) -> None:
    """Fetch until it misses, for less than the time limit of a test."""
    while not isinstance(await fetch(), miss):
        pass


# Control.


async def test_caches(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("create, list and delete caches")
    assert isinstance(await client.create_cache(name), CreateCache.Success)
    assert isinstance(await client.create_cache(name), CreateCache.CacheAlreadyExists)
    assert isinstance(await client.create_cache(CACHE), CreateCache.CacheAlreadyExists)
    listed = await client.list_caches()
    assert isinstance(listed, ListCaches.Success)
    assert {CACHE, name} <= {cache.name for cache in listed.caches}
    assert isinstance(await client.delete_cache(name), DeleteCache.Success)
    assert code(await client.delete_cache(name)) is MomentoErrorCode.NOT_FOUND_ERROR
    assert code(await client.delete_cache(CACHE)) is MomentoErrorCode.FAILED_PRECONDITION_ERROR
    assert code(await client.create_cache("  ")) is MomentoErrorCode.INVALID_ARGUMENT_ERROR


async def test_a_deleted_cache_takes_its_items_along(
    feature: Feature, client: CacheClientAsync, name: str
) -> None:
    feature("create, list and delete caches")
    await client.create_cache(name)
    for number in range(20):
        assert isinstance(await client.set(name, str(number), "value"), CacheSet.Success)
    await client.delete_cache(name)
    assert code(await client.get(name, "1")) is MomentoErrorCode.NOT_FOUND_ERROR
    await client.create_cache(name)
    for number in range(20):
        assert isinstance(await client.get(name, str(number)), CacheGet.Miss)


async def test_flush(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("flush a cache")
    await client.create_cache(name)
    for number in range(20):
        await client.set(name, str(number), "value")
        await client.set(CACHE, f"{name}{number}", "value")
    assert isinstance(await client.flush_cache(name), CacheFlush.Success)
    for number in range(20):
        assert isinstance(await client.get(name, str(number)), CacheGet.Miss)
        assert isinstance(await client.get(CACHE, f"{name}{number}"), CacheGet.Hit)
    assert code(await client.flush_cache(name + "x")) is MomentoErrorCode.NOT_FOUND_ERROR


async def test_what_is_not_served(feature: Feature, client: CacheClientAsync) -> None:
    feature("other methods are UNIMPLEMENTED by name")
    response = await client.create_signing_key(timedelta(minutes=5))
    assert isinstance(response, CreateSigningKey.Error)
    # The SDK's name for UNIMPLEMENTED.
    assert response.error_code is MomentoErrorCode.BAD_REQUEST_ERROR
    assert "/control_client.ScsControl/CreateSigningKey" in response.message


async def test_unknown_caches(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("an unknown cache is NOT_FOUND")
    for response in (
        await client.get(name, "key"),
        await client.set(name, "key", "value"),
        await client.increment(name, "key"),
        await client.dictionary_fetch(name, "key"),
        await client.list_push_back(name, "key", "value"),
        await client.set_add_element(name, "key", "element"),
        await client.sorted_set_fetch_by_rank(name, "key"),
    ):
        assert code(response) is MomentoErrorCode.NOT_FOUND_ERROR


async def test_empty_keys(feature: Feature, client: CacheClientAsync) -> None:
    feature("empty keys and fields are INVALID_ARGUMENT")
    for response in (
        await client.get(CACHE, ""),
        await client.set(CACHE, "", "value"),
        await client.delete(CACHE, ""),
        await client.increment(CACHE, ""),
        await client.set_if_not_exists(CACHE, "", "value"),
        await client.dictionary_set_field(CACHE, "name", "", "value"),
        await client.dictionary_increment(CACHE, "name", ""),
    ):
        assert code(response) is MomentoErrorCode.INVALID_ARGUMENT_ERROR


async def test_tokens(feature: Feature, tmp_path: Path) -> None:
    feature("API keys: the router's tokens")
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    with gateway("--token-file", str(tokens), storages=1) as guarded:
        async with sdk(guarded, token="secret") as momento:
            assert isinstance(await momento.set(CACHE, "key", "value"), CacheSet.Success)
            assert isinstance(await momento.list_caches(), ListCaches.Success)
        async with sdk(guarded, token="wrong") as momento:
            assert code(await momento.get(CACHE, "key")) is MomentoErrorCode.AUTHENTICATION_ERROR
            assert code(await momento.list_caches()) is MomentoErrorCode.AUTHENTICATION_ERROR
        async with sdk(guarded) as momento:
            assert code(await momento.get(CACHE, "key")) is MomentoErrorCode.AUTHENTICATION_ERROR


# Scalars.


async def test_get_set_delete(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("get, set, delete, miss")
    assert isinstance(await client.get(CACHE, name), CacheGet.Miss)
    for value in (b"value", b"", bytes(range(256))):
        assert isinstance(await client.set(CACHE, name, value), CacheSet.Success)
        assert await client.get(CACHE, name) == CacheGet.Hit(value)
    assert isinstance(await client.delete(CACHE, name), CacheDelete.Success)
    assert isinstance(await client.delete(CACHE, name), CacheDelete.Success)
    assert isinstance(await client.get(CACHE, name), CacheGet.Miss)


async def test_time_to_live(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("time to live")
    await client.set(CACHE, name, "value", timedelta(milliseconds=100))
    await until_missed(lambda: client.get(CACHE, name), CacheGet.Miss)


async def test_set_if_not_exists(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("set_if_not_exists")
    assert isinstance(await client.set_if_not_exists(CACHE, name, "one"), CacheSetIfNotExists.Stored)
    assert isinstance(await client.set_if_not_exists(CACHE, name, "two"), CacheSetIfNotExists.NotStored)
    assert await client.get(CACHE, name) == CacheGet.Hit(b"one")


async def test_increment(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("increment")
    assert await client.increment(CACHE, name, 42) == CacheIncrement.Success(42)
    assert await client.increment(CACHE, name, -50) == CacheIncrement.Success(-8)
    assert await client.increment(CACHE, name, 0) == CacheIncrement.Success(-8)
    assert await client.get(CACHE, name) == CacheGet.Hit(b"-8")
    await client.set(CACHE, name, "10")
    sums = await asyncio.gather(*(client.increment(CACHE, name) for _ in range(50)))
    assert sorted(each.value for each in sums if isinstance(each, CacheIncrement.Success)) == [*range(11, 61)]
    await client.set(CACHE, name, "ten")
    assert code(await client.increment(CACHE, name)) is MomentoErrorCode.FAILED_PRECONDITION_ERROR
    await client.set(CACHE, name, str(2**63 - 1))
    assert code(await client.increment(CACHE, name)) is MomentoErrorCode.FAILED_PRECONDITION_ERROR
    assert await client.get(CACHE, name) == CacheGet.Hit(b"%d" % (2**63 - 1))


async def test_large_values(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("values of up to 4 MiB less 1 KiB; more is LIMIT_EXCEEDED")
    value = bytes(4 * 1024 * 1024 - 1024)
    assert isinstance(await client.set(CACHE, name, value), CacheSet.Success)
    assert await client.get(CACHE, name) == CacheGet.Hit(value)
    assert code(await client.set(CACHE, name, value + bytes(1024))) is MomentoErrorCode.LIMIT_EXCEEDED_ERROR
    assert await client.get(CACHE, name) == CacheGet.Hit(value)


@pytest.mark.parametrize("wrong", ["scalar", "dictionary", "set", "list", "sorted set"])
async def test_wrong_kinds(feature: Feature, client: CacheClientAsync, name: str, wrong: str) -> None:
    feature("an item of another kind is FAILED_PRECONDITION")
    make: Any = {
        "scalar": lambda: client.set(CACHE, name, "value"),
        "dictionary": lambda: client.dictionary_set_field(CACHE, name, "field", "value"),
        "set": lambda: client.set_add_element(CACHE, name, "element"),
        "list": lambda: client.list_push_back(CACHE, name, "value"),
        "sorted set": lambda: client.sorted_set_put_element(CACHE, name, "value", 1.0),
    }
    await make.pop(wrong)()
    if wrong != "scalar":
        assert code(await client.get(CACHE, name)) is MomentoErrorCode.FAILED_PRECONDITION_ERROR
        assert code(await client.increment(CACHE, name)) is MomentoErrorCode.FAILED_PRECONDITION_ERROR
        del make["scalar"]
    for command in make.values():
        response = await command()
        assert code(response) is MomentoErrorCode.FAILED_PRECONDITION_ERROR
        assert f"the item is a {wrong}" in response.message
    assert isinstance(await client.set(CACHE, name, "anything may be replaced"), CacheSet.Success)


def test_the_synchronous_client(feature: Feature, served: Serving, name: str) -> None:
    feature("the synchronous client")
    host, _, port = served.place.partition(":")
    provider = CredentialProvider.for_momento_local(host, int(port))
    with CacheClient.create(Configurations.Laptop.v1(), provider, timedelta(seconds=60)) as client:
        assert isinstance(client.set(CACHE, name, "value"), CacheSet.Success)
        assert client.get(CACHE, name) == CacheGet.Hit(b"value")
        assert client.list_push_back(CACHE, f"{name} list", "value") == CacheListPushBack.Success(1)
        assert code(client.get(name, name)) is MomentoErrorCode.NOT_FOUND_ERROR
        assert code(client.list_fetch(CACHE, name)) is MomentoErrorCode.FAILED_PRECONDITION_ERROR


# Dictionaries.


async def test_dictionary(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("dictionary: set, get, fetch and remove fields")
    assert isinstance(await client.dictionary_fetch(CACHE, name), CacheDictionaryFetch.Miss)
    assert isinstance(await client.dictionary_get_fields(CACHE, name, ["a"]), CacheDictionaryGetFields.Miss)
    done = await client.dictionary_set_fields(CACHE, name, {b"a": b"1", b"b": b"\xff", b"c": b""})
    assert isinstance(done, CacheDictionarySetFields.Success)
    await client.dictionary_set_field(CACHE, name, "a", "2")
    fetched = await client.dictionary_fetch(CACHE, name)
    assert fetched == CacheDictionaryFetch.Hit({b"a": b"2", b"b": b"\xff", b"c": b""})
    got = await client.dictionary_get_fields(CACHE, name, ["c", "x", "a"])
    assert isinstance(got, CacheDictionaryGetFields.Hit)
    assert got.responses == [
        CacheDictionaryGetField.Hit(b"", b"c"),
        CacheDictionaryGetField.Miss(),
        CacheDictionaryGetField.Hit(b"2", b"a"),
    ]
    removed = await client.dictionary_remove_fields(CACHE, name, ["a", "x"])
    assert isinstance(removed, CacheDictionaryRemoveFields.Success)
    await client.dictionary_remove_field(CACHE, name, "b")
    assert await client.dictionary_fetch(CACHE, name) == CacheDictionaryFetch.Hit({b"c": b""})
    await client.dictionary_remove_field(CACHE, name, "c")
    assert isinstance(await client.dictionary_fetch(CACHE, name), CacheDictionaryFetch.Miss)


async def test_dictionary_increment(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("dictionary: increment a field")
    assert await client.dictionary_increment(CACHE, name, "f", 5) == CacheDictionaryIncrement.Success(5)
    assert await client.dictionary_increment(CACHE, name, "f", -7) == CacheDictionaryIncrement.Success(-2)
    got = await client.dictionary_get_field(CACHE, name, "f")
    assert got == CacheDictionaryGetField.Hit(b"-2", b"f")
    await client.dictionary_set_field(CACHE, name, "f", "many")
    failed = await client.dictionary_increment(CACHE, name, "f")
    assert code(failed) is MomentoErrorCode.FAILED_PRECONDITION_ERROR


async def test_collection_ttl(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("collections: time to live with and without refresh")
    await client.dictionary_set_field(CACHE, name, "a", "1", ttl=SHORT)
    keep = CollectionTtl.of(timedelta(minutes=1)).with_no_refresh_ttl_on_updates()
    await client.dictionary_set_field(CACHE, name, "b", "2", ttl=keep)
    refreshed = f"{name} refreshed"
    await client.list_push_back(CACHE, refreshed, "1", ttl=SHORT)
    await client.list_push_back(CACHE, refreshed, "2", ttl=CollectionTtl.of(timedelta(minutes=1)))
    # Made after the list: when it is gone, the list's first time is over.
    await client.set_add_element(CACHE, f"{name} later", "element", ttl=SHORT)
    await until_missed(lambda: client.set_fetch(CACHE, f"{name} later"), CacheSetFetch.Miss)
    assert isinstance(await client.dictionary_fetch(CACHE, name), CacheDictionaryFetch.Miss)
    assert await client.list_fetch(CACHE, refreshed) == CacheListFetch.Hit([b"1", b"2"])


# Sets.


async def test_set(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("set: add, fetch and remove elements")
    assert isinstance(await client.set_fetch(CACHE, name), CacheSetFetch.Miss)
    added = await client.set_add_elements(CACHE, name, ["a", b"b", "", "a"])
    assert isinstance(added, CacheSetAddElements.Success)
    await client.set_add_element(CACHE, name, "c")
    assert await client.set_fetch(CACHE, name) == CacheSetFetch.Hit({b"a", b"b", b"", b"c"})
    removed = await client.set_remove_elements(CACHE, name, ["a", "x", ""])
    assert isinstance(removed, CacheSetRemoveElements.Success)
    assert await client.set_fetch(CACHE, name) == CacheSetFetch.Hit({b"b", b"c"})
    await client.set_remove_element(CACHE, name, "b")
    await client.set_remove_element(CACHE, name, "c")
    assert isinstance(await client.set_fetch(CACHE, name), CacheSetFetch.Miss)
    removed = await client.set_remove_elements(CACHE, name, ["a"])
    assert isinstance(removed, CacheSetRemoveElements.Success)


# Lists.


async def test_list(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("list: push, concatenate, pop, fetch, length, remove")
    assert isinstance(await client.list_fetch(CACHE, name), CacheListFetch.Miss)
    assert isinstance(await client.list_length(CACHE, name), CacheListLength.Miss)
    assert isinstance(await client.list_pop_back(CACHE, name), CacheListPopBack.Miss)
    assert await client.list_push_back(CACHE, name, "c") == CacheListPushBack.Success(1)
    assert await client.list_push_front(CACHE, name, "b") == CacheListPushFront.Success(2)
    back = await client.list_concatenate_back(CACHE, name, ["d", b"e", ""])
    assert back == CacheListConcatenateBack.Success(5)
    front = await client.list_concatenate_front(CACHE, name, ["z", "a", "c"])
    assert front == CacheListConcatenateFront.Success(8)
    assert await client.list_length(CACHE, name) == CacheListLength.Hit(8)
    assert await client.list_pop_front(CACHE, name) == CacheListPopFront.Hit(b"z")
    assert await client.list_pop_back(CACHE, name) == CacheListPopBack.Hit(b"")
    assert await client.list_fetch(CACHE, name) == CacheListFetch.Hit([b"a", b"c", b"b", b"c", b"d", b"e"])
    assert isinstance(await client.list_remove_value(CACHE, name, "c"), CacheListRemoveValue.Success)
    assert await client.list_fetch(CACHE, name) == CacheListFetch.Hit([b"a", b"b", b"d", b"e"])
    for _ in range(4):
        await client.list_pop_front(CACHE, name)
    assert isinstance(await client.list_pop_front(CACHE, name), CacheListPopFront.Miss)
    assert isinstance(await client.list_remove_value(CACHE, name, "c"), CacheListRemoveValue.Success)


async def test_list_truncation(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("list: truncation")
    await client.list_concatenate_back(CACHE, name, ["1", "2", "3"])
    back = await client.list_concatenate_back(CACHE, name, ["4", "5", "6"], truncate_front_to_size=5)
    assert back == CacheListConcatenateBack.Success(5)
    assert await client.list_fetch(CACHE, name) == CacheListFetch.Hit([b"2", b"3", b"4", b"5", b"6"])
    assert await client.list_push_front(
        CACHE, name, "1", truncate_back_to_size=3
    ) == CacheListPushFront.Success(3)
    assert await client.list_fetch(CACHE, name) == CacheListFetch.Hit([b"1", b"2", b"3"])
    front = await client.list_concatenate_front(CACHE, name, ["a", "b", "c"], truncate_back_to_size=2)
    assert front == CacheListConcatenateFront.Success(2)
    assert await client.list_fetch(CACHE, name) == CacheListFetch.Hit([b"a", b"b"])
    assert await client.list_push_back(
        CACHE, name, "c", truncate_front_to_size=10
    ) == CacheListPushBack.Success(3)


# Sorted sets.


async def put_scores(client: CacheClientAsync, name: str) -> None:
    scores = {"one": 9999.0, "two": 50.0, "three": 0.0, "four": -50.0, "five": -500.0, "six": -1000.0}
    done = await client.sorted_set_put_elements(CACHE, name, scores)
    assert isinstance(done, CacheSortedSetPutElements.Success)


async def test_sorted_set(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("sorted set: put, scores, increment, remove")
    fetched = await client.sorted_set_fetch_by_rank(CACHE, name)
    assert isinstance(fetched, CacheSortedSetFetch.Miss)
    assert isinstance(await client.sorted_set_get_score(CACHE, name, "one"), CacheSortedSetGetScore.Miss)
    await put_scores(client, name)
    await client.sorted_set_put_element(CACHE, name, "two", 51.0)
    score = await client.sorted_set_get_score(CACHE, name, "two")
    assert isinstance(score, CacheSortedSetGetScore.Hit)
    assert (score.value_bytes, score.score) == (b"two", 51.0)
    scores = await client.sorted_set_get_scores(CACHE, name, ["one", "x", "three"])
    assert isinstance(scores, CacheSortedSetGetScores.Hit)
    assert [getattr(each, "score", None) for each in scores.responses] == [9999.0, None, 0.0]
    increment = await client.sorted_set_increment_score(CACHE, name, "three", 1.5)
    assert increment == CacheSortedSetIncrementScore.Success(1.5)
    increment = await client.sorted_set_increment_score(CACHE, name, "new", -2.5)
    assert increment == CacheSortedSetIncrementScore.Success(-2.5)
    removed = await client.sorted_set_remove_elements(CACHE, name, ["one", "two", "x"])
    assert isinstance(removed, CacheSortedSetRemoveElements.Success)
    await client.sorted_set_remove_element(CACHE, name, "six")
    fetched = await client.sorted_set_fetch_by_rank(CACHE, name)
    assert fetched == CacheSortedSetFetch.Hit(
        [(b"five", -500.0), (b"four", -50.0), (b"new", -2.5), (b"three", 1.5)]
    )


async def test_sorted_set_ranks(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("sorted set: rank, fetch by rank, ties")
    assert isinstance(await client.sorted_set_get_rank(CACHE, name, "one"), CacheSortedSetGetRank.Miss)
    await put_scores(client, name)
    assert await client.sorted_set_get_rank(CACHE, name, "five") == CacheSortedSetGetRank.Hit(1)
    rank = await client.sorted_set_get_rank(CACHE, name, "five", SortOrder.DESCENDING)
    assert rank == CacheSortedSetGetRank.Hit(4)
    assert isinstance(await client.sorted_set_get_rank(CACHE, name, "x"), CacheSortedSetGetRank.Miss)

    async def by_rank(start: int | None, end: int | None, order: SortOrder) -> list[bytes]:
        found = await client.sorted_set_fetch_by_rank(CACHE, name, start, end, order)
        assert isinstance(found, CacheSortedSetFetch.Hit)
        return [value for value, _ in found.value_list_bytes]

    assert await by_rank(1, 3, SortOrder.ASCENDING) == [b"five", b"four"]
    assert await by_rank(3, None, SortOrder.DESCENDING) == [b"four", b"five", b"six"]
    assert await by_rank(None, -3, SortOrder.DESCENDING) == [b"one", b"two", b"three"]
    assert await by_rank(3, -5, SortOrder.DESCENDING) == []
    await client.sorted_set_put_elements(CACHE, name, {"b": -1000.0, "a": -1000.0})
    assert await by_rank(0, 3, SortOrder.ASCENDING) == [b"a", b"b", b"six"]
    assert await by_rank(-3, None, SortOrder.DESCENDING) == [b"six", b"b", b"a"]


async def test_sorted_set_by_score(feature: Feature, client: CacheClientAsync, name: str) -> None:
    feature("sorted set: fetch by score, offset and count")
    await put_scores(client, name)

    async def by_score(*arguments: Any) -> list[bytes]:
        found = await client.sorted_set_fetch_by_score(CACHE, name, *arguments)
        assert isinstance(found, CacheSortedSetFetch.Hit)
        return [value for value, _ in found.value_list_bytes]

    everything = [b"six", b"five", b"four", b"three", b"two", b"one"]
    assert await by_score() == everything
    assert await by_score(None, None, SortOrder.DESCENDING) == everything[::-1]
    assert await by_score(0.0, 50.0, SortOrder.DESCENDING) == [b"two", b"three"]
    assert await by_score(-750.0, 51.0, SortOrder.DESCENDING, 1, 2) == [b"three", b"four"]
    assert await by_score(None, None, SortOrder.ASCENDING, 4) == [b"two", b"one"]
    assert await by_score(1.0, 2.0) == []
