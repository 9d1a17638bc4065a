"""The golden vectors of tests/vectors, read from their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

Vector: TypeAlias = Mapping[str, Any]

DIRECTORY = Path(__file__).parent.parent / "vectors"


def load(*names: str) -> dict[str, Vector]:
    """The vectors of these files by what identifies them: message type, where there is one, and name."""
    vectors: dict[str, Vector] = {}
    for name in names:
        for vector in json.loads((DIRECTORY / f"{name}.json").read_text())["vectors"]:
            key = " ".join([name, *([vector["message"]] if "message" in vector else []), vector["name"]])
            assert key not in vectors, key
            vectors[key] = vector
    return vectors


def to_bytes(value: Any) -> bytes:
    """Bytes from their JSON: hex, or a list of hex and ``{"repeat": hex, "times": n}``."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part["repeat"]) * part["times"]
        for part in value
    )


def fields(value: Any) -> Any:
    """A message's fields from their JSON, with ``{"bytes": ...}`` made bytes."""
    match value:
        case {"bytes": data, **rest} if not rest:
            return to_bytes(data)
        case dict():
            return {key: fields(item) for key, item in value.items()}
        case list():
            return [fields(item) for item in value]
        case _:
            return value
