"""Workload files: rpc-perf's own TOML layout, read into frozen structs, refusing what this generator cannot
do.

Key names and meanings are rpc-perf's (``[general] [target] [client] [workload] [[workload.keyspace]]``); the
keys that are this project's own are marked so in docs/benchmarks.md.
"""

from __future__ import annotations

import random
import re
from itertools import chain, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from protosocket.cache.transports import TRANSPORTS
from protosocket.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "PROTOCOLS",
    "Client",
    "Command",
    "General",
    "Keyspace",
    "Protocol",
    "Ratelimit",
    "Target",
    "Traffic",
    "Workload",
    "load_workload",
    "parse_duration",
    "parse_workload",
]

PROTOCOLS = tuple(column.name for transport in TRANSPORTS.values() for column in transport.columns)

if TYPE_CHECKING:
    Protocol = str
else:
    Protocol = Literal[PROTOCOLS]
"""Which system is measured; the columns of the talk."""

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]

# What a key of rpc-perf that is refused here would have done, and what to do instead.
HINTS = {
    "admin": "there is no admin listener; results are printed and written with --json",
    "debug": "there is no log to configure",
    "metrics": "results are written with --json",
    "metrics_output": "results are written with --json",
    "request_ratelimit": "set the rate with start in [workload.ratelimit]",
    "reconnect_rate": "connections are kept for the whole run",
    "tls": "the benchmark speaks plain TCP",
    "topics": "only key-value keyspaces are supported",
    "inner_keys_nkeys": "only key-value commands are supported",
    "inner_keys_klen": "only key-value commands are supported",
    "output_format": "results are written with --json",
}

CHOICES: dict[str, tuple[str, ...]] = {
    "protocol": PROTOCOLS,
    "verb": ("get", "set", "delete"),
    "key_distribution": ("uniform", "zipf"),
    "vkind": ("bytes",),
    "ramp": ("linear", "shuffled"),
    "on_ramp_completion": ("stable", "loop", "mirror"),
    "arrival": ("poisson", "fixed"),
}

UNIT_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip


def parse_duration(text: str) -> float:
    """Seconds of a duration as rpc-perf writes it: whole numbers with units, ``"15m"``, ``"1h 30m"``,
    ``"1500ms"``.

    Raises ValueError for anything else.
    """
    parts = re.findall(r"(\d+)\s*([a-zµ]+)\s*", text)
    if not parts or re.sub(r"\s+", "", text) != "".join(number + unit for number, unit in parts):
        raise ValueError(f"{text!r} is not a duration such as '15m', '30s' or '1500ms'")
    unknown = [unit for _, unit in parts if unit not in UNIT_SECONDS]
    if unknown:
        raise ValueError(f"{text!r} is not a duration: unknown unit {unknown[0]!r}")
    return sum(int(number) * UNIT_SECONDS[unit] for number, unit in parts)


class General(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[general]``: what is run, for how long.

    ``interval``, ``duration`` and ``warmup`` (ours) are seconds. The warm-up comes before ``duration`` and is
    in no figure. ``initial_seed`` makes two runs send the same operations in the same order.
    """

    protocol: Protocol
    interval: Positive = 60
    duration: Positive = 300
    warmup: NotNegative = 2
    initial_seed: str = "0"


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[target]``: ``endpoints`` as URLs or ``HOST:PORT``; an empty list starts a router and a storage here.

    With endpoints the protocol is ``protosocket`` or ``grpc-unary``, for what lies behind them is not ours to
    say. ``cache_name`` is the cache (namespace) the keys live in.
    """

    endpoints: tuple[str, ...] = ()
    cache_name: str = "default"


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[client]``: how many connections, and how many requests on each at once.

    ``threads`` is the number of load generator processes that share the connections; ``poolsize`` the
    connections to each endpoint; ``concurrency`` the requests in flight on each; both timeouts are
    milliseconds.
    """

    threads: Positive = 1
    poolsize: Positive = 1
    concurrency: Positive = 1
    connect_timeout: Positive = 10_000
    request_timeout: Positive = 1_000

    def __post_init__(self) -> None:
        """Refuse processes that would have no connection."""
        if self.threads > self.poolsize:
            raise ValueError(
                f"threads = {self.threads} share poolsize = {self.poolsize}: not one connection each"
            )


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of ``commands``: a verb and its share of the keyspace's operations."""

    verb: Literal["get", "set", "delete", "del"]
    weight: NotNegative = 1
    cardinality: Literal[1] = 1


class Keyspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[workload.keyspace]]``: keys and values of one kind, and what is done with them.

    ``klen`` and ``vlen`` are bytes, ``weight`` the share of all operations, ``ttl`` a duration (none: as long
    as the cache allows), ``compression_ratio`` the values' length over the part of them that is random.
    """

    klen: Positive
    nkeys: Positive
    commands: Annotated[tuple[Command, ...], msgspec.Meta(min_length=1)]
    vlen: NotNegative = 0
    weight: Positive = 1
    ttl: str | None = None
    key_distribution: Literal["uniform", "zipf"] = "uniform"
    vkind: Literal["bytes"] = "bytes"
    compression_ratio: Annotated[float, msgspec.Meta(ge=1.0)] = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be generated."""
        if sum(command.weight for command in self.commands) == 0:
            raise ValueError("commands: every weight is 0, so nothing would be sent")
        if self.klen < 8 and self.nkeys > 256**self.klen:
            raise ValueError(f"nkeys = {self.nkeys} different keys do not fit into klen = {self.klen} bytes")
        if self.ttl is not None and parse_duration(self.ttl) <= 0:
            raise ValueError("ttl must be longer than nothing")

    @property
    def ttl_seconds(self) -> float | None:
        """The time to live in seconds, or None for as long as the cache allows."""
        return None if self.ttl is None else parse_duration(self.ttl)


class Ratelimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[workload.ratelimit]``: operations per second offered, whatever the answers do (an open loop).

    ``start`` alone is one rate. With ``end``, ``step`` and ``interval`` (seconds) the rate climbs from start
    to end; ``ramp`` and ``on_ramp_completion`` are rpc-perf's. ``arrival`` (ours) spaces the requests at
    random, as independent users do (``poisson``), or evenly (``fixed``).
    """

    start: Positive
    end: Positive | None = None
    step: Positive | None = None
    interval: Positive | None = None
    ramp: Literal["linear", "shuffled"] = "linear"
    on_ramp_completion: Literal["stable", "loop", "mirror"] = "stable"
    arrival: Literal["poisson", "fixed"] = "poisson"

    def __post_init__(self) -> None:
        """Refuse half a ramp."""
        given = [value is not None for value in (self.end, self.step, self.interval)]
        if any(given) and not all(given):
            raise ValueError("a ramp needs end, step and interval")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"the ramp ends (end = {self.end}) below its start = {self.start}")

    def phases(self, seconds: float, seed: str = "0") -> list[tuple[float, float]]:
        """The ramp cut to ``seconds``: (seconds, operations per second) one after the other."""
        if self.end is None or self.step is None or self.interval is None:
            return [(seconds, float(self.start))]
        ramp = list(range(self.start, self.end + 1, self.step))
        if self.ramp == "shuffled":
            random.Random(seed).shuffle(ramp)
        after: Iterator[int]
        if self.on_ramp_completion == "stable":
            after = cycle(ramp[-1:])
        elif self.on_ramp_completion == "loop":
            after = cycle(ramp)
        else:
            after = cycle(ramp[::-1] + ramp)
        whole, rest = divmod(seconds, self.interval)
        lengths = [float(self.interval)] * int(whole) + ([rest] if rest > 0 else [])
        rates = islice(chain(ramp, after), len(lengths))
        return [(length, float(rate)) for length, rate in zip(lengths, rates, strict=True)]


class Traffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[workload]``: the keyspaces, and the rate if there is one.

    Without ``ratelimit`` every connection keeps ``client.concurrency`` requests in flight (a closed loop).
    ``prefill`` (ours) sets every key once before the warm-up. ``threads`` can only be 1: operations are
    generated before the run.
    """

    keyspace: Annotated[tuple[Keyspace, ...], msgspec.Meta(min_length=1)]
    threads: Literal[1] = 1
    ratelimit: Ratelimit | None = None
    prefill: bool = True


class Workload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole workload file."""

    general: General
    workload: Traffic
    target: Target = Target()
    client: Client = Client()

    def __post_init__(self) -> None:
        """Refuse a router's inner hop that is not ours to choose."""
        if self.target.endpoints and self.general.protocol not in ("protosocket", "grpc-unary"):
            raise ValueError(
                f"general.protocol = {self.general.protocol!r} says how a router reaches its storage,"
                " which is only ours to say for programs started here: leave target.endpoints empty, or take"
                " 'protosocket' or 'grpc-unary'"
            )


def load_workload(path: str | Path) -> Workload:
    """The workload in the file ``path``.

    Raises OptionError, naming file and key, for a key or value that is not supported or not TOML, and OSError
    if the file cannot be read.
    """
    return parse_workload(Path(path).read_bytes(), source=str(path))


def parse_workload(text: str | bytes, source: str = "workload") -> Workload:
    """The workload in TOML ``text``; ``source`` names it in errors. Raises OptionError as ``load_workload``
    does.
    """
    try:
        return msgspec.toml.decode(text, type=Workload)
    except msgspec.ValidationError as error:
        raise OptionError(f"{source}: {explain(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{source}: not a TOML file: {error}") from error


def explain(message: str) -> str:
    """A msgspec validation message as a sentence that starts with the key it is about."""
    text, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").removeprefix(".").replace("[...]", "[]")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text)
    if unknown:
        key = unknown[1]
        name = f"{where}.{key}" if where else key
        hint = HINTS.get(key)
        return f"{name}: not supported" + (f": {hint}" if hint else "")
    if text.startswith("Invalid enum value") and where.rpartition(".")[2] in CHOICES:
        text = f"{text}, one of {', '.join(CHOICES[where.rpartition('.')[2]])} is expected"
    missing = re.fullmatch(r"Object missing required field `(.*)`", text)
    if missing:
        return f"{where}.{missing[1]}: missing".removeprefix(".")
    return f"{where}: {text}" if where else text
