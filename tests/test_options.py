"""Connection options, sizes and telemetry: what is accepted, what is refused, what is measured."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protosocket.errors import Error, OptionError
from protosocket.options import ConnectionOptions, parse_size
from protosocket.telemetry import ConnectionStatistics, LoopLag


def test_defaults() -> None:
    options = ConnectionOptions()
    assert options.receive_limit == 4 * 1024 * 1024
    assert options.send_queue_messages == 256
    assert options.send_queue_bytes == 1024 * 1024
    assert options.nodelay is True
    assert options.keepalive is None
    assert options.busy_poll is None
    assert options.transport == "aiofastnet"


def test_options_cannot_be_changed_in_place() -> None:
    options = ConnectionOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.nodelay = False  # type: ignore[misc]
    assert dataclasses.replace(options, nodelay=False).nodelay is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("receive_limit", 0),
        ("receive_limit", 4.5),
        ("receive_limit", True),
        ("send_queue_messages", -1),
        ("send_queue_bytes", "1MiB"),
        ("read_budget_messages", 0),
        ("connect_timeout", 0),
        ("connect_timeout", math.inf),
        ("connect_timeout", None),
        ("close_timeout", math.nan),
        ("nodelay", 1),
        ("keepalive", 0.5),
        ("keepalive", 40_000),
        ("keepalive", "60"),
        ("busy_poll", -0.1),
        ("busy_poll", 50),
        ("busy_poll", math.nan),
        ("busy_poll", True),
        ("busy_poll", False),
        ("busy_poll", 0j),
        ("busy_poll", "1"),
        ("transport", "uvloop"),
    ],
)
def test_a_senseless_option_is_refused_by_name(name: str, value: object) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(OptionError, match=name) as caught:
        ConnectionOptions(**arguments)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, Error)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64B", 64),
        ("64KiB", 65_536),
        ("256MiB", 268_435_456),
        ("1.5 GiB", 1_610_612_736),
        ("2TiB", 2_199_023_255_552),
        ("10kB", 10_000),
        (" 3mb ", 3_000_000),
        ("0.1GB", 100_000_000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1M", "1e6", "0.3B", "1.0001KiB", "1 MiB 2", "٣", "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(OptionError, match=r"size|whole"):
        parse_size(text)


@given(st.integers(0, 2**32), st.sampled_from([("KiB", 1024), ("mib", 1024**2), ("GB", 10**9), ("", 1)]))
def test_a_whole_number_of_units(count: int, unit: tuple[str, int]) -> None:
    assert parse_size(f"{count}{unit[0]}") == count * unit[1]


def test_statistics_have_batch_sizes() -> None:
    assert ConnectionStatistics().messages_per_read == 0.0
    assert ConnectionStatistics().messages_per_write == 0.0
    statistics = ConnectionStatistics(messages_received=30, reads=4, messages_sent=9, writes=3)
    assert statistics.messages_per_read == 7.5
    assert statistics.messages_per_write == 3.0


@pytest.mark.every_loop
async def test_loop_lag_sees_a_blocked_loop() -> None:
    lag = LoopLag(interval=0.001)
    lag.start()
    lag.start()  # already sampling: changes nothing
    time.sleep(0.05)  # noqa: ASYNC251 - holds the loop, which is what the lag has to show
    async with asyncio.timeout(10):
        while lag.samples < 3:  # noqa: ASYNC110 - a sample sets no event
            await asyncio.sleep(0.001)
    lag.stop()
    samples = lag.samples
    assert 0.04 < lag.maximum < 10
    assert 0 <= lag.last <= lag.maximum
    assert 0 < lag.mean <= lag.maximum
    await asyncio.sleep(0.005)
    assert lag.samples == samples
    lag.stop()

    lag.start()
    assert (lag.samples, lag.last, lag.maximum, lag.mean) == (0, 0.0, 0.0, 0.0)
    lag.stop()


def test_loop_lag_refuses_a_senseless_interval() -> None:
    for interval in (0, -1, math.nan):
        with pytest.raises(OptionError, match="interval"):
            LoopLag(interval)


def test_loop_lag_needs_a_loop() -> None:
    with pytest.raises(RuntimeError):
        LoopLag().start()
