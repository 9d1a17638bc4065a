"""What the tests of rmemstore's two ends share: our example's modules, and values of every kind."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

EXAMPLE = Path(__file__).parents[2] / "examples" / "rmemstore"

# What the published client takes, as the largest answer.
LARGEST = 8 * 1024 * 1024


def _load(name: str, file: str) -> Any:
    """A module of the example, which is in no package."""
    spec = spec_from_file_location(name, EXAMPLE / file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pb = _load("rmemstore_pb2", "rmemstore_pb2.py")
client = _load("rmemstore_client", "client.py")

VALUES: dict[str, Any] = {
    "text": "grüß dich",
    "empty text": "",
    "bytes": bytes(range(256)),
    "no bytes": b"",
    "an empty map": {},
    "maps of maps": {"a": {"b": {"c": "deep", "": {}}, "bytes": b"\xff\x00"}, "ü": "", "no bytes": b""},
}

values = st.recursive(
    st.text(max_size=40) | st.binary(max_size=40),
    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def nested(depth: int) -> Any:
    """A text inside this many maps."""
    value: Any = "innermost"
    for _ in range(depth):
        value = {"map": value}
    return value
