"""The program ``protosocket decode``: prints the messages in a capture or a hex dump."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import click
from google.protobuf.message import Message

from protosocket.cli._parameters import TEXT
from protosocket.cli._standard import require_output, standard_input
from protosocket.decode import (
    FRAMINGS,
    Direction,
    Event,
    Framer,
    LeftOut,
    Problem,
    Reader,
    RpcFields,
    cache_reader,
    capture_events,
    dump_events,
    grpc_reader,
    is_capture,
    json_line,
    load_schema,
    reader_of,
    text_lines,
)
from protosocket.errors import OptionError
from protosocket.options import parse_size

__all__ = ["command"]

_JOINED = (
    "protosocket: {connection.client} > {connection.server} was open before the capture began; "
    "what was captured first is taken for the beginning of a message"
)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="decode")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@click.option(
    "--format",
    type=click.Choice(list(FRAMINGS)),
    default="protobuf",
    show_default=True,
    help="How messages are told apart, and what is in them.",
)
@click.option("--port", "ports", type=click.IntRange(1, 65535), multiple=True, help="A server's port.")
@click.option("--cache", is_flag=True, help="The messages are the cache's.")
@click.option("--grpc", is_flag=True, help="The messages are gRPC calls over protosocket.")
@click.option(
    "--message", type=TEXT, metavar="TYPE[,TYPE]", help="Types of the requests and of the responses."
)
@click.option("--proto", "protos", type=_FILE, multiple=True, help="A .proto file or a descriptor set.")
@click.option(
    "--proto-path",
    "includes",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    help="Where .proto files find what they import.",
)
@click.option(
    "--id", "id_", type=TEXT, metavar="FIELD[,FIELD]", help="The id's field in requests and in responses."
)
@click.option("--control", type=TEXT, metavar="FIELD[,FIELD]", help="The control code's field in both.")
@click.option(
    "--direction",
    type=click.Choice(["request", "response"]),
    help="What a hex dump holds; without it requests.",
)
@click.option("--limit", metavar="SIZE", default="4MiB", show_default=True, help="The largest message.")
@click.option("--verbose", "-v", is_flag=True, help="Print whole messages.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def command(
    file: Path,
    format: str,
    ports: Sequence[int],
    cache: bool,
    grpc: bool,
    message: str | None,
    protos: Sequence[Path],
    includes: Sequence[Path],
    id_: str | None,
    control: str | None,
    direction: Direction | None,
    limit: str,
    verbose: bool,
    as_json: bool,
) -> None:
    """Print the messages in FILE, a pcap or pcapng capture or a hex dump (default: standard input).

    A FIELD is a name or, without types, a number; of a MessagePack array the index. Exits with 1 if there
    were bytes that are no messages.
    """
    require_output()
    most = parse_size(limit)
    fields = _fields(id_, control)
    if includes and not protos:
        raise OptionError("--proto-path is where the files of --proto find others: give --proto too")
    if verbose and as_json:
        raise OptionError("--json shows whole messages: leave --verbose out")
    if cache:
        if format != "protobuf" or grpc or message or protos or fields:
            raise OptionError("--cache has its own format, types and fields: leave those options out")
        reader = cache_reader()
    elif grpc:
        if format != "protobuf" or message or fields:
            raise OptionError("--grpc has its own format and fields, and takes types from --proto's services")
        reader = grpc_reader(load_schema(protos, includes) if protos else None)
    else:
        reader = reader_of(format, _types(message, protos, includes), fields)

    def framer() -> Framer:
        return Framer(FRAMINGS[format], most)

    left_out = LeftOut()
    with _opened(file) as stream:
        if is_capture(stream):
            if direction is not None:
                raise OptionError("a capture shows who sent what: --direction is for hex dumps")
            events = capture_events(stream, framer, ports, left_out, sniff=format != "lines")
        else:
            if ports:
                raise OptionError("a hex dump has no ports: --port is for captures")
            events = dump_events(stream, framer(), direction or "request")
        problems = _print(events, reader, verbose=verbose, as_json=as_json)
    sys.stdout.flush()
    summary = left_out.summary()
    if summary is not None:
        click.echo(f"protosocket: {summary}", err=True)
    if problems:
        click.echo(f"protosocket: {problems} problem{'s' * (problems != 1)} found", err=True)
    if left_out.interrupted:
        raise KeyboardInterrupt
    if problems:
        sys.exit(1)


def _print(events: Iterator[Event], reader: Reader, *, verbose: bool, as_json: bool) -> int:
    """Print a line for each message and problem; gives the number of problems."""
    problems = 0
    began: float | None = None
    joined: set[int] = set()
    for event in events:
        connection = event.connection
        if connection is not None and connection.joined and connection.number not in joined:
            joined.add(connection.number)
            click.echo(_JOINED.format(connection=connection), err=True)
        began = event.time if began is None else began
        for record in reader.read(event):
            problems += isinstance(record.event.what, Problem)
            print(json_line(record) if as_json else text_lines(record, began, verbose=verbose))
    return problems


@contextmanager
def _opened(file: Path) -> Iterator[BufferedReader]:
    if str(file) == "-":
        yield standard_input()  # type: ignore[misc]
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise OptionError(f"cannot read {file}: {error.strerror}") from error
    with stream:
        yield stream


def _pair(option: str, value: str) -> tuple[str, str]:
    """What is said of requests and of responses, the same of both if there is no comma."""
    request, comma, response = (part.strip() for part in value.partition(","))
    if not request or (comma and not response):
        raise OptionError(f"--{option} is one name or two with a comma between them, not {value!r}")
    return request, response or request


def _fields(id_: str | None, control: str | None) -> tuple[RpcFields, RpcFields] | None:
    if id_ is None and control is None:
        return None
    if id_ is None or control is None:
        raise OptionError("RPC messages have both: give --id and --control")
    ids, controls = _pair("id", id_), _pair("control", control)
    return RpcFields(ids[0], controls[0]), RpcFields(ids[1], controls[1])


def _types(
    message: str | None, protos: Sequence[Path], includes: Sequence[Path]
) -> tuple[type[Message], type[Message]] | None:
    if message is None and not protos:
        return None
    if message is None or not protos:
        raise OptionError("types need both: --message names them and --proto has them")
    schema = load_schema(protos, includes)
    request, response = _pair("message", message)
    return schema.message(request), schema.message(response)
