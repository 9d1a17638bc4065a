"""The examples: each runs as a real process and says what it should; their generated code is current."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from tests.patience import HANG

EXAMPLES = Path(__file__).parent.parent / "examples"
GREETER = EXAMPLES / "rpc_protobuf"
RMEMSTORE = EXAMPLES / "rmemstore"

# What each program prints that needs no other beside it.
ALONE = {
    "echo.py": ["100 notes came back, 1300 bytes"],
    "prices.py": [
        *["ACME is at [0-9]+[.][0-9]{2}"] * 3,
        "the server has ended the stream",
        "a deadline covers the whole stream",
        "an unknown symbol is refused",
    ],
    "cache_client.py": ["en: hello", "fr: not there", r"deleted: Miss\(\)"],
}


def run(path: Path, *arguments: str) -> list[str]:
    """The lines a program prints; it has to end well and to say nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", path, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


@contextmanager
def serving(*command: str | Path) -> Iterator[str]:
    """A server program and the URL it prints; SIGTERM has to end it well."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield line.removeprefix("listening on ").strip()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=HANG)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("name", "expected"), ALONE.items(), ids=list(ALONE))
def test_example_says_what_it_should(name: str, expected: list[str]) -> None:
    lines = run(EXAMPLES / name)
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line)


def test_greeter_server_and_client() -> None:
    with serving(GREETER / "server.py", "tcp://127.0.0.1:0") as url:
        assert run(GREETER / "client.py", url) == [
            "Hello, Ada! You are number 1 on this connection.",
            "Hello 1, Grace!",
            "Hello 2, Grace!",
            "Hello 3, Grace!",
            "The server did not want to greet nobody.",
        ]


def test_rmemstore_server_and_client() -> None:
    with serving(RMEMSTORE / "server.py", "tcp://127.0.0.1:0") as url:
        assert run(RMEMSTORE / "client.py", url) == [
            "greeting: 'hello'",
            r"bytes: b'\x00\x01\x02'",
            r"nested: {'outer': {'blob': b'\xff', 'inner': {'text': 'deep down'}}}",
            "nothing: None",
            "1000 values at once",
        ]


def test_cache_client_uses_the_router_it_is_given() -> None:
    program = ("-m", "protosocket")
    listen = ("--listen", "tcp://127.0.0.1:0")
    with (
        serving(*program, "storage", *listen) as storage,
        serving(*program, "router", *listen, "--storage", storage) as router,
    ):
        assert run(EXAMPLES / "cache_client.py", router)[0] == "en: hello"


@pytest.mark.parametrize("proto", sorted(EXAMPLES.rglob("*.proto")), ids=lambda path: path.stem)
def test_generated_messages_are_those_of_the_proto_file(proto: Path) -> None:
    """Without a compiler: names, types and numbers of the fields are compared."""
    spec = spec_from_file_location(f"{proto.stem}_pb2", proto.with_name(f"{proto.stem}_pb2.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    generated = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(generated)
    fields: dict[str, list[tuple[str, str, int]]] = {}
    for line in proto.read_text().splitlines():
        if message := re.match(r"message (\w+)", line):
            fields[message[1]] = []
        elif field := re.match(r" +(\w+|map<.+>) (\w+) = (\d+);", line):
            fields[list(fields)[-1]].append((field[1], field[2], int(field[3])))
    assert fields == {
        message.name: [(type_of(field, message), field.name, field.number) for field in message.field]
        for message in generated.message_type
    }


def type_of(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    """A field's type as a .proto file has it."""
    if not field.type_name:
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = field.type_name.rpartition(".")[2]
    for entry in message.nested_type:
        if entry.name == name and entry.options.map_entry:
            return f"map<{', '.join(type_of(part, entry) for part in entry.field)}>"
    return name


def test_every_example_is_listed() -> None:
    programs = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.rglob("*.py")
        if "asyncio.run(" in path.read_text()
    }
    listed = set(re.findall(r"`python examples/([\w/.]+)`", (EXAMPLES / "README.md").read_text()))
    assert listed == programs
