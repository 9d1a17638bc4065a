"""``protosocket bench talk`` and ``bench run`` as programs: real routers and storages, figures, files,
clean-up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from tests.patience import HANG

from protosocket.bench.columns import COLUMNS
from protosocket.bench.driver import Endpoint
from protosocket.bench.drivers.cache import CacheDriver
from protosocket.bench.operations import Verb, generate
from protosocket.bench.report import TalkReport
from protosocket.bench.workload import Command, Keyspace
from protosocket.cache.results import Hit, Miss

# In the order of the design's schema, which a reader may rely on.
COLUMN_KEYS = [
    "name",
    "ops_per_second",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "errors",
    "client_cpu_us_per_op",
    "router_cpu_us_per_op",
    "storage_cpu_us_per_op",
    "wire_bytes_per_op",
]


def bench(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "protosocket", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        **options,
    )


def test_the_columns_are_the_talks() -> None:
    assert [column.name for column in COLUMNS] == [
        "grpc-unary",
        "grpc-stream",
        "protosocket-backend",
        "protosocket",
    ]


SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("talk")
    endings = {"json": "json", "plot": "png", "markdown": "md"}
    files = [f"--{kind}={folder / f'r.{ending}'}" for kind, ending in endings.items()]
    done = bench("talk", "--seconds=2", "--column=grpc-unary", "--column=protosocket", *files)
    assert done.returncode == 0, done.stderr
    # Without a terminal there is no progress bar.
    assert done.stderr == ""
    return folder, done.stdout


@SLOW
def test_the_reports_json_has_the_designs_schema(talk: tuple[Path, str]) -> None:
    report = json.loads((talk[0] / "r.json").read_bytes())
    assert list(report)[:3] == ["machine", "commit", "columns"]
    assert [column["name"] for column in report["columns"]] == ["grpc-unary", "protosocket"]
    for column in report["columns"]:
        assert list(column)[: len(COLUMN_KEYS)] == COLUMN_KEYS
        assert column["ops_per_second"] > 0
        assert 0 < column["p50_ms"] <= column["p99_ms"] <= column["p999_ms"]
        assert column["errors"] == 0
        for name in COLUMN_KEYS[6:9]:
            assert 0.1 < column[name] < 20_000
        low, high = column["ops_per_second_spread"]
        assert low <= column["ops_per_second"] <= high
        # A key, a value in four of five answers and one of five requests, and what the transport adds, on
        # both hops.
        assert 2 * (32 + 128) < column["wire_bytes_per_op"] < 1500
        both = column["client_router_wire_bytes_per_op"] + column["router_storage_wire_bytes_per_op"]
        assert column["wire_bytes_per_op"] == pytest.approx(both)
    assert report["columns"][0]["ratio_to_grpc_unary"] == 1
    assert report["settings"]["seconds"] == 2
    assert report["machine"]["cores"] >= 1
    # What is read back is the report: nothing is lost in the file.
    assert msgspec.json.decode((talk[0] / "r.json").read_bytes(), type=TalkReport).errors == 0


@SLOW
def test_the_table_and_the_picture_are_there(talk: tuple[Path, str]) -> None:
    folder, printed = talk
    for text in (printed, (folder / "r.md").read_text()):
        for expected in ("gRPC unary", "protosocket", "p99.9 ms", "errors", "commit", "80% get", "cores"):
            assert expected in text
    assert (folder / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_cannot_be_written_is_refused_before_the_measurement(tmp_path: Path) -> None:
    done = bench("talk", "--json", str(tmp_path / "none" / "r.json"))
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


@SLOW
def test_an_interrupted_talk_leaves_no_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "protosocket", "bench", "talk", "--column", "grpc-unary"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parent = psutil.Process(process.pid)
    # A storage, a router and a generator.
    limit = time.monotonic() + HANG
    while len(children := parent.children(recursive=True)) < 3:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    _, alive = psutil.wait_procs(children, timeout=HANG)
    assert alive == []


WORKLOAD = """
[general]
protocol = "protosocket-backend"
interval = 1
duration = 1
warmup = 0

[client]
threads = 2
poolsize = 2
concurrency = 8

[workload.ratelimit]
start = 100

[[workload.keyspace]]
klen = 16
nkeys = 50
vlen = 64
commands = [{ verb = "get", weight = 8 }, { verb = "set", weight = 2 }]
"""


@SLOW
def test_a_workload_file_is_run(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text(WORKLOAD)
    done = bench("run", str(tmp_path / "w.toml"), "--json", str(tmp_path / "r.json"))
    assert done.returncode == 0, done.stderr
    for expected in (
        "operations/s",
        "0 errors, 0 misses",
        "were due",
        "CPU µs per operation",
        "router-storage",
    ):
        assert expected in done.stdout
    report = json.loads((tmp_path / "r.json").read_bytes())
    assert report["workload"]["general"]["protocol"] == "protosocket-backend"
    assert report["result"]["operations"] == report["result"]["offered"] == pytest.approx(100, abs=50)


def test_a_workload_that_is_not_supported_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "w.toml"
    file.write_text(WORKLOAD + '[debug]\nlog_level = "info"\n')
    done = bench("run", str(file))
    assert done.returncode == 2
    assert f"{file}: debug: not supported" in done.stderr
    assert "Traceback" not in done.stderr
    done = bench("run", str(tmp_path / "none.toml"))
    assert "none.toml: No such file" in done.stderr


@SLOW
def test_endpoints_that_do_not_answer_are_one_line(tmp_path: Path) -> None:
    text = WORKLOAD.replace("protosocket-backend", "protosocket").replace(
        "threads = 2", "connect_timeout = 500"
    )
    (tmp_path / "w.toml").write_text(text + '[target]\nendpoints = ["127.0.0.1:1"]\n')
    done = bench("run", str(tmp_path / "w.toml"))
    assert done.returncode == 3
    assert "load generator: " in done.stderr
    assert "Traceback" not in done.stderr


def test_answers_of_the_cache_are_judged() -> None:
    keyspace = Keyspace(
        klen=8, nkeys=4, vlen=3, commands=(Command(verb="get"), Command(verb="set"), Command(verb="delete"))
    )
    operations = generate((keyspace,), "seed")

    async def connect() -> list[Any]:
        return []

    driver = CacheDriver(connect, Endpoint(urls=()), operations)
    get, put, delete = (operations.verbs.index(verb) for verb in Verb)
    assert driver.verify(get, Hit(b"abc")) is None
    assert driver.verify(get, Hit(b"ab")) == "wrong length"
    assert driver.verify(get, Miss()) == "miss"
    assert driver.verify(get, None) == "wrong answer"
    for index in (put, delete):
        assert driver.verify(index, None) is None
        assert driver.verify(index, Hit(b"abc")) == "wrong answer"
        assert driver.verify(index, Miss()) == "wrong answer"
