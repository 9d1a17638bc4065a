"""No parser costs more than in proportion to what it reads, in instructions and in memory.

``python tools/measure_growth.py`` prints the counts. The inputs are those of ``worst_inputs.py``
and, for the core, of ``rust/core/examples/worst_inputs.rs``.
"""

from __future__ import annotations

import gc
import importlib.util
import io
import shutil
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.worst_inputs import CASES, Case, capture, dump

from protosocket import decode
from protosocket.errors import OptionError

ROOT = Path(__file__).resolve().parent.parent

MiB = 1024 * 1024

# 2 is in proportion, 4 the square; a table that has just grown, or a limit met in between, moves it a little.
MOST_GROWTH = 2.4


def load() -> Any:
    spec = importlib.util.spec_from_file_location("measure_growth", ROOT / "tools" / "measure_growth.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


growth = load()

counted = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed"),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed"),
]


def hold(grown: dict[str, Any]) -> None:
    assert {name: each for name, each in grown.items() if each.ratio > MOST_GROWTH} == {}


class TestInstructions:
    pytestmark = counted

    def test_of_the_core(self) -> None:
        grown = growth.core_growth()
        assert len(grown) > 20
        hold(grown)

    def test_behind_python_names(self) -> None:
        grown = growth.python_growth()
        assert list(grown) == [case.name for case in CASES]
        hold(grown)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_memory(case: Case) -> None:
    data = case.make(case.size)
    case.read(data)  # what is made once, and kept
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        case.read(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (peak - before) / len(data) <= case.memory


DEEP_MAPS = """
import resource
from protosocket.codecs import MessagePack
from tests.worst_inputs import messagepack, refused, stream

data = messagepack(b"\\xde\\xff\\xff" * ((4 << 20) // 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused(stream(MessagePack(), 65536))(data)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_maps_in_maps_take_little_memory_before_they_are_decoded() -> None:
    """Python counts only its own memory, so the process is asked for all of it."""
    read = subprocess.run(
        [sys.executable, "-c", DEEP_MAPS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(read.stdout) < 64 * 1024


@pytest.mark.parametrize("offset", ["ffffffff", "f" * 16, "f" * 4000])
def test_a_star_in_a_hex_dump_does_not_stand_for_everything(offset: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(OptionError):
            dump(f"00000000: 00 00 00 00 00 00 00 00  ........\n*\n{offset}\n".encode())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MiB


def test_a_packet_takes_as_much_as_there_is_of_it() -> None:
    """Its header declares 4 GiB."""
    data = capture([]) + struct.pack("<IIII", 0, 0, 0xFFFFFFF0, 0xFFFFFFF0) + bytes(100)
    stream: Any = io.BufferedReader(io.BytesIO(data))
    tracemalloc.start()
    try:
        left_out = decode.LeftOut()
        events = list(
            decode.capture_events(stream, lambda: decode.Framer("varint", MiB), (), left_out, sniff=True)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert any("damaged" in str(event.what) for event in events)
    assert peak < 8 * MiB


def test_headers_within_headers_without_an_end_are_damaged() -> None:
    """Ethernet in MPLS in Ethernet in MPLS, and so on."""
    layer = bytes(12) + b"\x88\x47" + b"\0\0\1\0" + bytes(4)
    stream: Any = io.BufferedReader(io.BytesIO(capture([layer * 10_000], link=1)))
    left_out = decode.LeftOut()
    for _ in decode.capture_events(stream, lambda: decode.Framer("varint", MiB), (), left_out, sniff=True):
        pass
    assert left_out.lost == {"whose headers are damaged": 1}
