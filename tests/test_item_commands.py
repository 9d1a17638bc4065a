"""The commands on items and caches: at a storage, through a router, and where they are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cache_messages import get_command, set_command

from protosocket import rpc
from protosocket.cache import Engine, StorageHandler, TokenPolicy, create_engine
from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.cache_items_pb2 import ItemOperation
from protosocket.cache.commands import KEY_NOT_FOUND, execute
from protosocket.cache.item_messages import ITEMS, caches_command, decode_answer, item_command
from protosocket.cache.protosocket_messages import MESSAGES, native_cache_codec
from protosocket.cache.protosocket_router import ProtosocketBackend, serve_router
from protosocket.cache.protosocket_storage import serve_storage

OPERATIONS = [field.name for field in ItemOperation.DESCRIPTOR.fields]
ACTION: Any = MESSAGES.CachesCommand.Action

# Operations that make something where nothing is.
MAKING = {
    "increment": "number",
    "dictionary_set": "done",
    "dictionary_increment": "number",
    "set_add": "done",
    "list_push": "number",
    "sorted_set_put": "done",
    "sorted_set_store": "done",
    "sorted_set_increment": "score",
    "set_if": "flag",
}


def operation(name: str, **fields: Any) -> Any:
    kind = ItemOperation.DESCRIPTOR.fields_by_name[name].message_type
    assert kind is not None
    return ITEMS.ItemOperation(**{name: ITEMS[kind.full_name](**fields)})


def carried_out(engine: Engine, name: str, **fields: Any) -> Any:
    return execute(engine, item_command("n", b"k", operation(name, **fields)).unary)


def answer(response: Any) -> Any:
    assert response.error is None, response.error
    return decode_answer(response.item.answer)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_carried_out(name: str) -> None:
    engine = create_engine()
    fields = {"kind": 1} if name in ("length", "clear") else {}
    response = carried_out(engine, name, **fields)
    if name in MAKING:
        assert getattr(answer(response), MAKING[name]) is not None
    else:
        assert (response.error.code, response.error.message) == (pb.NOT_FOUND, KEY_NOT_FOUND)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("inspect", "update_ttl")])
def test_every_operation_minds_the_kind(name: str) -> None:
    engine = create_engine()
    if name in ("set_if", "increment"):
        engine.set_add("n", b"k", [b"e"], 60_000, False)
        fields: dict[str, Any] = {"condition": 2} if name == "set_if" else {}
    else:
        engine.set("n", b"k", b"value", 60_000)
        fields = {"kind": 4} if name in ("length", "clear") else {}
    if name == "sorted_set_store":
        assert answer(carried_out(engine, name)).done is not None
        return
    assert carried_out(engine, name, **fields).error.code == pb.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("set_if", {"condition": 10}),
        ("update_ttl", {"change": 3}),
        ("length", {"kind": 0}),
        ("clear", {"kind": 5}),
        ("dictionary_set", {"fields": [b"f"]}),
        ("sorted_set_put", {"values": [b"v"]}),
        ("sorted_set_store", {"scores": [1.0]}),
        ("list_erase", {"begins": [1]}),
    ],
)
def test_what_makes_no_sense_is_an_invalid_argument(name: str, fields: dict[str, Any]) -> None:
    assert carried_out(create_engine(), name, **fields).error.code == pb.INVALID_ARGUMENT


@given(st.binary(max_size=60))
def test_any_bytes_are_answered(encoded: bytes) -> None:
    item = MESSAGES.ItemCommand(namespace="n", key=b"k", operation=encoded)
    response = execute(create_engine(65_536), MESSAGES.Unary(item=item))
    assert (response.error is None) != (response.item is None)


def test_no_answer_is_too_large_for_a_message() -> None:
    engine = create_engine()
    engine.dictionary_set("n", b"k", [b"f"], [bytes(1_000_000)], 60_000, False)
    assert answer(carried_out(engine, "dictionary_get", fields=[b"f"] * 4)).values is not None
    response = carried_out(engine, "dictionary_get", fields=[b"f"] * 1_000_000)
    assert response.error.code == pb.RESOURCE_EXHAUSTED
    engine.sorted_set_store("n", b"k", [b"v"], [1.0], 60_000)
    assert answer(carried_out(engine, "sorted_set_scores", values=[b"v"] * 400_000)).scores is not None
    response = carried_out(engine, "sorted_set_scores", values=[b"v"] * 500_000)
    assert response.error.code == pb.RESOURCE_EXHAUSTED


def test_no_operation_and_no_namespace() -> None:
    engine = create_engine()
    nothing = MESSAGES.Unary(item=MESSAGES.ItemCommand(namespace="n", key=b"k"))
    assert execute(engine, nothing).error.code == pb.INVALID_ARGUMENT
    nowhere = item_command("", b"k", operation("inspect")).unary
    assert execute(engine, nowhere).error.code == pb.INVALID_ARGUMENT


def test_caches() -> None:
    engine = create_engine()

    def act(action: int, name: str = "") -> Any:
        return execute(engine, caches_command(action, name).unary)

    assert not act(ACTION.CREATE, "b").caches.existed
    assert act(ACTION.CREATE, "b").caches.existed
    act(ACTION.CREATE, "a")
    assert act(ACTION.LIST).caches.names == ["a", "b"]
    engine.set("a", b"k", b"v", 60_000)
    engine.set("b", b"k", b"v", 60_000)
    assert act(ACTION.FLUSH, "a").caches is not None
    assert (engine.get("a", b"k"), engine.get("b", b"k")) == (None, b"v")
    assert act(ACTION.DELETE, "b").caches.existed
    assert not act(ACTION.DELETE, "b").caches.existed
    assert engine.get("b", b"k") is None
    assert act(ACTION.CREATE).error.code == pb.INVALID_ARGUMENT
    assert act(9, "a").error.code == pb.INVALID_ARGUMENT


def test_there_are_only_so_many_caches() -> None:
    engine = create_engine()
    for number in range(10_000):
        assert engine.create_cache(str(number))
    response = execute(engine, caches_command(ACTION.CREATE, "one more").unary)
    assert response.error.code == pb.RESOURCE_EXHAUSTED


def test_the_names_of_all_caches_fit_into_one_answer() -> None:
    engine = create_engine()
    long = execute(engine, caches_command(ACTION.CREATE, "n" * 257).unary)
    assert long.error.code == pb.INVALID_ARGUMENT
    assert "256" in long.error.message
    # What counts are bytes, not characters.
    wide = execute(engine, caches_command(ACTION.CREATE, "\N{EURO SIGN}" * 86).unary)
    assert wide.error.code == pb.INVALID_ARGUMENT
    for number in range(10_000):
        assert engine.create_cache(f"{number:256}")
    listed = execute(engine, caches_command(ACTION.LIST).unary)
    assert len(listed.caches.names) == 10_000
    assert len(MESSAGES.encode(listed)) < 4 * 1024 * 1024


def test_collections_count_for_the_memory_limit() -> None:
    engine = create_engine(1 << 20)
    for number in range(200):
        engine.list_push("n", b"%d" % number, [bytes(1000)] * 20, False, None, 60_000, False)
        engine.dictionary_set("n", b"d", [b"%d" % number], [bytes(500)], 60_000, False)
        assert engine.statistics()["bytes_used"] <= 1 << 20
    assert engine.statistics()["evictions"] > 100


def test_grpc_hops_do_not_carry_them() -> None:
    handler = StorageHandler(create_engine())
    for command in (item_command("n", b"k", operation("inspect")), caches_command(ACTION.LIST)):
        encoded = handler.handle_bytes(MESSAGES.encode(command))
        assert pb.CacheResponse.FromString(encoded).error.code == pb.UNIMPLEMENTED
    handler.engine.set_add("n", b"k", [b"e"], 60_000, False)
    assert handler.handle(get_command("n", b"k")).error.code == pb.FAILED_PRECONDITION
    assert handler.handle(set_command("n", b"k", b"v", 60)).HasField("set")


async def test_through_a_router() -> None:
    everybody, members = TokenPolicy(), TokenPolicy(["secret"])
    storages = [
        await serve_storage("tcp://127.0.0.1:0", StorageHandler(create_engine()), tokens=everybody)
        for _ in range(2)
    ]
    backend = ProtosocketBackend([storage.url for storage in storages])
    await backend.connect(5)
    router = await serve_router("tcp://127.0.0.1:0", backend, tokens=members)
    try:
        async with rpc.connect(router.url, native_cache_codec()) as client:
            for command in (item_command("n", b"k", operation("inspect")), caches_command(ACTION.LIST)):
                assert (await client.unary(command)).error.code == pb.UNAUTHENTICATED
            token = MESSAGES.AuthenticateCommand(token="secret")
            await client.unary(MESSAGES.CacheCommand(unary=MESSAGES.Unary(auth=token)))
            for number in range(20):
                push = operation("list_push", values=[b"value"], ttl_milliseconds=60_000)
                response = await client.unary(item_command("n", b"%d" % number, push))
                assert answer(response).number.value == 1
            # What does not parse is answered; the connection to the storage, which all share, lives on.
            broken = MESSAGES.ItemCommand(namespace="n", key=b"1", operation=b"\x0a\xff")
            response = await client.unary(MESSAGES.CacheCommand(unary=MESSAGES.Unary(item=broken)))
            assert response.error.code == pb.INVALID_ARGUMENT
            response = await client.unary(
                MESSAGES.CacheCommand(unary=MESSAGES.Unary(get=MESSAGES.GetCommand(namespace="n", key=b"1")))
            )
            assert response.error.code == pb.FAILED_PRECONDITION
            # A router cannot know which storage an action on caches is for.
            response = await client.unary(caches_command(ACTION.LIST))
            assert response.error.code == pb.UNIMPLEMENTED
    finally:
        await router.close()
        await backend.close()
        for storage in storages:
            await storage.close()
