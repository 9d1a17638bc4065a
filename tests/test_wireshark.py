"""tools/wireshark/protosocket.lua in real tshark: the recorded cache, every cut of a stream, rubbish."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tests.captures import (
    SERVER_PORT,
    Demo,
    Wire,
    record_demo,
    record_grpc,
    why_no_loopback_capture,
    write_pcap,
)
from tests.oracle.framing import Framing, frame
from tests.patience import HANG

from protosocket.cache.cache_items_pb2 import ItemAnswer, ItemOperation
from protosocket.cache.protosocket_cache_pb2 import (
    NOT_FOUND,
    CacheCommand,
    CacheResponse,
    CommandError,
    GetCommand,
    GetResponse,
    ItemCommand,
    ItemResponse,
    Unary,
)
from protosocket.grpc import envelope_pb2

ROOT = Path(__file__).resolve().parent.parent
DISSECTOR = ROOT / "tools" / "wireshark" / "protosocket.lua"
MALFORMED = "protosocket.malformed"
ERROR, MALFORMED_GROUP = "8388608", "117440512"

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (Debian: apt-get install tshark)"
)


@lru_cache
def recorded(how: str, folder: Path) -> Demo:
    return record_demo(how, folder)


@pytest.fixture(params=["dumpcap", "proxy"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The recorded cache."""
    if request.param == "dumpcap" and (reason := why_no_loopback_capture()) is not None:
        pytest.skip(reason)
    return recorded(request.param, tmp_path_factory.getbasetemp())


def tshark(capture: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["tshark", "-n", "-X", f"lua_script:{DISSECTOR}", "-r", str(capture), *arguments],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        env={"HOME": str(capture.parent), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    assert "Lua" not in done.stderr, done.stderr
    assert "Lua Error" not in done.stdout, done.stdout
    return done.stdout


def fields(capture: Path, names: Sequence[str], *arguments: str) -> list[list[list[str]]]:
    """The values of the fields ``names`` in each packet with a message."""
    wanted = [argument for name in names for argument in ("-e", name)]
    format = ("-T", "fields", "-E", "separator=|", "-E", "aggregator=,", "-Y", "protosocket")
    lines = tshark(capture, "-2", *format, *wanted, *arguments).splitlines()
    return [[value.split(",") if value else [] for value in line.split("|")] for line in lines]


def varint_framed(*messages: Message) -> bytes:
    return b"".join(frame(Framing.VARINT, message.SerializeToString()) for message in messages)


def get(id: int, key: bytes = b"key") -> CacheCommand:
    return CacheCommand(message_id=id, unary=Unary(get=GetCommand(namespace="n", key=key)))


@pytest.mark.slow
def test_the_recorded_cache(demo: Demo) -> None:
    ports = f"protosocket_cache.ports:{demo.router},{demo.storage}"
    names = ["frame.number", "protosocket.direction", "protosocket.id", "protosocket.request_in"]
    names += ["protosocket.response_in", "protosocket_cache.key", "protosocket_cache.value", "tcp.dstport"]
    names += ["_ws.col.Info", MALFORMED, "protosocket.time"]
    rows = fields(demo.path, names, "-o", ports)
    assert len(rows) == 4 * len(demo.keys)
    requests = {row[0][0]: row for row in rows if row[1] == ["0"]}
    responses = {row[0][0]: row for row in rows if row[1] == ["1"]}
    for port in (demo.router, demo.storage):
        keys = [bytes.fromhex(row[5][0]).decode() for row in requests.values() if row[7] == [str(port)]]
        assert tuple(keys) == demo.keys
    for number, row in responses.items():
        request = requests[row[3][0]]
        assert request[4] == [number]
        assert request[2] == row[2]
    values = [bytes.fromhex(value) for row in responses.values() for value in row[6]]
    assert values == [b"hello"] * 2 + [b"x" * demo.big] * 2

    infos = [",".join(row[8]) for row in rows]
    assert infos[:4] == ["Request 1 set greeting"] * 2 + ["Response 1 set"] * 2
    assert infos[-1] == "Response 1 error NOT_FOUND"
    assert not [row for row in rows if row[9]]
    assert all(0 <= float(responses[number][10][0]) < 30 for number in responses)


@pytest.mark.slow
def test_tshark_and_decode_agree(demo: Demo) -> None:
    ports = [argument for port in (demo.router, demo.storage) for argument in ("--port", str(port))]
    command = [sys.executable, "-m", "protosocket", "decode", "--cache", "--json", str(demo.path), *ports]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True).stdout
    records = [json.loads(line) for line in printed.splitlines()]
    names = ["protosocket.direction", "protosocket.id", "protosocket.control", "protosocket.time"]
    rows = fields(demo.path, names, "-o", f"protosocket_cache.ports:{demo.router},{demo.storage}")
    shown = [tuple(value for values in row[:3] for value in values) for row in rows]
    assert shown == [(str(int(r["direction"] == "response")), str(r["id"]), "0") for r in records]
    elapsed = [float(row[3][0]) * 1000 for row in rows if row[3]]
    assert elapsed == pytest.approx([r["elapsed_ms"] for r in records if "elapsed_ms" in r], abs=0.002)


def test_every_cut_of_a_stream(tmp_path: Path) -> None:
    commands = [get(7), get(300), get(2**64 - 1), CacheCommand(message_id=9, control_code=1), CacheCommand()]
    answers = [CacheResponse(message_id=300), CacheResponse(message_id=7, control_code=2)]
    content = {"server": varint_framed(*commands), "client": varint_framed(*answers)}
    wires = []
    for size in range(1, len(content["server"]) + 1):
        wire = Wire(40000 + size).open()
        for to, data in content.items():
            wire.send(to, *(data[at : at + size] for at in range(0, len(data), size)))  # type: ignore[arg-type]
        wires.append(wire)
    capture = write_pcap(tmp_path / "cuts.pcap", [packet for wire in wires for packet in wire.packets])
    names = ["tcp.stream", "protosocket.direction", "protosocket.id", "protosocket.control"]
    seen: dict[str, list[tuple[str, str, str]]] = {}
    for stream, *row in fields(capture, names):
        seen.setdefault(stream[0], []).extend(zip(*row, strict=True))
    ids = ["7", "300", str(2**64 - 1), "9", "0"]
    expected = [("0", id, "1" if id == "9" else "0") for id in ids] + [("1", "300", "0"), ("1", "7", "2")]
    assert list(seen.values()) == [expected] * len(wires)
    assert tshark(capture, "-Y", MALFORMED) == ""


@pytest.mark.parametrize(
    ("protocol", "content", "reason"),
    [
        ("protosocket_cache", b"\xff" * 12, "longer than ten bytes"),
        ("protosocket_cache", b"\xff\xff\xff\xff\x0f", "over the limit"),
        ("protosocket_cache", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "over the limit"),
        ("protosocket_cache", b"\x02\x10\x80", "a number does not end"),
        ("protosocket_cache", b"\x02\x00\x01", "the number 0"),
        ("protosocket_cache", b"\x02\x52\x05", "longer than the message"),
        ("protosocket_cache", b"\x04\x52\x02\x12\x05", "longer than the message"),
        ("protosocket_cache", b"\x02\x50\x05", "another wire type"),
        ("protosocket_grpc", b"\x02\x0b\x0c", "wire type 3"),
        ("protosocket_msgpack", b"\x92\x01\x02", "does not begin with 0xce"),
        ("protosocket_msgpack", b"\xce\0\0\0\x02\x93\x01", "no whole MessagePack value"),
        ("protosocket_msgpack", b"\xce\xff\xff\xff\xff\x93\x01", "over the limit"),
    ],
)
def test_malformed_bytes_are_expert_information(
    tmp_path: Path, protocol: str, content: bytes, reason: str
) -> None:
    wire = Wire().open().send("server", content).send("client", content)
    capture = write_pcap(tmp_path / "malformed.pcap", wire.packets)
    as_protocol = f"tcp.port=={SERVER_PORT},{protocol}"
    names = ("_ws.expert.message", "_ws.expert.severity", "_ws.expert.group")
    rows = fields(capture, names, "-d", as_protocol)
    assert len(rows) == 2
    for texts, severities, groups in rows:
        assert reason in ",".join(texts)
        assert ERROR in severities
        assert MALFORMED_GROUP in groups


@pytest.mark.parametrize(
    "protocol", ["protosocket", "protosocket_cache", "protosocket_msgpack", "protosocket_grpc"]
)
def test_rubbish_is_no_fault_of_the_dissector(tmp_path: Path, protocol: str) -> None:
    chance = random.Random(5)
    first = Wire().open()
    wires = [Wire(40000 + number, packets=first.packets).open() for number in range(1, 60)]
    seeds = [
        varint_framed(get(7)),
        varint_framed(
            CacheResponse(message_id=7, error=CommandError(code=NOT_FOUND, message="Key not found"))
        ),
        varint_framed(envelope_pb2.Envelope(id=1, method=1, path="/a/b", payload=b"\x08\x01")),
        b"\xce\0\0\0\x07\x93\x07\0\xa3abc",
        b"\xce\0\0\0\x08\x82\xa2id\x07\xa1c\0",
    ]
    for wire in wires:
        for _ in range(30):
            data = bytearray(chance.choice(seeds))
            for _ in range(chance.randrange(4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            cut = chance.randrange(len(data))
            wire.send(chance.choice(["server", "client"]), bytes(data[:cut]), bytes(data[cut:]))
    capture = write_pcap(tmp_path / "rubbish.pcap", first.packets)
    shown = tshark(capture, "-V", "-d", f"tcp.port=={SERVER_PORT},{protocol}")
    assert shown.count("Protosocket") > 500


@pytest.mark.parametrize(("values", "id", "control"), [([1, 7], "1", "0"), ({"c": 1, "n": 7}, "n", "c")])
def test_messagepack(tmp_path: Path, values: object, id: str, control: str) -> None:
    payload = msgspec.msgpack.encode(values)
    framed = b"\xce" + len(payload).to_bytes(4, "big") + payload
    capture = write_pcap(tmp_path / "messagepack.pcap", Wire().open().send("client", framed * 2).packets)
    settings = {"ports": SERVER_PORT, "response_id": id, "response_control": control}
    preferences = [f"-oprotosocket_msgpack.{name}:{value}" for name, value in settings.items()]
    names = ["protosocket.direction", "protosocket.id", "protosocket.control"]
    # The cache has the port by default.
    assert fields(capture, names, "-o", "protosocket_cache.ports:", *preferences) == [
        [["1", "1"], ["7", "7"], ["1", "1"]]
    ]


def test_own_protobuf_messages(tmp_path: Path) -> None:
    wire = (
        Wire().open().send("server", varint_framed(get(300))).send("client", varint_framed(CacheResponse()))
    )
    capture = write_pcap(tmp_path / "own.pcap", wire.packets)
    settings = [
        f"-dtcp.port=={SERVER_PORT},protosocket",
        "-oprotosocket.request_id:2",
        "-oprotosocket.request_control:3",
        "-oprotosocket.request_type:protosocket.cache.CacheCommand",
        f'-ouat:protobuf_search_paths:"{ROOT / "proto"}","TRUE"',
    ]
    assert fields(capture, ["protosocket.id", "protosocket.length"], *settings) == [
        [["300"], [str(get(300).ByteSize())]],
        [["0"], ["0"]],
    ]
    shown = tshark(capture, "-O", "protobuf", *settings)
    assert "Message: protosocket.cache.GetCommand" in shown
    assert "namespace = n" in shown


def test_grpc_calls(tmp_path: Path) -> None:
    hello = envelope_pb2.Envelope(hello=envelope_pb2.Hello(version=1))
    path = "/protosocket.cache.Cache/Get"
    first = envelope_pb2.Envelope(id=1, method=1, path=path, payload=get(0).SerializeToString())
    second = envelope_pb2.Envelope(id=2, method=1, payload=get(0).SerializeToString())
    answer = envelope_pb2.Envelope(id=1, payload=CacheResponse(get=GetResponse()).SerializeToString())
    failure = envelope_pb2.Envelope(id=2, control=2, status=envelope_pb2.Status(code=5, details="none"))
    wire = Wire().open().send("server", varint_framed(hello, first)).send("client", varint_framed(hello))
    wire.send("server", varint_framed(second)).send("client", varint_framed(failure, answer))
    capture = write_pcap(tmp_path / "grpc.pcap", wire.packets)
    settings = (
        f"-dtcp.port=={SERVER_PORT},protosocket_grpc",
        f'-ouat:protobuf_search_paths:"{ROOT / "proto"}","TRUE"',
    )
    infos = tshark(capture, "-Y", "protosocket", "-T", "fields", "-e", "_ws.col.Info", *settings)
    assert infos.splitlines() == [
        f"Request 0 hello, Request 1 {path}",
        "Response 0 hello",
        f"Request 2 {path}",
        f"Response 2 End {path} NOT_FOUND, Response 1 {path}",
    ]
    linked = fields(capture, ["frame.number", "protosocket.request_in"], *settings)
    assert linked[3][1] == [*linked[2][0], *linked[0][0]]
    shown = tshark(capture, "-O", "protobuf", *settings)
    assert shown.count("Message: protosocket.cache.CacheCommand") == 2
    assert shown.count("Message: protosocket.cache.CacheResponse") == 1


def filled(kind: Any, choices: dict[str, str] | None = None) -> Any:
    """A message with every field set; of a oneof the one that ``choices`` names, else the last one."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        name = (choices or {}).get(field.containing_oneof.name) if field.containing_oneof else None
        if name not in (None, field.name):
            continue
        value: Any
        if field.message_type is not None:
            value = filled(message_factory.GetMessageClass(field.message_type), choices)
        elif field.type == FieldDescriptor.TYPE_STRING:
            value = "text"
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = b"\x08\x01"  # a message, where one is expected
        else:
            value = 0 if field.name in ("control", "control_code") else 1
        if field.is_repeated:
            getattr(message, field.name).append(value)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def choices_of(kind: Any, oneof: str) -> list[str]:
    return [field.name for field in kind.DESCRIPTOR.oneofs_by_name[oneof].fields]


def test_it_knows_every_field_of_the_protos(tmp_path: Path) -> None:
    requests = [filled(CacheCommand, {"command": name}) for name in choices_of(Unary, "command")]
    responses = [filled(CacheResponse, {"kind": name}) for name in choices_of(CacheResponse, "kind")]
    wire = Wire().open()
    for message in requests:
        wire.send("server", varint_framed(message))
    for message in responses:
        wire.send("client", varint_framed(message))
    envelopes = Wire(server_port=9000).open().send("server", varint_framed(filled(envelope_pb2.Envelope)))
    capture = write_pcap(tmp_path / "every.pcap", wire.packets + envelopes.packets)
    settings = "-oprotosocket_grpc.ports:9000"
    shown = tshark(capture, "-O", "protosocket,protosocket_cache,protosocket_grpc", settings)
    assert re.findall(r"^ +Field \d+ .*", shown, re.MULTILINE) == []
    assert tshark(capture, "-Y", MALFORMED, settings) == ""
    count = len(requests) + len(responses) + 1
    assert len(re.findall("^Protosocket, ", shown, re.MULTILINE)) == count


def test_items_are_named_by_their_operation(tmp_path: Path) -> None:
    wire = Wire().open()
    operations = choices_of(ItemOperation, "operation")
    for name in operations:
        operation = filled(ItemOperation, {"operation": name}).SerializeToString()
        command = CacheCommand(unary=Unary(item=ItemCommand(key=b"key", operation=operation)))
        wire.send("server", varint_framed(command))
    answers = choices_of(ItemAnswer, "answer")
    for name in answers:
        answer = filled(ItemAnswer, {"answer": name}).SerializeToString()
        wire.send("client", varint_framed(CacheResponse(item=ItemResponse(answer=answer))))
    wire.send("server", varint_framed(CacheCommand(unary=Unary(item=ItemCommand(operation=b"")))))
    wire.send("client", varint_framed(CacheResponse(item=ItemResponse())))
    capture = write_pcap(tmp_path / "items.pcap", wire.packets)
    rows = fields(capture, ["_ws.col.Info"])
    expected = [f"Request 0 {name} key" for name in operations] + [f"Response 0 {name}" for name in answers]
    expected += ["Request 0", "Response 0"]
    assert [row[0] for row in rows] == [[text] for text in expected]


async def test_recorded_grpc_calls(tmp_path: Path) -> None:
    capture = tmp_path / "grpc.pcap"
    port = await record_grpc(capture)
    names = ["frame.number", "protosocket.direction", "protosocket.id", "protosocket.request_in"]
    names += ["protosocket_grpc.status.code", MALFORMED, "protosocket_grpc.path"]
    rows = fields(capture, names, f"-oprotosocket_grpc.ports:{port}")
    assert not [row for row in rows if row[5]]
    assert [path for row in rows for path in row[6]] == ["/protosocket.cache.Cache/Get"]
    answers = [row for row in rows if row[1] == ["1"] and row[2] != ["0"]]
    requests = {row[0][0]: row[2] for row in rows if "0" in row[1]}
    assert len(answers) == 3
    for answer in answers:
        assert answer[2][0] in requests[answer[3][0]]
    assert [answer[4] for answer in answers] == [[], [], ["5"]]
