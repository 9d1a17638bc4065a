"""Workload files: rpc-perf's layout is read, and whatever is not supported is refused by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protosocket.bench.operations import Verb, generate
from protosocket.bench.schedule import arrivals
from protosocket.bench.workload import (
    Client,
    Command,
    General,
    Keyspace,
    Ratelimit,
    Target,
    Traffic,
    Workload,
    load_workload,
    parse_duration,
    parse_workload,
)
from protosocket.errors import OptionError

EXAMPLES = sorted((Path(__file__).parent.parent / "workloads").glob("*.toml"))
SMALLEST: dict[str, Any] = {
    "general": {"protocol": "protosocket"},
    "workload": {"keyspace": [{"klen": 32, "nkeys": 10, "commands": [{"verb": "get"}]}]},
}


def toml(changes: dict[str, Any] | None = None) -> bytes:
    """The smallest workload with ``changes``, a value for each dotted path; ``0`` in a path is the first
    entry.
    """
    plain: Any = msgspec.json.decode(msgspec.json.encode(SMALLEST))
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = plain
        for parent in parents:
            place = place[0] if parent == "0" else place.setdefault(parent, {})
        place[last] = value
    return "\n".join(pairs(plain)).encode()


def pairs(table: dict[str, Any]) -> list[str]:
    return [f"{msgspec.json.encode(key).decode()} = {inline(value)}" for key, value in table.items()]


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(pairs(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return msgspec.json.encode(value).decode()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_workloads(path: Path) -> None:
    workload = load_workload(path)
    assert workload.workload.keyspace[0].klen == 32
    assert workload.workload.keyspace[0].vlen == 128


def test_what_is_read_from_rpc_perfs_layout() -> None:
    workload = parse_workload(
        toml(
            {
                "general.interval": 60,
                "general.duration": 3600,
                "target.endpoints": ["127.0.0.1:7300"],
                "target.cache_name": "developer",
                "client.threads": 2,
                "client.poolsize": 2,
                "client.concurrency": 20,
                "client.connect_timeout": 10000,
                "client.request_timeout": 500,
                "workload.threads": 1,
                "workload.ratelimit.start": 50,
                "workload.keyspace.0.ttl": "15m",
                "workload.keyspace.0.compression_ratio": 1.0,
                "workload.keyspace.0.vkind": "bytes",
            }
        )
    )
    assert (workload.general.interval, workload.general.duration) == (60, 3600)
    assert workload.target.endpoints == ("127.0.0.1:7300",)
    assert (workload.client.poolsize, workload.client.concurrency) == (2, 20)
    assert workload.workload.keyspace[0].ttl_seconds == 900
    assert workload.workload.ratelimit == Ratelimit(start=50)


def test_a_workload_does_not_change() -> None:
    workload = parse_workload(toml())
    with pytest.raises(AttributeError):
        workload.general.duration = 5  # type: ignore[misc]


SECTIONS = ("", "general.", "target.", "client.", "workload.", "workload.ratelimit.", "workload.keyspace.0.")
KNOWN = {
    field
    for table in (Workload, General, Target, Client, Traffic, Ratelimit, Keyspace)
    for field in table.__struct_fields__
}


@settings(deadline=None)
@given(
    section=st.sampled_from(SECTIONS),
    key=st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12).filter(lambda key: key not in KNOWN),
    value=st.one_of(st.integers(0, 9), st.booleans(), st.text("abc", max_size=3)),
)
def test_a_key_that_is_not_supported_is_refused_by_name(section: str, key: str, value: object) -> None:
    changes: dict[str, Any] = {f"{section}{key}": value}
    if section == "workload.ratelimit.":
        changes["workload.ratelimit.start"] = 1
    with pytest.raises(OptionError) as caught:
        parse_workload(toml(changes), source="my.toml")
    where = f"{section}{key}".replace("keyspace.0", "keyspace[0]")
    assert str(caught.value).startswith(f"my.toml: {where}: not supported")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.admin": "127.0.0.1:9090"}, "general.admin: .*: there is no admin listener"),
        ({"client.request_ratelimit": 5}, "client.request_ratelimit: .*: set the rate with start"),
        ({"tls": {}}, "tls: not supported: the benchmark speaks plain TCP"),
        (
            {"general.protocol": "memcache"},
            "general.protocol: .*'memcache', one of grpc-unary, .* is expected",
        ),
        (
            {"workload.keyspace.0.commands": [{"verb": "ping"}]},
            r"workload.keyspace\[0\].commands\[0\].verb: ",
        ),
        ({"workload.keyspace.0.commands": []}, r"workload.keyspace\[0\].commands: .*length >= 1"),
        ({"workload.keyspace.0.commands": [{"verb": "get", "weight": 0}]}, "every weight is 0"),
        ({"workload.keyspace.0.vkind": "i64"}, "vkind: Invalid enum value 'i64', one of bytes is expected"),
        ({"workload.keyspace.0.ttl": "soon"}, "'soon' is not a duration"),
        ({"workload.keyspace.0.ttl": "0s"}, "ttl must be longer than nothing"),
        ({"workload.keyspace.0.klen": 1, "workload.keyspace.0.nkeys": 300}, "300 different keys"),
        ({"workload.keyspace": []}, "workload.keyspace: "),
        ({"workload.threads": 4}, "workload.threads: "),
        ({"workload.ratelimit.start": 0}, "workload.ratelimit.start: Expected `int` >= 1"),
        (
            {"workload.ratelimit": {"start": 1, "end": 5}},
            "workload.ratelimit: a ramp needs end, step and interval",
        ),
        ({"workload.ratelimit": {"start": 9, "end": 5, "step": 1, "interval": 1}}, "below its start"),
        ({"workload.ratelimit": {"end": 5}}, "workload.ratelimit.start: missing"),
        ({"client.threads": 4}, "client: threads = 4 share poolsize = 1"),
        ({"general.protocol": "grpc-stream", "target.endpoints": ["a:1"]}, "leave target.endpoints"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_workload(toml(changes))


@pytest.mark.parametrize("text", [b"[general", b"a = = 1", b"\xff"])
def test_what_is_not_toml_is_refused(text: bytes) -> None:
    with pytest.raises(OptionError, match=r"^w\.toml: not a TOML file"):
        parse_workload(text, source="w.toml")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["h", "m", "s", "ms"]), st.integers(0, 999), min_size=1))
def test_durations_add_up(parts: dict[str, int]) -> None:
    seconds = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    text = " ".join(f"{number}{unit}" for unit, number in parts.items())
    assert parse_duration(text) == pytest.approx(
        sum(seconds[unit] * number for unit, number in parts.items())
    )


@settings(deadline=None)
@given(
    start=st.integers(1, 50),
    more=st.integers(0, 100),
    step=st.integers(1, 30),
    interval=st.integers(1, 5),
    ramp=st.sampled_from(["linear", "shuffled"]),
    after=st.sampled_from(["stable", "loop", "mirror"]),
    seconds=st.integers(1, 40),
)
def test_a_ramp_fills_the_run_with_its_own_rates(
    start: int, more: int, step: int, interval: int, ramp: Any, after: Any, seconds: int
) -> None:
    ratelimit = Ratelimit(
        start=start, end=start + more, step=step, interval=interval, ramp=ramp, on_ramp_completion=after
    )
    phases = ratelimit.phases(float(seconds), "seed")
    assert sum(length for length, _ in phases) == pytest.approx(seconds)
    rates = list(range(start, start + more + 1, step))
    got = [int(rate) for _, rate in phases]
    assert set(got) <= set(rates)
    if ramp == "linear":
        assert got[: len(rates)] == rates[: len(got)]
        rest = got[len(rates) :]
        expected = {"stable": rates[-1:] * len(rest), "loop": rates, "mirror": rates[::-1]}[after]
        assert rest[: len(expected)] == expected[: len(rest)]


def test_operations_follow_the_weights_and_the_seed() -> None:
    keyspaces = (
        Keyspace(
            klen=32,
            nkeys=100,
            vlen=128,
            weight=3,
            ttl="1m",
            commands=(Command(verb="get", weight=80), Command(verb="set", weight=20)),
        ),
        Keyspace(klen=5, nkeys=7, vlen=10, compression_ratio=2.0, commands=(Command(verb="del"),)),
    )
    operations = generate(keyspaces, "seed")
    count = len(operations)
    shares = {verb: number / count for verb, number in Counter(operations.verbs).items()}
    assert shares == pytest.approx({Verb.GET: 0.6, Verb.SET: 0.15, Verb.DELETE: 0.25}, abs=0.01)
    filled = {key: (len(value), ttl) for key, value, ttl in operations.prefill}
    assert len(filled) == 107
    assert Counter(filled.values()) == {(128, 60.0): 100, (10, None): 7}
    assert {len(key) for key in filled} == {32, 5}
    assert set(operations.keys) == set(filled)
    for verb, key, value, length in zip(
        operations.verbs, operations.keys, operations.values, operations.lengths, strict=True
    ):
        assert length == filled[key][0]
        assert len(value) == (length if verb is Verb.SET else 0)
    half_zeros = next(value for key, value, _ in operations.prefill if len(key) == 5)
    assert half_zeros[5:] == bytes(5)
    assert generate(keyspaces, "seed").keys == operations.keys
    assert generate(keyspaces, "other").keys != operations.keys
    part = generate(keyspaces, "seed", part=1)
    assert part.prefill == operations.prefill
    assert part.keys != operations.keys


def test_zipf_asks_for_the_first_key_most() -> None:
    keyspace = Keyspace(klen=8, nkeys=100, key_distribution="zipf", commands=(Command(verb="get"),))
    operations = generate((keyspace,), "seed")
    counts = Counter(operations.keys)
    first, second, last = (counts[operations.prefill[number][0]] for number in (0, 1, 99))
    assert first / second == pytest.approx(2, rel=0.1)
    assert first / last == pytest.approx(100, rel=0.3)


def test_keyspaces_do_not_share_keys() -> None:
    keyspace = Keyspace(klen=1, nkeys=200, commands=(Command(verb="get"),))
    with pytest.raises(OptionError, match="400 different keys do not fit into klen = 1"):
        generate((keyspace, keyspace), "seed")


def test_arrivals_keep_their_rate() -> None:
    even = arrivals([(2.0, 10.0), (1.0, 4.0)], "fixed", "seed")
    assert even[:20] == pytest.approx(np.arange(20) / 10)
    assert even[20:] == pytest.approx(2 + np.arange(4) / 4)
    random = arrivals([(10.0, 1000.0), (10.0, 3000.0)], "poisson", "seed")
    assert (np.diff(random) >= 0).all()
    assert len(random) == pytest.approx(40_000, rel=0.02)
    assert (random < 10).sum() == pytest.approx(10_000, rel=0.05)
    # Independent users: as many gaps are longer than the mean as an exponential distribution has.
    gaps = np.diff(random[random < 10])
    assert (gaps > 1e-3).mean() == pytest.approx(np.exp(-1), abs=0.02)
    assert np.array_equal(random, arrivals([(10.0, 1000.0), (10.0, 3000.0)], "poisson", "seed"))
    assert not np.array_equal(random, arrivals([(10.0, 1000.0), (10.0, 3000.0)], "poisson", "seed", part=1))
