"""The cache's programs as processes: storage, router and cache over protosocket, and how they fail."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.patience import HANG

from protosocket.telemetry import ConnectionStatistics

if TYPE_CHECKING:
    from tests.conftest import Certificates

ANYWHERE = "tcp://127.0.0.1:0"


class Program:
    """A running ``protosocket`` server program."""

    def __init__(self, *arguments: str, stderr: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "protosocket", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(
            tuple(f"listening on {scheme}://127.0.0.1:" for scheme in ("tcp", "tls", "grpc"))
        )
        self.url = line.split()[-1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def run(*arguments: str | bytes, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "protosocket", *arguments],
        input=content,
        capture_output=True,
        timeout=HANG,
        check=False,
        env=os.environ | {"PROTOSOCKET_CACHE_TOKEN": "secret"},
    )


def test_the_programs(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("# who may\nsecret\n")
    server = Program("storage", "--listen", ANYWHERE, "--max-memory", "1MiB", "--token-file", str(tokens))
    router = Program(
        *("router", "--listen", ANYWHERE, "--storage", server.url, "--connections", "2"),
        *("--token-file", str(tokens), "--storage-token-file", str(tokens)),
    )
    there = ("--router", router.url)
    try:
        missing = run("cache", "get", "key", *there)
        assert (missing.returncode, missing.stdout, missing.stderr) == (1, b"", b"Key not found\n")
        assert run("cache", "set", "key", "-", "--ttl", "60", *there, content=b"\x00value").returncode == 0
        assert run("cache", "get", "key", *there).stdout == b"\x00value"
        touched = run("cache", "touch", "key", "--ttl", "60", *there)
        assert (touched.returncode, touched.stdout, touched.stderr) == (0, b"", b"")
        assert run("cache", "delete", "key", *there).returncode == 0
        touched = run("cache", "touch", "key", *there)
        assert (touched.returncode, touched.stdout, touched.stderr) == (1, b"", b"Key not found\n")
        assert run("cache", "set", b"k\xff", b"\x80\x02", *there).returncode == 0
        assert run("cache", "get", b"k\xff", *there).stdout == b"\x80\x02"
        assert run("cache", "delete", b"k\xff", *there).returncode == 0
        assert run("cache", "get", b"k\xff", *there).returncode == 1
        refused = run("cache", "get", "key", "--token", "wrong", *there)
        assert refused.returncode == 3
        assert refused.stderr.startswith(b"protosocket: not authenticated")
        assert refused.stderr.count(b"\n") == 1
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        down = run("cache", "get", "key", *there)
        assert down.returncode == 3
        assert down.stderr == f"protosocket: cache unavailable: the storage {server.url} is down\n".encode()
    finally:
        codes = [router.stop(signal.SIGINT), server.process.poll()]
    assert codes == [0, -signal.SIGKILL]


@pytest.mark.parametrize("transport", [(), ("--transport", "grpc-stream")])
def test_the_urls_say_how_commands_travel(transport: tuple[str, ...]) -> None:
    server = Program("storage", "--listen", "grpc://127.0.0.1:0")
    router = Program("router", "--listen", ANYWHERE, "--storage", server.url, *transport)
    there = ("--router", router.url)
    try:
        assert server.url.startswith("grpc://")
        assert run("cache", "set", "key", "value", *there).returncode == 0
        assert run("cache", "touch", "key", *there).returncode == 0
        assert run("cache", "get", "key", *there).stdout == b"value"
    finally:
        codes = [router.stop(signal.SIGTERM), server.stop(signal.SIGTERM)]
    assert codes == [0, 0]


def test_a_program_prints_its_statistics_when_it_is_asked() -> None:
    server = Program("storage", "--listen", ANYWHERE, stderr=subprocess.PIPE)
    router = Program("router", "--listen", ANYWHERE, "--storage", server.url, "--connections", "2")
    assert server.process.stderr is not None
    try:
        assert run("cache", "set", "key", "value", "--router", router.url).returncode == 0
        server.process.send_signal(signal.SIGUSR1)
        line = server.process.stderr.readline()
    finally:
        assert [router.stop(), server.stop()] == [0, 0]
        server.process.stderr.close()
    url, _, counters = line.strip().partition(": ")
    values = dict(each.split() for each in counters.split(", "))
    assert url == server.url
    assert (values["connections"], values["messages_received"], values["in_flight"]) == ("2", "1", "0")
    assert set(values) == {"connections", *(field.name for field in dataclasses.fields(ConnectionStatistics))}


def cpu_seconds(program: Program) -> float:
    """Processor time that a program has used."""
    times = psutil.Process(program.process.pid).cpu_times()
    return float(times.user + times.system)


@pytest.mark.parametrize("workers", [1, 2])
def test_programs_poll_as_long_as_they_are_told(workers: int) -> None:
    server = Program("storage", "--listen", ANYWHERE, "--busy-poll", "1000000")
    router = Program(
        *("router", "--listen", ANYWHERE, "--storage", server.url, "--busy-poll", "50"),
        *(() if workers == 1 else ("--workers", str(workers))),
    )
    try:
        assert run("cache", "set", "key", "value", "--router", router.url).returncode == 0
        began, slept = cpu_seconds(server), cpu_seconds(router)
        end = time.monotonic() + HANG
        # Processor time, and not how long that takes: both are kept waiting on a busy machine.
        while cpu_seconds(server) - began < 0.3:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert cpu_seconds(router) - slept < 0.15
    finally:
        assert [server.stop(), router.stop()] == [0, 0]


def test_the_programs_over_tls(certificates: Certificates, tmp_path: Path) -> None:
    listen = ("--listen", "tls://127.0.0.1:0")
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.server_key.read_bytes() + certificates.server_certificate.read_bytes())
    cert, key, ca = map(str, (certificates.server_certificate, certificates.server_key, certificates.ca))
    server = Program("storage", *listen, "--tls-cert", str(both))
    router = Program(
        *("router", *listen, "--tls-cert", cert, "--tls-key", key),
        *("--storage", server.url, "--storage-tls-ca", ca),
    )
    there = ("--router", router.url)
    try:
        assert router.url.startswith("tls://")
        assert run("cache", "set", "key", "value", *there, "--tls-ca", ca).returncode == 0
        assert run("cache", "get", "key", *there, "--tls-insecure").stdout == b"value"
        for trust in ([], ["--tls-ca", str(certificates.other_ca)]):
            refused = run("cache", "get", "key", *there, *trust)
            assert refused.returncode == 3
            assert b"certificate" in refused.stderr
    finally:
        codes = [router.stop(), server.stop()]
    assert codes == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("storage",), "needs --listen"),
        (("storage", "--listen", "127.0.0.1:1"), "tcp://127.0.0.1:1"),
        (("storage", "--listen", "tcp://0.0.0.0:0"), "tokens are needed"),
        (("storage", "--listen", "tcp://192.0.2.1:1", "--token-file", "/nowhere"), "/nowhere"),
        (("router", "--listen", ANYWHERE, "--storage", ","), "at least one storage"),
        (("storage", "--grpc-listen", "grpc://127.0.0.1:0", "--busy-poll", "50"), "--busy-poll is for"),
        (("cache", "get", "key", "--router", "tcp://127.0.0.1:1"), "cannot connect to tcp://127.0.0.1:1"),
        (("storage", "--listen", "tls://127.0.0.1:0"), "a certificate is needed: --tls-cert FILE"),
        (("storage", "--listen", ANYWHERE, "--tls-key", "k"), f"tls://..., not for {ANYWHERE}"),
        (("storage", "--listen", "tls://127.0.0.1:0", "--tls-cert", "/nowhere"), "'/nowhere' cannot be read"),
        (
            ("router", "--grpc-listen", "grpc://127.0.0.1:0", "--tls-cert", "c", "--storage", "tcp://h:1"),
            "gRPC",
        ),
        (
            ("router", "--listen", ANYWHERE, "--storage", "tls://h:1,tcp://h:2", "--storage-tls-ca", "ca"),
            "--storage-tls-ca is for tls:// addresses, not for tcp://h:2",
        ),
        (
            ("router", "--listen", ANYWHERE, "--storage", "tls://h:1", "--storage-tls-ca", "/nowhere"),
            "'/nowhere' cannot be read",
        ),
        (
            ("cache", "get", "key", "--router", "tcp://h:1", "--tls-insecure"),
            "--tls-insecure is for tls:// addresses",
        ),
        (
            ("cache", "get", "key", "--router", "tls://h:1", "--tls-insecure", "--tls-ca", "ca"),
            "choose one",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:1]),
)
def test_an_error_is_one_line(arguments: tuple[str, ...], expected: str) -> None:
    failed = run(*arguments)
    assert failed.returncode == (3 if "cannot connect" in expected else 2)
    assert failed.stderr.decode().startswith("protosocket: ")
    assert expected in failed.stderr.decode()
    assert failed.stderr.count(b"\n") == 1
