"""``protosocket decode``: captures with everything TCP does, hex dumps, types, and what cannot be decoded."""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
import shutil
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pcapng  # type: ignore[import-untyped]
import pytest
from google.protobuf import any_pb2, duration_pb2, struct_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from pcapng import blocks
from tests.captures import RAW_IP, SERVER_PORT, To, Wire, record_grpc, write_pcap
from tests.decoding import Decoded, get, ids, run_quietly, varint_framed
from tests.oracle.framing import Framing, frame
from tests.patience import HANG

from protosocket.cache.cache_items_pb2 import Increment, ItemAnswer, ItemOperation, Number
from protosocket.cache.protosocket_cache_pb2 import (
    CacheCommand,
    CacheResponse,
    GetResponse,
    ItemCommand,
    ItemResponse,
    Unary,
)
from protosocket.cli import main
from protosocket.grpc import envelope_pb2

ROOT = Path(__file__).resolve().parent.parent
PORT = ("--port", str(SERVER_PORT))


Decode = Callable[..., Decoded]


@pytest.fixture
def decode(capsys: pytest.CaptureFixture[str]) -> Decode:
    """Run ``protosocket decode`` in this process."""

    def run(*arguments: object) -> Decoded:
        with pytest.raises(SystemExit) as left:
            main(["decode", *map(str, arguments)])
        output, errors = capsys.readouterr()
        return Decoded(int(left.value.code or 0), output, errors)

    return run


@pytest.fixture
def decode_hex(decode: Decode, tmp_path: Path) -> Decode:
    """Run it on the hex of some bytes."""

    def run(content: bytes, *arguments: object) -> Decoded:
        path = tmp_path / "content.hex"
        path.write_text(content.hex(" "))
        return decode(path, *arguments)

    return run


# Hex dumps.


@pytest.mark.parametrize(
    "text",
    [
        "0e1007520a12080a016e12036f6e65",
        "0e 10 07 52 0A 12\n08 0a 01 6e 12 03 6f 6e 65\n",
        "00000000: 0e10 0752 0a12 080a 016e 1203 6f6e 65    ...R.....n..one\n",
        "00000000: 0e 10 07 52 0a 12 08 0a  ...R....\n00000008: 01 6e 12 03 6f 6e 65     .n..one\n",
        "00000000  0e 10 07 52 0a 12 08 0a  01 6e 12 03 6f 6e 65     |...R.....n..one|\n0000000f\n",
        "00000100: 0e10 0752 0a12 080a 016e 1203 6f6e 65    1234  5\n",
    ],
)
def test_hex_dumps(decode: Decode, tmp_path: Path, text: str) -> None:
    path = tmp_path / "dump"
    path.write_text(text)
    decoded = decode(path, "--cache")
    assert (decoded.code, decoded.errors) == (0, "")
    expected = 'request  at byte 0  id 7  normal  15 B  unary { get { namespace: "n" key: "one" } }\n'
    assert decoded.output == expected


@pytest.mark.parametrize("command", [("xxd",), ("xxd", "-p"), ("xxd", "-a", "-g1"), ("hexdump", "-C")])
@pytest.mark.parametrize("size", [0, 1, 8, 15, 16, 17, 4000])
def test_what_dump_programs_print(
    decode: Decode, tmp_path: Path, command: tuple[str, ...], size: int
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    chance = random.Random(size)
    payload = bytes(chance.choice([0, 0x7C, 0x20, 255]) for _ in range(size)) + bytes(100)
    content = tmp_path / "content"
    content.write_bytes(frame(Framing.VARINT, payload) * 2)
    dump = tmp_path / "dump"
    dump.write_bytes(subprocess.run([*command, content], capture_output=True, check=True).stdout)
    framed = decode(dump, "--json")
    assert framed.code == 1  # such bytes are no fields
    assert [message["hex"] for message in framed.messages] == [payload.hex()] * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0e 10 0", "line 1 is no hex"),
        ("hello", "line 1 is no hex"),
        ("00000000: 0e10\n00000004: 10\n", "line 2 has the offset 0x4, expected 0x2"),
        ("00000000: 0e10\nrest\n", "line 2 is no line of such a hex dump"),
        ("00000000: 0e10\n*\n", "the dump ends with *"),
        ("00000000: 0e1\n", "line 1 is no hex"),
        (f"00000000: {'0' * 100_000}x\n", "line 1 is no hex"),
        (f"00000000:{'0' * 100_000}x\n", "line 1 is no hex"),
        ("00000000: 0e10 07x2\n", "line 1 is no hex"),
        (f"00000000: {'0' * 32}\n00000010: {'0' * 100_000}x\n", "line 2 is no line of such a hex dump"),
        (f"00000000  {'00 ' * 30_000}x\n", "line 1 is no hex"),
        ("\N{SNOWMAN}", "neither a pcap or pcapng capture nor a hex dump"),
    ],
)
def test_what_is_no_hex_dump(decode: Decode, tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "dump"
    path.write_text(text)
    decoded = decode(path)
    assert decoded.code == 2
    assert reason in decoded.errors
    assert decoded.errors.count("\n") == 1


def test_standard_input_may_be_a_dump_or_a_capture(tmp_path: Path) -> None:
    capture = write_pcap(tmp_path / "a.pcap", Wire().open().send("server", varint_framed(get(7))).packets)
    other = write_pcapng(tmp_path / "a.pcapng", Wire().open().send("server", varint_framed(get(7))))
    dump = varint_framed(get(7)).hex().encode()
    for content in (dump, capture.read_bytes(), other.read_bytes()):
        command = [sys.executable, "-m", "protosocket", "decode", "--cache", "--json"]
        done = subprocess.run(command, input=content, capture_output=True, timeout=HANG, check=True)
        assert json.loads(done.stdout)["id"] == 7


# What the bytes are.


@pytest.mark.parametrize("direction", ["request", "response"])
def test_the_cache(decode_hex: Decode, direction: str) -> None:
    messages: list[Message] = [get(7), CacheCommand(message_id=8, control_code=1)]
    if direction == "response":
        messages = [CacheResponse(message_id=7, get=GetResponse(value=b"1")), CacheResponse(control_code=2)]
    decoded = decode_hex(varint_framed(*messages), "--cache", "--json", "--direction", direction)
    assert decoded.code == 0
    second = (8, "cancel", 15) if direction == "request" else (0, "end", 8)
    shown = [(m["direction"], m["id"], m["control"], m["offset"]) for m in decoded.messages]
    assert shown == [(direction, 7, "normal", 0), (direction, *second)]


def test_operations_on_items_of_the_cache(decode_hex: Decode) -> None:
    operation = ItemOperation(increment=Increment(amount=5))
    item = ItemCommand(namespace="n", key=b"k", operation=operation.SerializeToString())
    request = varint_framed(CacheCommand(message_id=7, unary=Unary(item=item)))
    shown = decode_hex(request, "--cache").output
    assert shown.endswith('B  item { namespace: "n" key: "k" } increment { amount: 5 }\n')
    (message,) = decode_hex(request, "--cache", "--json").messages
    assert message["item"] == {"increment": {"amount": "5"}}
    answer = ItemAnswer(number=Number(value=6)).SerializeToString()
    response = varint_framed(CacheResponse(message_id=7, item=ItemResponse(answer=answer)))
    shown = decode_hex(response, "--cache", "--direction", "response").output
    assert shown.endswith("B  number { value: 6 }\n")
    item.operation = b"\xff"
    broken = decode_hex(varint_framed(CacheCommand(unary=Unary(item=item))), "--cache")
    assert "no operation on an item" in broken.output


def test_unknown_types_are_shown_by_number(decode_hex: Decode) -> None:
    content = varint_framed(get(7, b"\xff\0"))
    decoded = decode_hex(content, "--id", "2", "--control", "3")
    assert decoded.output.endswith('B  10 { 2 { 1: "n" 2: "\\377\\000" } }\n')
    (message,) = decode_hex(content, "--id", "2", "--control", "3", "--json").messages
    assert message["id"] == 7
    inner = message["fields"][1]["message"][0]["message"]
    assert inner == [
        {"field": 1, "type": "bytes", "value": "n"},
        {"field": 2, "type": "bytes", "hex": "ff00"},
    ]
    fixed = decode_hex(bytes.fromhex("0e 09 0100000000000000 15 02000000"))
    assert fixed.output.endswith("B  1: 0x0000000000000001 2: 0x00000002\n")


def test_types_from_proto_files_and_descriptor_sets(decode_hex: Decode, tmp_path: Path) -> None:
    folder = tmp_path / "protos"
    folder.mkdir()
    (folder / "common.proto").write_text('syntax = "proto3"; package a; message Place { string name = 1; }')
    own = folder / "own.proto"
    own.write_text(
        'syntax = "proto3"; package a; import "common.proto"; import "google/protobuf/duration.proto";'
        "message Question { fixed64 id = 4; int32 code = 5; Place place = 6; }"
        "message Answer { uint32 number = 1; uint32 code = 2; google.protobuf.Duration after = 3;"
        " message Inner { bool yes = 1; } Inner inner = 4; }"
    )
    descriptors = tmp_path / "own.set"
    compiler = [sys.executable, "-m", "grpc_tools.protoc"] if _has_grpc_tools() else ["protoc"]
    if not _has_grpc_tools() and shutil.which("protoc") is None:
        pytest.skip("neither grpcio-tools nor protoc is installed")
    made = [f"--proto_path={folder}", "--include_imports", f"--descriptor_set_out={descriptors}", str(own)]
    subprocess.run([*compiler, *made], check=True, timeout=HANG)
    question = bytes.fromhex("0f 21 0700000000000000 3204 0a02 6869")
    for source in (own, descriptors):
        types = (
            "--proto",
            source,
            "--message",
            "Question,a.Answer",
            "--id",
            "id,number",
            "--control",
            "code",
        )
        decoded = decode_hex(question, *types)
        assert decoded.output.endswith('id 7  normal  16 B  place { name: "hi" }\n')
        (message,) = decode_hex(question, *types, "--json").messages
        assert message["message"] == {"id": "7", "place": {"name": "hi"}}
        answer = decode_hex(bytes.fromhex("0a 0807 1002 1a00 22020801"), *types, "--direction", "response")
        assert answer.output.endswith("id 7  end  11 B  after { } inner { yes: true }\n")
        by_number = (*types[:4], "--id", "4,1", "--control", "5,2", "--json")
        assert decode_hex(question, *by_number).messages[0]["id"] == 7
    verbose = decode_hex(question, *types, "--verbose").output
    assert verbose.endswith('16 B\n    place {\n      name: "hi"\n    }\n')


def _has_grpc_tools() -> bool:
    return importlib.util.find_spec("grpc_tools") is not None


@pytest.mark.parametrize(
    ("name", "payload", "json_form", "text_form"),
    [
        ("Any", "0a03 612f62 1201 78", {"hex": "0a03612f62120178"}, 'type_url: "a/b" value: "x"'),
        ("Any", "1201 ff", {"hex": "1201ff"}, 'value: "\\377"'),
        ("Value", "11 000000000000f87f", {"hex": "11000000000000f87f"}, "number_value: nan"),
        ("Value", "11 000000000000f03f", {"message": 1.0}, "number_value: 1.0"),
    ],
)
def test_values_that_json_does_not_have(
    decode_hex: Decode, tmp_path: Path, name: str, payload: str, json_form: dict[str, Any], text_form: str
) -> None:
    types = ("--proto", well_known_types(tmp_path), "--message", f"google.protobuf.{name}")
    content = frame(Framing.VARINT, bytes.fromhex(payload))
    decoded = decode_hex(content, *types, "--json")
    assert (decoded.code, decoded.errors) == (0, "")
    (message,) = decoded.messages
    assert {key: message[key] for key in ("hex", "message") if key in message} == json_form
    assert decode_hex(content, *types).output.endswith(f" B  {text_form}\n")


def test_what_an_any_holds(decode_hex: Decode, tmp_path: Path) -> None:
    """Its type is one of the files given, and is not always what it names."""
    types = ("--proto", well_known_types(tmp_path), "--message", "google.protobuf.Any")
    held = any_pb2.Any(type_url="a/own.Held", value=b"\x08\x05")
    (message,) = decode_hex(varint_framed(held), *types, "--json").messages
    assert message["message"] == {"@type": "a/own.Held", "number": 5}
    broken = any_pb2.Any(type_url="a/google.protobuf.Duration", value=b"\xff")
    (message,) = decode_hex(varint_framed(broken), *types, "--json").messages
    assert message["hex"] == broken.SerializeToString().hex()
    assert decode_hex(varint_framed(broken), *types).output.endswith(f"hex: {message['hex']}\n")


def well_known_types(folder: Path) -> Path:
    """A descriptor set of some of protobuf's own types, and of ``own.Held``, which nobody else knows."""
    files = FileDescriptorSet()
    for module in (any_pb2, duration_pb2, struct_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    own = files.file.add(name="own.proto", package="own", syntax="proto3")
    held = own.message_type.add(name="Held")
    held.field.add(name="number", number=1, type=FieldDescriptorProto.TYPE_INT32)
    path = folder / "types.set"
    path.write_bytes(files.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("value", "id", "control"),
    [([1, 7, "x"], "1", "0"), ({"control": 1, "id": 7, "x": b"\0"}, "id", "control")],
)
def test_messagepack(decode_hex: Decode, value: object, id: str, control: str) -> None:
    content = frame(Framing.MESSAGEPACK, msgspec.msgpack.encode(value))
    arguments = ("--format", "messagepack", "--id", id, "--control", control, "--json")
    (message,) = decode_hex(content, *arguments).messages
    assert (message["id"], message["control"]) == (7, "cancel")
    assert message["message"] == json.loads(msgspec.json.encode(value))


def test_lines_cannot_steer_the_terminal(decode_hex: Decode) -> None:
    decoded = decode_hex(b"one\r\n\x1b[31mtwo\n\xff\n", "--format", "lines")
    summaries = [line.rpartition("B  ")[2] for line in decoded.output.splitlines()]
    assert summaries == ["one", "\\x1b[31mtwo", "\\xff"]
    (_, two, _) = decode_hex(b"one\r\n\x1b[31mtwo\n\xff\n", "--format", "lines", "--json").messages
    assert two["text"] == "\x1b[31mtwo"


def test_grpc_calls(decode: Decode, tmp_path: Path) -> None:
    path = "/protosocket.cache.Cache/Get"
    first = envelope_pb2.Envelope(id=1, method=1, path=path, payload=get(0).SerializeToString())
    second = envelope_pb2.Envelope(id=2, method=1, payload=get(0).SerializeToString())
    answer = envelope_pb2.Envelope(id=1, payload=CacheResponse(get=GetResponse()).SerializeToString())
    failure = envelope_pb2.Envelope(id=2, control=2, status=envelope_pb2.Status(code=5, details="none"))
    wire = Wire().open().send("server", varint_framed(first, second))
    wire.send("client", varint_framed(failure, answer))
    capture = write_pcap(tmp_path / "grpc.pcap", wire.packets)
    raw = decode(capture, "--grpc")
    assert raw.code == 0
    assert [path in line for line in raw.output.splitlines()] == [True] * 4
    assert raw.output.splitlines()[2].endswith(f'{path} status {{ code: 5 details: "none" }}')
    if not _has_grpc_tools():
        pytest.skip("grpcio-tools is not installed")
    typed = decode(capture, "--grpc", "--proto", ROOT / "proto" / "cache_service.proto", "--json").messages
    assert typed[1]["payload"]["message"]["unary"]["get"]["namespace"] == "n"
    assert typed[3]["payload"]["message"] == {"get": {}}
    assert typed[3]["elapsed_ms"] == pytest.approx(1, abs=0.01)


async def test_recorded_grpc_calls(tmp_path: Path) -> None:
    capture = tmp_path / "grpc.pcap"
    port = await record_grpc(capture)
    records = run_quietly(capture, "--grpc", "--json", "--port", str(port))
    assert not [record for record in records if "problem" in record]
    calls = [record for record in records if record["id"]]
    path = "/protosocket.cache.Cache/Get"
    assert [record["path"] for record in calls] == [path] * len(calls)
    requests = [record for record in calls if record["direction"] == "request" and "payload" in record]
    assert len(requests) == 3
    answers = [record for record in calls if record["direction"] == "response"]
    assert [answer["id"] for answer in answers] == [request["id"] for request in requests]
    assert all(answer["elapsed_ms"] >= 0 for answer in answers)
    assert answers[2]["envelope"]["status"] == {"code": 5, "details": "none"}
    assert any("hello" in record["envelope"] for record in records)


# What the bytes are not.


@pytest.mark.parametrize(
    ("content", "arguments", "problems", "reason"),
    [
        ("0e1007", (), [("truncated", 0, 3)], "3 bytes into a message of 15 bytes"),
        ("0000 81", (), [("truncated", 2, 1)], "1 bytes into a message"),
        ("00" + "ff" * 11, (), [("invalid", 1, 11), ("undecoded", 1, 11)], "begins with ff ff ff"),
        ("00 ffffff7f 00", (), [("too large", 1, 5), ("undecoded", 1, 5)], "over the limit of 4194304"),
        ("05 0102030405", ("--limit", "4"), [("too large", 0, 6), ("undecoded", 0, 6)], "limit of 4"),
        ("02 5205 00", (), [("malformed", 0, 3)], "no protobuf message"),
        ("02 5205 00", ("--cache",), [("malformed", 0, 3)], "no protosocket.cache.CacheCommand"),
        ("02 1207 00", ("--id", "2", "--control", "3"), [("malformed", 0, 3)], "no protobuf message"),
        ("03 120107", ("--id", "2", "--control", "3"), [("malformed", 0, 4)], "no id and control code"),
        ("9101", ("--format", "messagepack"), [("invalid", 0, 2), ("undecoded", 0, 2)], "with 91 01"),
        ("ce00000001 c1", ("--format", "messagepack"), [("malformed", 0, 6)], "no MessagePack value"),
        ("ce00000002 a1ff", ("--format", "messagepack"), [("malformed", 0, 7)], "no MessagePack value"),
        ("6869", ("--format", "lines"), [("truncated", 0, 2)], "2 bytes into a message"),
    ],
)
def test_what_is_no_message(
    decode_hex: Decode, content: str, arguments: tuple[str, ...], problems: list[Any], reason: str
) -> None:
    decoded = decode_hex(bytes.fromhex(content), *arguments, "--json")
    assert decoded.code == 1
    assert decoded.problems == problems
    assert decoded.errors == f"protosocket: {len(problems)} problem{'s' * (len(problems) > 1)} found\n"
    text = decode_hex(bytes.fromhex(content), *arguments)
    assert text.code == 1
    assert reason in text.output
    kind, offset, size = problems[0]
    assert f"! {kind} in the requests at byte {offset}  {size} B  " in text.output


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), format=st.sampled_from(["protobuf", "messagepack", "lines"]))
def test_every_byte_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, format: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.hex"
    path.write_text(content.hex())
    records = run_quietly(path, "--json", "--format", format, "--limit", "64")
    at = 0
    for record in records:
        if record.get("problem") in ("malformed", "invalid", "too large"):
            continue  # about bytes that are in another record too
        assert record["offset"] == at
        at += record["size"]
    assert at == len(content)


# What TCP does.


def test_both_directions_and_the_time_between(decode: Decode, tmp_path: Path) -> None:
    wire = Wire().open().send("server", varint_framed(get(7), get(8)))
    wire.send("client", varint_framed(CacheResponse(message_id=8), CacheResponse(message_id=7)))
    decoded = decode(write_pcap(tmp_path / "a.pcap", wire.packets), "--cache")
    assert decoded.code == 0
    lines = decoded.output.splitlines()
    client, server = "127.0.0.1:40000", "127.0.0.1:7300"
    assert lines[0].startswith(f"0.000000  {client} > {server}  request  id 7  normal  15 B  unary")
    assert lines[2] == f"0.001000  {server} > {client}  response  id 8  normal  3 B  +1.000 ms"


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_order_and_any_repetition(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=8))
    content = varint_framed(*(get(number, key) for number, key in enumerate(keys)))
    wire = Wire().open()
    del wire.packets[2]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(content)), max_size=10)) | {0, len(content)})
    pieces = [(start, content[start:end]) for start, end in itertools.pairwise(cuts)]
    for _ in range(data.draw(st.integers(0, 3))):  # what is sent again is cut otherwise
        start = data.draw(st.integers(0, len(content) - 1))
        pieces.append((start, content[start : data.draw(st.integers(start + 1, len(content)))]))
    directions: list[To] = ["server", "client"]
    to = data.draw(st.sampled_from(directions))
    for offset, piece in data.draw(st.permutations(pieces)):
        wire.add(to, offset, piece)
    path = write_pcap(tmp_path_factory.getbasetemp() / "any.pcap", wire.packets)
    records = run_quietly(path, "--json")
    assert [record.get("problem") for record in records] == [None] * len(keys)
    assert sum(record["size"] for record in records) == len(content)


def test_a_gap_in_a_message_costs_that_message(decode: Decode, tmp_path: Path) -> None:
    first, broken, last = (varint_framed(get(number, b"k" * 50)) for number in (1, 2, 3))
    wire = Wire().open().send("server", first + broken[:10]).skip("server", 20)
    wire.send("server", broken[30:40], broken[40:] + last)
    decoded = decode(write_pcap(tmp_path / "a.pcap", wire.packets), "--cache", "--json")
    assert ids(decoded) == [1, 3]
    assert decoded.problems == [("gap", len(first) + 10, 20)]
    assert decoded.code == 1


def test_after_a_gap_over_a_boundary_nothing_is_guessed(decode: Decode, tmp_path: Path) -> None:
    first, second, third = (varint_framed(get(number)) for number in (1, 2, 3))
    wire = Wire().open().send("server", first).skip("server", len(second)).send("server", third)
    capture = write_pcap(tmp_path / "a.pcap", wire.packets)
    decoded = decode(capture, "--cache", "--json")
    assert ids(decoded) == [1]
    at = len(first) + len(second)
    assert decoded.problems == [("gap", len(first), len(second)), ("undecoded", at, len(third))]


def test_lines_go_on_after_the_next_line_end(decode: Decode, tmp_path: Path) -> None:
    wire = Wire().open().send("server", b"one\ntw").skip("server", 3).send("server", b"rest\nthree\n")
    decoded = decode(write_pcap(tmp_path / "a.pcap", wire.packets), "--format", "lines", "--json")
    assert [message["text"] for message in decoded.messages] == ["one", "three"]
    assert decoded.problems == [("gap", 6, 3)]


def test_a_gap_is_known_by_the_acknowledgement(decode: Decode, tmp_path: Path) -> None:
    """So that messages after it are shown in their time, not at the end."""
    broken, last = varint_framed(get(1, b"k" * 50)), varint_framed(get(2))
    wire = Wire().open().send("server", broken[:10]).skip("server", 10).send("server", broken[20:] + last)
    wire.acknowledge("server").send("client", varint_framed(CacheResponse(message_id=2)))
    capture = write_pcap(tmp_path / "a.pcap", wire.packets)
    records = decode(capture, "--cache", "--json").records
    assert [record["direction"] for record in records] == ["request", "request", "response"]


def test_bytes_after_the_last_captured_ones_are_missed(decode: Decode, tmp_path: Path) -> None:
    wire = Wire().open().send("server", varint_framed(get(1))).skip("server", 50).acknowledge("server")
    decoded = decode(write_pcap(tmp_path / "a.pcap", wire.packets), "--cache", "--json")
    assert decoded.problems == [("gap", 15, 50)]


def test_packets_cut_off_by_the_capture(decode: Decode, tmp_path: Path) -> None:
    long, short = varint_framed(get(1, b"k" * 100)), varint_framed(get(2))
    wire = Wire().open().send("server", long, short).acknowledge("server")
    decoded = decode(write_pcap(tmp_path / "a.pcap", wire.packets, snap=80), "--cache", "--json")
    assert ids(decoded) == [2]
    assert decoded.problems == [("gap", 40, len(long) - 40)]


def test_a_connection_that_was_open_before(decode: Decode, tmp_path: Path) -> None:
    wire = Wire().send("server", varint_framed(get(1)))
    wire.send("client", varint_framed(CacheResponse(message_id=1)))
    capture = write_pcap(tmp_path / "a.pcap", wire.packets)
    for arguments in ((), PORT):
        decoded = decode(capture, "--cache", "--json", *arguments)
        assert decoded.code == 0
        assert [(m["direction"], m["id"], m["joined"]) for m in decoded.messages] == [
            ("request", 1, True),
            ("response", 1, True),
        ]
        assert "was open before the capture began" in decoded.errors
        assert decoded.errors.count("\n") == 1


def test_a_port_used_again(decode: Decode, tmp_path: Path) -> None:
    first = Wire().open().send("server", varint_framed(get(1))[:5])
    second = Wire(start={"server": 99, "client": 5}).open().send("server", varint_framed(get(2)))
    capture = write_pcap(tmp_path / "a.pcap", first.packets + second.packets)
    decoded = decode(capture, "--cache", "--json")
    assert decoded.problems == [("truncated", 0, 5)]
    assert [(m["id"], m["connection"]) for m in decoded.messages] == [(2, 2)]


def test_only_the_given_ports(decode: Decode, tmp_path: Path) -> None:
    wires = [Wire(server_port=port).open().send("server", varint_framed(get(port))) for port in (1, 2, 3)]
    capture = write_pcap(tmp_path / "a.pcap", [packet for wire in wires for packet in wire.packets])
    assert ids(decode(capture, "--cache", "--json", "--port", 1, "--port", "3")) == [1, 3]
    # The client's port is taken for the server's: then the direction is the other one.
    swapped = decode(capture, "--json", "--port", 40000)
    assert {message["direction"] for message in swapped.messages} == {"response"}


@pytest.mark.parametrize("link", ["ethernet", "vlan", "loopback", "cooked", "cooked2", "ipv6", "jumbo"])
def test_every_link(decode: Decode, tmp_path: Path, link: str) -> None:
    wire = Wire(version=6 if link in ("ipv6", "jumbo") else 4).open().send("server", varint_framed(get(7)))
    wrap: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
        "ethernet": (1, lambda packet: bytes(12) + b"\x08\0" + packet + bytes(20)),  # with padding
        "vlan": (1, lambda packet: bytes(12) + b"\x81\0\0\x05\x08\0" + packet),
        "loopback": (0, lambda packet: b"\2\0\0\0" + packet),
        "cooked": (113, lambda packet: bytes(14) + b"\x08\0" + packet),
        "cooked2": (276, lambda packet: b"\x08\0" + bytes(18) + packet),
        "ipv6": (229, lambda packet: packet),
        "jumbo": (RAW_IP, lambda packet: packet[:4] + b"\0\0" + packet[6:]),  # as offload leaves it
    }
    number, around = wrap[link]
    capture = write_pcap(tmp_path / "a.pcap", map(around, wire.packets), link=number)
    decoded = decode(capture, "--cache", "--json")
    assert (decoded.code, ids(decoded)) == (0, [7])
    if wire.version == 6:
        assert decoded.messages[0]["server"] == "[::1]:7300"


def test_a_link_nobody_knows(decode: Decode, tmp_path: Path) -> None:
    capture = write_pcap(tmp_path / "a.pcap", [b"radio"] * 3, link=127)
    decoded = decode(capture)
    assert decoded.code == 1
    assert decoded.output == "! capture at byte 0  packets of link type 127 are not understood and left out\n"
    assert "3 packets of 3 left out: 3 of link type 127\n" in decoded.errors


def write_pcapng(path: Path, wire: Wire) -> Path:
    """Two interfaces with links and clocks of their own, which take turns."""
    section = blocks.SectionHeader()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about the library's own table of options
        options = {"if_tsresol": b"\x09"}
        nano = section.new_member(blocks.InterfaceDescription, link_type=RAW_IP, options=options)
    cooked = section.new_member(blocks.InterfaceDescription, link_type=1)
    with path.open("wb") as file:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            writer = pcapng.FileWriter(file, section)
        for number, packet in enumerate(wire.packets):
            here, units = (cooked, 10**6) if number % 2 else (nano, 10**9)
            block = section.new_member(blocks.EnhancedPacket, interface_id=here.interface_id)
            stamp = 1_700_000_000 * units + number * units // 1000
            block.timestamp_high, block.timestamp_low = stamp >> 32, stamp & 0xFFFFFFFF
            block.packet_data = bytes(12) + b"\x08\0" + packet if number % 2 else packet
            writer.write_block(block)
    return path


def test_interfaces_of_a_pcapng_file(decode: Decode, tmp_path: Path) -> None:
    wire = Wire().open().send("server", *(varint_framed(get(number)) for number in range(6)))
    capture = write_pcapng(tmp_path / "a.pcapng", wire)
    decoded = decode(capture, "--cache", "--json")
    assert (decoded.code, ids(decoded)) == (0, list(range(6)))
    times = [message["time"] for message in decoded.messages]
    assert times == pytest.approx([1_700_000_000.003 + number / 1000 for number in range(6)], abs=1e-5)


def pcapng_block(kind: int, body: bytes) -> bytes:
    """A block in little-endian."""
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def pcapng_with_options(path: Path, options: bytes, packet: bytes) -> Path:
    """One packet of an interface that has these options."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    interface = struct.pack("<HHI", RAW_IP, 0, 0) + options
    captured = struct.pack("<IIIII", 0, 0, 0, len(packet), len(packet)) + packet + bytes(-len(packet) % 4)
    parts = ((0x0A0D0D0A, section), (1, interface), (6, captured))
    path.write_bytes(b"".join(pcapng_block(kind, body) for kind, body in parts))
    return path


def test_an_option_that_is_repeated(decode: Decode, tmp_path: Path) -> None:
    wire = Wire().open().send("server", varint_framed(get(7)))
    name = struct.pack("<HH", 2, 4) + b"eth0"  # if_name, which may be there once
    capture = pcapng_with_options(tmp_path / "a.pcapng", 2 * name + bytes(4), wire.packets[-1])
    decoded = decode(capture, "--cache", "--json")
    assert (decoded.code, ids(decoded)) == (0, [7])


@pytest.mark.parametrize(
    "option",
    [
        struct.pack("<HH", 4, 4) + bytes(4),  # if_IPv4addr, which has 8 bytes
        struct.pack("<HH", 9, 2) + bytes(4),  # if_tsresol, which has one
        struct.pack("<HH", 2, 4) + b"l\xffo\0",  # if_name, which should be UTF-8
        struct.pack("<HH", 2, 400) + b"eth0",  # longer than the block
        struct.pack("<HH", 0x4321, 3) + b"new\0",
    ],
)
def test_an_option_that_is_odd(decode: Decode, tmp_path: Path, option: bytes) -> None:
    wire = Wire().open().send("server", varint_framed(get(7)))
    capture = pcapng_with_options(tmp_path / "a.pcapng", option + bytes(4), wire.packets[-1])
    decoded = decode(capture, "--cache", "--json")
    assert (decoded.code, ids(decoded)) == (0, [7])


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_damaged_capture_file(decode: Decode, tmp_path: Path, kind: str) -> None:
    wire = Wire().open().send("server", *(varint_framed(get(number)) for number in range(3)))
    path = tmp_path / f"a.{kind}"
    if kind == "pcap":
        write_pcap(path, wire.packets)
    else:
        write_pcapng(path, wire)
    whole = path.read_bytes()
    decoded = decode(path, "--cache", "--json")
    assert (decoded.code, ids(decoded)) == (0, [0, 1, 2])
    seen = set()
    whole_packets = 0
    ends = len(wire.packets) + (2 if kind == "pcapng" else 0)  # the section and its interfaces come first
    for size in range(4, len(whole)):
        path.write_bytes(whole[:size])
        cut = decode(path, "--cache", "--json")
        assert ids(cut) == [0, 1, 2][: len(ids(cut))]
        seen.add(len(ids(cut)))
        assert (cut.code == 0) == (not cut.problems)
        # A beginning that has packets and nothing in them says so.
        whole_packets += cut.code == 0 or "no message in" in cut.output
    assert seen == {0, 1, 2}
    # A file that ends between two packets is a shorter capture; any other end shows.
    assert whole_packets == ends
    chance = random.Random(1)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[chance.randrange(8, len(whole))] = chance.randrange(256)
        path.write_bytes(damaged)
        cut = decode(path, "--cache", "--json")
        assert cut.code in (0, 1)
        assert "Traceback" not in cut.errors


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "TLS"),
    ],
)
def test_other_protocols_are_named(decode: Decode, tmp_path: Path, first: bytes, name: str) -> None:
    capture = write_pcap(tmp_path / "a.pcap", Wire().open().send("server", first, b"more").packets)
    decoded = decode(capture)
    assert decoded.code == 1
    assert decoded.output.count("\n") == 1
    assert f"this is {name}" in decoded.output


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(), link=st.sampled_from([0, 1, RAW_IP, 108, 113, 229, 276]), version=st.sampled_from([4, 6])
)
def test_no_packet_is_a_fault(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, link: int, version: int
) -> None:
    packets = Wire(version=version).open().send("server", varint_framed(get(7))).packets
    broken = []
    for packet in packets:
        content = bytearray(
            data.draw(st.sampled_from([packet, bytes(12) + b"\x08\0" + packet, b"\2\0\0\0" + packet]))
        )
        for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[at] = data.draw(st.integers(0, 255))
        broken.append(bytes(content[: data.draw(st.integers(0, len(content)))]))
    path = write_pcap(tmp_path_factory.getbasetemp() / "broken.pcap", broken, link=link)
    for record in run_quietly(path, "--json"):
        assert "direction" in record


def test_a_message_may_say_http(decode: Decode, tmp_path: Path) -> None:
    content = varint_framed(get(1, b" HTTP/1.0"), get(2, b"GET / HTTP/1.1\r\n"))
    capture = write_pcap(tmp_path / "a.pcap", Wire().open().send("server", content).packets)
    assert ids(decode(capture, "--cache", "--json")) == [1, 2]


# What makes no sense.


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--cache", "--id", "1", "--control", "2"), "--cache has its own"),
        (("--cache", "--grpc"), "--cache has its own"),
        (("--grpc", "--format", "lines"), "--grpc has its own"),
        (("--id", "1"), "give --id and --control"),
        (("--id", "1,", "--control", "2"), "one name or two"),
        (("--id", "name", "--control", "2"), "without the messages' types"),
        (("--id", "0", "--control", "2"), "without the messages' types"),
        (("--id", "2", "--control", "2"), "two fields"),
        (("--message", "A"), "types need both"),
        (("--proto", "x.proto"), "types need both"),
        (("--proto", "/nowhere/x.set", "--message", "A"), "cannot read /nowhere/x.set"),
        (("--proto", __file__, "--message", "A"), "is no descriptor set"),
        (("--format", "lines", "--id", "1", "--control", "2"), "lines have no fields"),
        (("--format", "messagepack", "--id", "0", "--control", "code"), "two numbers"),
        (("--format", "messagepack", "--id", "id", "--control", "id"), "two fields"),
        (("--limit", "many"), "many"),
        (("--verbose", "--json"), "leave --verbose out"),
        (("--proto-path", "."), "give --proto too"),
        (("--port", "7300"), "a hex dump has no ports"),
    ],
)
def test_options_that_make_no_sense(decode_hex: Decode, arguments: tuple[str, ...], reason: str) -> None:
    failed = decode_hex(b"\0", *arguments)
    assert failed.code == 2
    assert failed.errors.startswith("protosocket: ")
    assert reason in failed.errors
    assert failed.errors.count("\n") == 1


def test_a_capture_has_directions(decode: Decode, tmp_path: Path) -> None:
    failed = decode(write_pcap(tmp_path / "a.pcap", []), "--direction", "response")
    assert failed.code == 2
    assert "--direction is for hex dumps" in failed.errors


def test_types_that_are_not_there(decode_hex: Decode) -> None:
    if not _has_grpc_tools():
        pytest.skip("grpcio-tools is not installed")
    cache = ROOT / "proto" / "protosocket_cache.proto"
    missing = decode_hex(b"\0", "--proto", cache, "--message", "Nothing")
    assert (
        "no message is called 'Nothing'; there are: protosocket.cache.AuthenticateCommand" in missing.errors
    )
    field = ("--proto", cache, "--message", "CacheCommand", "--id", "unary", "--control", "3")
    assert "cannot be the id" in decode_hex(b"\0", *field).errors
    number = (*field[:4], "--id", "77", "--control", "3")
    assert "has no field 77" in decode_hex(b"\0", *number).errors


def test_a_file_that_is_not_there(decode: Decode) -> None:
    failed = decode("/nowhere/a.pcap")
    assert failed.code == 2
    assert failed.errors == "protosocket: cannot read /nowhere/a.pcap: No such file or directory\n"
