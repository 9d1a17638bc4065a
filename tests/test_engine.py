"""The native engine from Python, the storage handler on it, the token policy and the generated messages."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st
from tests.cache_messages import delete_command, get_command, read_get, set_command
from tests.patience import HANG

from protosocket.cache import protosocket_cache_pb2 as pb
from protosocket.cache.auth import TokenPolicy, read_tokens, require_tokens
from protosocket.cache.engine import Engine, create_engine
from protosocket.cache.results import Hit, Miss
from protosocket.cache.storage import StorageHandler
from protosocket.errors import AddressError, CacheError, OptionError

PROTO = Path(__file__).parent.parent / "proto"


@pytest.fixture
def engine() -> Engine:
    return create_engine(1 << 20)


def test_gives_back_the_very_object(engine: Engine) -> None:
    value = b"some value"
    engine.set("cache", b"key", value, 60_000)
    assert engine.get("cache", b"key") is value
    assert engine.get(b"cache", b"key") is value
    assert engine.get("other", b"key") is None


def test_delete_says_whether_it_was_there(engine: Engine) -> None:
    engine.set("cache", b"key", b"value", 60_000)
    assert engine.delete("cache", b"key")
    assert not engine.delete("cache", b"key")


def test_entries_expire(engine: Engine) -> None:
    engine.set("cache", b"key", b"value", 1)
    deadline = time.monotonic() + HANG
    while engine.get("cache", b"key") is not None:
        assert time.monotonic() < deadline
    assert engine.statistics()["expired"] == 1


def test_a_time_to_live_of_zero_leaves_nothing(engine: Engine) -> None:
    engine.set("cache", b"key", b"value", 60_000)
    engine.set("cache", b"key", b"other", 0)
    assert engine.get("cache", b"key") is None


def test_statistics_count(engine: Engine) -> None:
    engine.set("ns", b"key", b"value", 60_000)
    engine.get("ns", b"key")
    engine.get("ns", b"none")
    assert engine.statistics() == {
        "items": 1,
        "bytes_used": len(b"nskeyvalue") + 256,
        "hits": 1,
        "misses": 1,
        "evictions": 0,
        "expired": 0,
    }


def test_stays_under_its_limit(engine: Engine) -> None:
    for number in range(5000):
        engine.set("ns", b"%d" % number, bytes(1000), 60_000)
    statistics = engine.statistics()
    assert statistics["bytes_used"] <= 1 << 20
    assert statistics["items"] + statistics["evictions"] == 5000


def test_an_entry_over_the_limit_is_an_error(engine: Engine) -> None:
    with pytest.raises(CacheError, match="memory limit") as caught:
        engine.set("ns", b"key", bytes(1 << 20), 60_000)
    assert caught.value.code == 8
    assert str(caught.value) == caught.value.detail


def test_a_limit_too_small_is_an_error() -> None:
    with pytest.raises(OptionError, match="65536"):
        create_engine(1000)


@pytest.mark.parametrize("arguments", [(1, b"k"), ("ns", "k"), ("ns",)])
def test_wrong_types_are_errors(engine: Engine, arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        engine.get(*arguments)  # type: ignore[arg-type]


@given(st.text(min_size=1, max_size=10), st.binary(max_size=40), st.binary(max_size=300))
def test_handler_stores_and_finds(namespace: str, key: bytes, value: bytes) -> None:
    handler = StorageHandler(create_engine(1 << 20))
    stored = handler.handle(set_command(namespace, key, value, 60))
    assert stored.WhichOneof("kind") == "set"
    assert read_get(handler.handle(get_command(namespace, key))) == Hit(value)
    assert handler.handle(delete_command(namespace, key)).WhichOneof("kind") == "delete"
    assert read_get(handler.handle(get_command(namespace, key))) == Miss()


def test_a_miss_has_the_code_and_text_the_sdks_expect(engine: Engine) -> None:
    command = get_command("cache", b"none")
    command.message_id = 2**63 + 1
    response = StorageHandler(engine).handle(command)
    assert response == pb.CacheResponse(
        message_id=2**63 + 1, error=pb.CommandError(code=pb.NOT_FOUND, message="Key not found")
    )


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (pb.CacheCommand(message_id=7), "no command"),
        (pb.CacheCommand(message_id=7, unary=pb.Unary()), "no command"),
        (pb.CacheCommand(message_id=7, unary=pb.Unary(get=pb.GetCommand(key=b"k"))), "namespace"),
        (pb.CacheCommand(message_id=7, unary=pb.Unary(set=pb.SetCommand(key=b"k"))), "namespace"),
        (pb.CacheCommand(message_id=7, unary=pb.Unary(delete=pb.DeleteCommand(key=b"k"))), "namespace"),
        (
            pb.CacheCommand(message_id=7, unary=pb.Unary(auth=pb.AuthenticateCommand(token="t"))),
            "Authenticate",
        ),
    ],
)
def test_a_bad_command_is_an_invalid_argument(engine: Engine, command: pb.CacheCommand, text: str) -> None:
    response = pb.CacheResponse.FromString(StorageHandler(engine).handle_bytes(command.SerializeToString()))
    assert (response.message_id, response.error.code) == (7, pb.INVALID_ARGUMENT)
    assert text in response.error.message


def test_bytes_that_are_no_command_are_an_invalid_argument(engine: Engine) -> None:
    response = pb.CacheResponse.FromString(StorageHandler(engine).handle_bytes(b"\xff\xff"))
    assert response.error.code == pb.INVALID_ARGUMENT


def test_an_entry_too_large_is_answered(engine: Engine) -> None:
    response = StorageHandler(engine).handle(set_command("ns", b"key", bytes(1 << 20), 60))
    assert response.error.code == pb.RESOURCE_EXHAUSTED
    assert "memory limit" in response.error.message


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_a_client_refuses_a_senseless_time_to_live(ttl: float) -> None:
    with pytest.raises(OptionError, match="ttl"):
        set_command("ns", b"key", b"value", ttl)


def test_a_short_time_to_live_is_rounded_up() -> None:
    assert set_command("ns", b"key", b"value", 0.0001).unary.set.ttl_milliseconds == 1


@pytest.mark.parametrize(
    "url",
    [
        "tcp://127.0.0.1:1",
        "tcp://127.9.9.9:1",
        "tls://[::1]:1",
        "grpc://localhost:1",
        "unix:///x.sock",
        "TCP://LocalHost.:1",
        "tcp://[::ffff:127.0.0.1]:1",
    ],
)
def test_loopback_needs_no_tokens(url: str) -> None:
    require_tokens(url, TokenPolicy())


@pytest.mark.parametrize(
    "url",
    [
        "tcp://0.0.0.0:1",
        "tls://[::]:1",
        "grpc://example.org:1",
        "grpc://10.0.0.1:1",
        "tcp://[::ffff:10.0.0.1]:1",
    ],
)
def test_elsewhere_tokens_are_needed(url: str) -> None:
    with pytest.raises(OptionError, match="token"):
        require_tokens(url, TokenPolicy())
    require_tokens(url, TokenPolicy(["secret"]))


def test_a_token_is_accepted_only_whole() -> None:
    policy = TokenPolicy(["first", "second"])
    assert policy.accepts("first")
    assert policy.accepts(b"second")
    assert not policy.accepts("firs")
    assert not policy.accepts("")
    assert "first" not in repr(policy)
    with pytest.raises(OptionError):
        TokenPolicy([""])


def test_token_files(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# ours\nfirst\n\n  second \n")
    assert read_tokens(path) == ["first", "second"]
    path.write_text("# none\n")
    with pytest.raises(OptionError, match="no token"):
        read_tokens(path)
    with pytest.raises(OptionError, match="cannot be read"):
        read_tokens(tmp_path / "missing")
    with pytest.raises(AddressError):
        require_tokens("nonsense", TokenPolicy())


def test_generated_modules_are_those_of_the_proto_files(tmp_path: Path) -> None:
    # `make lint` compares the text; this compares what the messages are, with whichever compiler is here.
    protoc = pytest.importorskip("grpc_tools.protoc")
    from protosocket.cache import cache_service_pb2

    out = tmp_path / "descriptors"
    names = ["cache_service.proto", "protosocket_cache.proto"]
    assert protoc.main(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", *names]) == 0
    compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    for module in (cache_service_pb2, pb):
        ours = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(ours)
        (theirs,) = [file for file in compiled.file if file.name == ours.name]
        for file in (ours, theirs):
            file.ClearField("source_code_info")
            for message in file.message_type:
                for field in message.field:
                    field.ClearField("json_name")
        assert ours == theirs


def test_field_numbers_are_momentos() -> None:
    # Written out by hand from the crate momento-protos 0.139.1.
    command = pb.CacheCommand(
        message_id=1,
        control_code=2,
        unary=pb.Unary(set=pb.SetCommand(namespace="n", key=b"k", value=b"v", ttl_milliseconds=5)),
    )
    assert command.SerializeToString() == bytes.fromhex("1001 1802 520d 1a0b 0a016e 12016b 1a0176 2005")
    assert get_command("n", b"k").SerializeToString() == bytes.fromhex("5208 1206 0a016e 12016b")
    assert delete_command("n", b"k").SerializeToString() == bytes.fromhex("5208 2206 0a016e 12016b")
    auth = pb.CacheCommand(unary=pb.Unary(auth=pb.AuthenticateCommand(token="t")))
    assert auth.SerializeToString() == bytes.fromhex("5205 0a03 0a0174")
    hit = pb.CacheResponse(message_id=1, control_code=2, get=pb.GetResponse(value=b"v"))
    assert hit.SerializeToString() == bytes.fromhex("0801 1002 5a03 0a0176")
    miss = pb.CacheResponse(error=pb.CommandError(code=pb.NOT_FOUND, message="m"))
    assert miss.SerializeToString() == bytes.fromhex("4a05 0805 12016d")
    for number, kind in ((0x52, "auth"), (0x62, "set"), (0x6A, "delete")):
        assert pb.CacheResponse.FromString(bytes([number, 0])).WhichOneof("kind") == kind
