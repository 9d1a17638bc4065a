"""What the benchmark counts: percentiles against numpy, wire bytes against known bytes, processor time."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protosocket.bench.latency import Percentiles, histogram_of, merge, percentiles
from protosocket.bench.watch import Watch
from protosocket.bench.wire import WireBytes, WireMeter

if TYPE_CHECKING:
    from collections.abc import Iterator

LATENCIES = st.lists(st.floats(1e-6, 60.0), min_size=1, max_size=400)


@settings(deadline=None, max_examples=25)
@given(LATENCIES)
def test_percentiles_are_numpys_to_three_digits(seconds: list[float]) -> None:
    values = np.array(seconds)
    found = percentiles(histogram_of(values))
    for percent, got in ((50, found.p50_ms), (90, found.p90_ms), (99, found.p99_ms), (99.9, found.p999_ms)):
        expected = float(np.percentile(values, percent, method="inverted_cdf")) * 1e3
        assert got == pytest.approx(expected, rel=2e-3, abs=1e-3)
    assert found.max_ms == pytest.approx(values.max() * 1e3, rel=2e-3, abs=1e-3)
    assert found.mean_ms == pytest.approx(values.mean() * 1e3, rel=2e-3, abs=1e-3)


@settings(deadline=None, max_examples=10)
@given(LATENCIES, LATENCIES)
def test_merged_histograms_are_one_of_all(first: list[float], second: list[float]) -> None:
    encoded = [histogram_of(np.array(values)).encode().decode() for values in (first, second)]
    assert percentiles(merge(encoded)) == percentiles(histogram_of(np.array(first + second)))


def test_nothing_measured_is_zero() -> None:
    assert percentiles(histogram_of(np.zeros(0))) == Percentiles()


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listening:
        yield listening


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def receive(connection: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(connection.recv(min(size, 1 << 16)))


@settings(deadline=None, max_examples=30)
@given(sent=st.integers(1, 200_000), answered=st.integers(1, 200_000), connections=st.integers(1, 3))
def test_the_kernel_counts_every_payload_byte(sent: int, answered: int, connections: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as other:
        meter = WireMeter({"hop": url_of(listening)})
        pairs = []
        for server in [listening] * connections + [other]:
            client = socket.create_connection(server.getsockname())
            pairs.append((client, server.accept()[0]))
        before = meter.read()["hop"]
        for client, server in pairs:
            for sender, receiver, size in ((client, server, sent), (server, client, answered)):
                thread = threading.Thread(target=sender.sendall, args=(bytes(size),))
                thread.start()
                receive(receiver, size)
                thread.join()
        assert meter.read()["hop"] - before == WireBytes(
            sent=sent * connections, received=answered * connections
        )
        for pair in pairs:
            for end in pair:
                end.close()


def test_both_address_families_are_counted(listener: socket.socket) -> None:
    meter = WireMeter({"hop": url_of(listener)})
    assert meter.read() == {"hop": WireBytes()}
    with socket.create_connection(listener.getsockname()[:2]) as client:
        server, _ = listener.accept()
        before = meter.read()["hop"]
        client.sendall(bytes(1000))
        receive(server, 1000)
        server.sendall(bytes(77))
        receive(client, 77)
        assert meter.read()["hop"] - before == WireBytes(sent=1000, received=77)
        assert (meter.read()["hop"] - before).total == 1077
        server.close()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(socket.gaierror):
        WireMeter({"hop": "tcp://host.invalid:1"})


def test_processor_time_is_that_of_the_process() -> None:
    watch = Watch({}, {})
    before, began = watch.read(), time.process_time()
    while time.process_time() - began < 0.05:
        pass
    cost = watch.read() - before
    assert cost.cpu_seconds["client"] == pytest.approx(time.process_time() - began, abs=0.005)
    assert cost.wire == {}


def test_a_process_that_is_gone_is_refused() -> None:
    with pytest.raises(psutil.NoSuchProcess):
        Watch({"gone": 2**22 + 1}, {})
