"""A run of the differential fuzzer: the published crate's decoders and ours on the same random streams."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import Feature
from tests.interop.differences import DIFFERENCES
from tests.interop.differential import compare
from tests.interop.rpc_peers import PROGRAMS, PROTOBUF, Wire
from tests.interop.table import Peer

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"


@pytest.fixture(params=PROGRAMS)
def line(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def peer(line: str) -> Peer:
    return Wire(line, PROTOBUF).peer("server")


def test_random_streams(feature: Feature, programs: Path, line: str) -> None:
    feature("decoders agree on random streams")
    found = compare(programs / PROGRAMS[line], cases=4000, seed=1)
    assert not found.unknown, str(found)
    # Nothing of this may be so rare that the run says little.
    assert found.messages > 3000
    assert min(found.ends[end] for end in ("clean", "incomplete", "refused")) > 400


def test_every_difference_is_documented() -> None:
    page = " ".join(PAGE.read_text().split())
    assert [why for why in DIFFERENCES if why not in page] == []
